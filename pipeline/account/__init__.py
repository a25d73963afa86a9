"""What became of every record: why, report, funnel, changes. why.py first: the story of one URL."""
