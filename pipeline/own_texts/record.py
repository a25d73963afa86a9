"""One record to one text: what a person's files hold, of whatever kind they are.

A record without a usable text becomes Rejected with BAD_LINE. Only the text decides: a field that only describes it is
left out where it is of no use.
"""

import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from webtext.pipeline.files.lines import MAX_LINE
from webtext.pipeline.flow import TEXTS
from webtext.pipeline.identity import names, urls
from webtext.pipeline.own_texts import dates
from webtext.pipeline.own_texts.settings import TextFields
from webtext.pipeline.text.clean import clean
from webtext.schemas.records import Reason, Rejected

_MAX_SCORE = 2**40
_MAX_TITLE = 1000  # characters
_OCTETS = re.compile("[\udc80-\udcff]")  # that are not UTF-8, see json_lines.lenient
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Text:
    """One document before it is judged."""

    key: bytes
    name: str  # canonical URL, or see names.py
    score: int
    created_utc: int  # 0 where it is not known
    title: str
    text: str  # clean

    def digest(self) -> bytes:
        """16 bytes that decide between texts of one key that are equal in score, length and date."""
        fields = (self.text, self.title, self.name)
        return blake2b(b"".join(blake2b(field.encode()).digest() for field in fields), digest_size=16).digest()


class DamagedFileError(ValueError):
    """The rest of a file can't be read: why, and how many records are lost, at the least."""

    def __init__(self, path: str, why: str, records: int) -> None:
        super().__init__(f"{path}: {why}")
        self.why = why
        self.records = records


@dataclass(frozen=True, slots=True)
class About:
    """What a record says of its text, of any type."""

    url: object = None
    id: object = None
    title: object = None
    score: object = None
    date: object = None


def text_of(record: object, fields: TextFields) -> Text | Rejected:
    """One record to a document. Rejected with BAD_LINE: no object, or without a text that has characters to show."""
    if not isinstance(record, Mapping):
        return refuse(f"is {_kind(record)}, not an object")
    text = _first(record, fields.text)
    about = About(
        url=_first(record, fields.url),
        id=_first(record, fields.id),
        title=_first(record, fields.title),
        score=_first(record, fields.score),
        date=_first(record, fields.date),
    )
    if not isinstance(text, str):
        problem = f"none of the fields {', '.join(fields.text)}" if text is None else f"{_kind(text)} as its text"
        return refuse(f"has {problem}", about)
    if not text.isascii() and _OCTETS.search(text):
        return refuse("has a text that is not UTF-8", about)
    return make(text, about)


def _first(record: Mapping[str, Any], choice: Sequence[str]) -> Any:
    """The first of these fields that the record has, and None is not."""
    for name in choice:
        value = record.get(name)
        if value is None and "." in name:
            value = record
            for step in name.split("."):
                value = value.get(step) if isinstance(value, Mapping) else None
        if value is not None:
            return value
    return None


def make(text: str, about: About) -> Text | Rejected:
    """The document of a text; Rejected where it has no characters to show, is too long, or has an absurd id."""
    if len(text) > MAX_LINE:  # a line can't be longer, a value in Parquet can
        return refuse(f"has a text of {len(text)} characters, at most {MAX_LINE} are read", about)
    text = clean(text, MAX_LINE)
    if not text:
        return refuse("has an empty text", about)
    try:
        name = name_of(text, about.url, about.id)
    except ValueError as error:
        return refuse(str(error), about)
    title = clean(about.title)[:_MAX_TITLE] if isinstance(about.title, str) else ""
    return Text(names.key_of(name), name, _score(about.score), dates.seconds_of(about.date), title, text)


def name_of(text: str, url: object, id: object) -> str:
    """What it is called: its URL where that is one, else its id, else the hash of the text.

    Raises:
        ValueError: the id is too long.
    """
    if isinstance(url, str):
        with suppress(ValueError):
            return urls.canonicalize(url)
    if isinstance(id, int) and not isinstance(id, bool):
        id = f"{id:x}" if abs(id) > 10**40 else str(id)
    if not isinstance(id, str) or not id:
        return names.of_text(text)
    if len(id) > names.MAX_ID:
        raise ValueError(f"has an id of {len(id)} characters, at most {names.MAX_ID} are read")
    # It is printed on terminals. Escaped, two ids stay two.
    return names.of_id(_UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), id))


def _score(value: object) -> int:
    """Whole points, 0 where there is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return 0
    return int(max(-_MAX_SCORE, min(_MAX_SCORE, value)))


def _kind(value: object) -> str:
    return {dict: "an object", list: "a list", bool: "a Boolean", type(None): "null"}.get(type(value), "a number")


_NO_TEXT: Final = names.of_text("")


def refuse(detail: str, about: About | None = None) -> Rejected:
    """The rejection of a record, under its URL or id if it had one."""
    name = ""
    if about is not None:
        with suppress(ValueError):
            name = name_of("", about.url, about.id)
    if name in ("", _NO_TEXT):
        return Rejected(TEXTS, Reason.BAD_LINE, b"", "", detail)
    return Rejected(TEXTS, Reason.BAD_LINE, names.key_of(name), name, detail)
