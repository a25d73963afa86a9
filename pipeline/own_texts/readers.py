"""Documents that are text already: JSON lines, Parquet and plain text files, plain or compressed, record by record.

Nothing in a file ends a build. A record without a usable text becomes Rejected with BAD_LINE; damage raises
DamagedFile behind all that came before it. Only the text decides: a field that only describes it is left out where it
is of no use.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final

import msgspec

from webtext.pipeline.documents import guards
from webtext.pipeline.files import storage
from webtext.pipeline.identity import names, urls
from webtext.pipeline.links import dumps as submissions
from webtext.pipeline.own_texts.settings import TextFields
from webtext.schemas.records import Reason, Rejected

STAGE: Final = "texts"

_COMPRESSED: Final = (".gz", ".bz2", ".xz", ".zst")
_JSON: Final = (".jsonl", ".ndjson", ".jsonlines", ".json")
_PLAIN: Final = (".txt", ".text", ".md", ".markdown", ".rst")
UNCOMPRESSED: Final = (*_JSON, *_PLAIN)
"""Endings of files that are as large as their text."""
_PARQUET: Final = (".parquet", ".pq")
_PARQUET_MAGIC: Final = b"PAR1"

_MAX_SCORE = 2**40
_MAX_TIME = 253_402_300_799  # end of the year 9999
_MAX_TITLE = 1000  # characters
_EXCERPT = 80  # bytes of a bad record to show
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


class DamagedFile(ValueError):  # noqa: N818  a state of the input; callers count it and go on
    """The rest of a file can't be read. `records` says how many are lost, at the least."""

    def __init__(self, message: str, records: int) -> None:
        super().__init__(message)
        self.records = records


Found = Iterator[Text | Rejected]


def read_texts(path: str, id: str, fields: TextFields) -> Found:
    """The records of a file: of JSON lines, of Parquet, or the one of a plain text file.

    The ending of its name decides, before that of a compression; without a known one, JSON lines begin with a brace.

    Args:
        path: of the file.
        id: what the text of a plain text file is called.
        fields: where a record has what.

    Raises:
        DamagedFile: behind the records that could be read.
        OSError: the file can't be read. Never raised for what it contains.
    """
    with storage.open_binary(path) as stream:
        magic = stream.read(len(_PARQUET_MAGIC))
    stem = path.lower()
    if magic == _PARQUET_MAGIC or stem.endswith(_PARQUET):
        from webtext.pipeline.own_texts import (
            parquet as text_tables,  # Parquet takes a moment to import, and few have it
        )

        for record in text_tables.records(path, (*fields.text, *_describing(fields))):
            yield text_of(record, fields)
        return
    for ending in _COMPRESSED:
        stem = stem.removesuffix(ending)
    with storage.open_binary(path) as stream:
        lines = submissions.open_lines(stream, path, raw=True)
        try:
            if stem.endswith(_JSON):
                yield from _json_texts(lines, fields)
            elif stem.endswith(_PLAIN):
                yield _plain_text(lines, id)
            else:
                yield from _of_unknown_kind(lines, id, fields)
        except submissions.TruncatedInput as error:
            raise DamagedFile(str(error), 1) from error


def _describing(fields: TextFields) -> tuple[str, ...]:
    return (*fields.url, *fields.id, *fields.title, *fields.score, *fields.date)


Lines = Iterator[bytes | Rejected]


def _of_unknown_kind(lines: Lines, id: str, fields: TextFields) -> Found:
    seen: list[bytes | Rejected] = []
    for line in lines:
        seen.append(line)
        if isinstance(line, Rejected) or line.strip():
            break
    is_json = bool(seen) and isinstance(seen[-1], bytes) and seen[-1].lstrip()[:1] == b"{"

    def again() -> Lines:
        yield from seen
        yield from lines

    if is_json:
        yield from _json_texts(again(), fields)
    else:
        yield _plain_text(again(), id)


def _json_texts(lines: Lines, fields: TextFields) -> Found:
    for line in lines:
        if isinstance(line, Rejected):
            yield replace(line, stage=STAGE)
        elif line := line.strip():
            try:
                record = _decode(line)
            except (ValueError, RecursionError) as error:
                yield _bad(f"{error}: {line[:_EXCERPT]!r}")
                continue
            yield text_of(record, fields)


def _decode(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except (ValueError, RecursionError):
        # Python's own writer makes NaN and lone surrogates, which are no JSON: its reader takes them.
        return json.loads(line.decode())


def _plain_text(lines: Lines, id: str) -> Text | Rejected:
    """A whole file as one document."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        size += submissions.MAX_LINE if isinstance(line, Rejected) else len(line) + 1
        if isinstance(line, Rejected) or size > submissions.MAX_LINE:
            return _bad(f"has more than {submissions.MAX_LINE} bytes", _About(id=id))
        held.append(line)
    try:
        text = b"\n".join(held).decode()
    except UnicodeDecodeError as error:
        return _bad(f"is not UTF-8: {error}", _About(id=id))
    return _make(text, _About(id=id))


def text_of(record: object, fields: TextFields) -> Text | Rejected:
    """One record to a document. Rejected with BAD_LINE: no object, or without a text that has characters to show."""
    if not isinstance(record, Mapping):
        return _bad(f"is {_kind(record)}, not an object")
    text = _first(record, fields.text)
    about = _About(
        url=_first(record, fields.url),
        id=_first(record, fields.id),
        title=_first(record, fields.title),
        score=_first(record, fields.score),
        date=_first(record, fields.date),
    )
    if not isinstance(text, str):
        problem = f"none of the fields {', '.join(fields.text)}" if text is None else f"{_kind(text)} as its text"
        return _bad(f"has {problem}", about)
    return _make(text, about)


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


@dataclass(frozen=True, slots=True)
class _About:
    """What a record says of its text, of any type."""

    url: object = None
    id: object = None
    title: object = None
    score: object = None
    date: object = None


def _make(text: str, about: _About) -> Text | Rejected:
    if len(text) > submissions.MAX_LINE:  # a line can't be longer, a value in Parquet can
        return _bad(f"has a text of {len(text)} characters, at most {submissions.MAX_LINE} are read", about)
    text = guards.clean(text, submissions.MAX_LINE)
    if not text:
        return _bad("has an empty text", about)
    try:
        name = name_of(text, about.url, about.id)
    except ValueError as error:
        return _bad(str(error), about)
    title = guards.clean(about.title)[:_MAX_TITLE] if isinstance(about.title, str) else ""
    return Text(names.key_of(name), name, _score(about.score), _seconds(about.date), title, text)


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


def _seconds(value: object) -> int:
    """Seconds since 1970-01-01 UTC out of a number or an ISO 8601 date, 0 where it is neither or out of range."""
    if isinstance(value, str) and len(value) < 64:
        value = _parsed(value, float, lambda text: _epoch(datetime.fromisoformat(text)))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if 0 <= value <= _MAX_TIME else 0  # False for NaN


def _epoch(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _parsed(text: str, *readers: Callable[[str], float]) -> float | None:
    for reader in readers:
        with suppress(ValueError, OverflowError):
            return reader(text)
    return None


def _kind(value: object) -> str:
    return {dict: "an object", list: "a list", bool: "a Boolean", type(None): "null"}.get(type(value), "a number")


_NO_TEXT: Final = names.of_text("")


def _bad(detail: str, about: _About | None = None) -> Rejected:
    """The rejection of a record, under its URL or id if it had one."""
    name = ""
    if about is not None:
        with suppress(ValueError):
            name = name_of("", about.url, about.id)
    if name in ("", _NO_TEXT):
        return Rejected(STAGE, Reason.BAD_LINE, b"", "", detail)
    return Rejected(STAGE, Reason.BAD_LINE, names.key_of(name), name, detail)
