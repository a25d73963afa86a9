"""What a corpus folder is: writing it, checking it. stage.py first: how a shard is laid out."""
