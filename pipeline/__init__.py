"""The corpus build on Apache Beam: Reddit posts and web pages in, GPT-2 token shards out. Start reading at corpus.py."""
