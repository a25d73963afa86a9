"""What the fork server loads once, for all the processes that it makes: they share its memory and start in a moment."""

from pipeline import extract
from pipeline.settings import ExtractSettings

extract.make_extractor(ExtractSettings())
