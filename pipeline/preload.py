"""What the fork server loads once, for all the processes that it makes: they share its memory and start in a moment."""

from webtext.pipeline.documents import extract
from webtext.pipeline.documents import stage as documents

__all__ = ["documents"]

extract.load_models()
