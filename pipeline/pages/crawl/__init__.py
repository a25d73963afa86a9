"""Pages from the live web, politely and into archives of our own. stage.py first, then client.py."""
