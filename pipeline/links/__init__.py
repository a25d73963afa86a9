"""Reddit posts and lists of URLs to links. rules.py first: which post makes a link, and how posts merge."""
