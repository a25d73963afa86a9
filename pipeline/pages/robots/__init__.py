"""The robots.txt that was captured beside a page: which one, and where it lies. stage.py first."""
