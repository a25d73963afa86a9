"""What a page or a text is called, and its key. urls.py first."""
