"""What the fork server loads once, for all the processes that it makes: they share its memory and start in a moment."""

from pipeline import documents, extract

__all__ = ["documents"]

extract.load_models()
