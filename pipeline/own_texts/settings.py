"""Which fields of a person's own records are read.

Standard library only, so that `--help` costs nothing.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class TextFields:
    """Names of the fields of --documents. The first that a record has counts; a dot leads into an object."""

    text: tuple[str, ...] = ("text", "content", "raw_content")
    """The text itself."""
    url: tuple[str, ...] = ("url", "metadata.url", "meta.url", "warc_headers.warc-target-uri")
    """Address of the page that it is from."""
    id: tuple[str, ...] = ("id", "_id", "doc_id", "metadata.id", "meta.id")
    """What it is called where no URL is."""
    title: tuple[str, ...] = ("title", "metadata.title", "meta.title")
    """Its title, for the release of texts."""
    score: tuple[str, ...] = ("score", "metadata.score", "meta.score")
    """A number: of copies the one with the highest score stays."""
    date: tuple[str, ...] = (
        *("created_utc", "created", "date", "timestamp"),
        *("metadata.date", "metadata.timestamp", "meta.date", "meta.timestamp"),
    )
    """When it was written: an ISO 8601 date, of a year at the least, or seconds since 1970."""

    def __post_init__(self) -> None:
        """Raises ValueError where no field could hold the text."""
        if not any(self.text):
            raise ValueError("--fields.text is empty, but a document needs a text")
