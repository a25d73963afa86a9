"""What the fork server loads once, for all the processes that it makes: they share its memory and start in a moment."""

from webtext.pipeline.documents import extract, stage
from webtext.schemas.visible import log_visibly

__all__ = ["stage"]

extract.load_models()
log_visibly()
