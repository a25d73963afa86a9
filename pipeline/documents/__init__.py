"""A page to a document: decode, guard, extract, in a child process. extract.py first: the steps in their order."""
