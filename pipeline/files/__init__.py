"""Files by path, local or in an object store. storage.py first."""
