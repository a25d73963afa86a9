"""The bytes of web archives and of HTTP messages, read and written. warc.py first."""
