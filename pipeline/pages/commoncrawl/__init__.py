"""Pages out of Common Crawl: its index, then byte ranges of its archives. stage.py first."""
