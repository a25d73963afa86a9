"""The corpus build on Apache Beam: Reddit posts and web pages in, token shards out. Start reading at corpus.py."""
