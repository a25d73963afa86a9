"""What is refused before a parser or the tokenizer sees it, so that no page costs much more than a real one."""

import re

from pipeline.verdicts import Dropped
from schemas.records import Reason

_MAX_TAGS = 50_000  # "<" in a page: trafilatura's time grows faster than the page
_MAX_ATTRIBUTES = 10_000  # in one tag: lxml's time is quadratic in them, 2.3 s for 20,000
_MAX_TEXT = 2_000_000  # characters

_LONG_BLANK = re.compile(r"\s{1000,}")
_MANY_BLANKS = 500_000  # tiktoken panics at about 0.9 million blanks in a row, so a shorter text can't make it
_CONTROLS = bytes(code for code in range(32) if chr(code) not in "\t\n\r")
_LONG_TAG = re.compile("<[^<>]{65536,}")  # real pages have such, with a whole JSON document in one attribute


def refuse(html: str) -> Dropped | None:
    """Why the markup is not parsed, or None."""
    tags = html.count("<")
    if tags > _MAX_TAGS:
        return Dropped(Reason.TOO_MANY_TAGS, f"{tags} tags, at most {_MAX_TAGS} are parsed")
    attributes = max((tag.group().count("=") for tag in _LONG_TAG.finditer(html)), default=0)
    if attributes > _MAX_ATTRIBUTES:
        return Dropped(
            Reason.TOO_MANY_ATTRIBUTES, f"{attributes} attributes in a tag, at most {_MAX_ATTRIBUTES} are parsed"
        )
    return None


def clean(text: str, longest: int = _MAX_TEXT) -> str:
    """Without control characters and lone surrogates, without endless blanks, of so many characters at most."""
    text = text.encode("utf-8", "ignore").translate(None, _CONTROLS).decode()  # "ignore" drops lone surrogates
    if len(text) > _MANY_BLANKS:
        text = _LONG_BLANK.sub(lambda run: run.group()[0], text)
    return text[:longest].strip()
