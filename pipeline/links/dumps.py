"""Reading Reddit submissions: dumps of any age and compression, CSV and lists made from them, plain lists of URLs.

A line that is not a record becomes Rejected with BAD_LINE; only what ends a whole file raises.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

import msgspec

from webtext.pipeline.files import json_lines
from webtext.pipeline.files.lines import TooLong, open_lines
from webtext.pipeline.flow import POSTS
from webtext.pipeline.identity.urls import canonicalize, link_key, unescape_ampersands
from webtext.pipeline.links import exports
from webtext.schemas.records import Reason, Rejected, Submission

_EXCERPT = 80  # bytes of a bad line to show

_MAX_SCORE = 2**40
_MAX_TIME = 253_402_300_799  # end of the year 9999; a time in milliseconds is beyond it
_NUMBER = re.compile(r"(-?[0-9]{1,18})(?:\.[0-9]*)?")
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Post(Submission):
    """A submission with what only selection and the health of the input look at."""

    is_self: bool = False
    over_18: bool = False
    retrieved_utc: int = 0  # when the score was read, seconds since 1970-01-01 UTC; 0 where the dump does not tell


class _Line(msgspec.Struct, gc=False):
    """What we read of a dump's line, in all the types that dumps of 2005 to 2024 and Reddit's API have used."""

    id: str | None = None
    name: str | None = None  # "t3_" + id; the only one of the two in some exports
    url: str | None = None
    score: int | float | str | None = None
    created_utc: int | float | str | None = None
    subreddit: str | None = None
    title: str | None = None
    is_self: bool | None = None
    over_18: bool | None = None
    domain: str | None = None
    # When the dump was made: of any type, for these must never cost a post.
    retrieved_on: Any = None
    retrieved_utc: Any = None  # Pushshift's newer name
    meta: Any = msgspec.field(name="_meta", default=None)  # of arctic_shift: holds when the score was read again


_DECODE = msgspec.json.Decoder(_Line).decode
_FIELDS = tuple(field.encode_name for field in msgspec.structs.fields(_Line))


def read_posts(
    stream: BinaryIO, name: str, list_score: int, longest_record: int = exports.MAX_RECORD
) -> Iterator[Post | Rejected]:
    """Every record of a file. Its first line tells what it is: JSON, the header of a table, or else a URL of a list.

    A line of JSON is a post, or a URL with the lists of its posts (see exports.post_lists), each of which is a record.
    A table has commas, tabs, semicolons or bars between its columns (see exports.table_of).

    Args:
        stream: see lines.open_lines.
        name: see lines.open_lines.
        list_score: what the lines of a URL list count for; a list has no scores.
        longest_record: bytes of a record of a table.

    Raises:
        TableError: see exports.table_of.
        TruncatedInputError: see lines.open_lines.
        OSError: the stream can't be read.
    """
    lines = open_lines(stream, name)
    table = None
    for first in lines:
        if isinstance(first, TooLong):
            yield _bad_line(str(first))
            continue
        text = first.strip()
        # A JSON array on one line is no dump either, but its message should speak of JSON, not of URLs.
        if text[:1] in (b"{", b"["):
            yield from _json_posts(chain([first], lines))
            return
        table = exports.table_of(text, name)
        if table or (text and text[:1] != b"#"):
            break
    else:
        return
    if table:
        yield from _table_posts(lines, table, longest_record)
        return
    for line in chain([first], lines):
        if isinstance(line, TooLong):
            yield _bad_line(str(line))
        elif (url := line.strip()) and (found := parse_url_line(url, list_score)):
            yield found


def _json_posts(lines: Iterable[bytes | TooLong]) -> Iterator[Post | Rejected]:
    for line in lines:
        if isinstance(line, TooLong):
            yield _bad_line(str(line))
        elif text := line.strip():
            found = parse_submission(text)
            if isinstance(found, Post):
                yield found
            else:
                yield from _list_posts(text, found)


def _list_posts(line: bytes, rejected: Rejected) -> Iterator[Post | Rejected]:
    """The posts of a line that is no post: those of its lists, if it has any, else the line's own rejection."""
    try:
        records = exports.post_lists(line)
    except ValueError as error:
        yield _bad_line(f"{error}: {line[:_EXCERPT]!r}")
        return
    if records is None:
        yield rejected
        return
    for fields in records:
        try:
            yield _post(msgspec.convert(fields, _Line), line)
        except ValueError as error:
            yield _bad_line(f"{error}: {line[:_EXCERPT]!r}")


def _table_posts(lines: Iterable[bytes | TooLong], table: exports.Table, longest: int) -> Iterator[Post | Rejected]:
    too_long: list[TooLong] = []

    def texts() -> Iterator[bytes]:
        for line in lines:
            if isinstance(line, TooLong):
                too_long.append(line)
            else:
                yield line

    for fields in exports.records(texts(), table, longest):
        if isinstance(fields, str):
            yield _bad_line(fields)
        else:
            yield _post(_Line(**fields), str(fields).encode(), has_id=table.has_ids)
    yield from (_bad_line(str(line)) for line in too_long)


def parse_submission(line: bytes) -> Post | Rejected:
    """One line of a dump.

    Rejected with BAD_LINE: no JSON object, a field of a type that no dump has (a Boolean score, a number as title), a
    missing id, score or created_utc, one out of range, an id or url with half a surrogate pair or octets that are not
    UTF-8, which become U+FFFD in title and subreddit. What else a line holds costs no post where json_lines.lenient can
    read past it. Fractions are cut off. Where is_self is missing, the domain decides: Reddit shows self.SUBREDDIT
    for its own posts (self.com alone is a magazine). A missing url becomes "", which selection refuses.
    """
    try:
        record = _read(line)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        return _bad_line(f"{error}: {line[:_EXCERPT]!r}")
    return _post(record, line)


def _read(line: bytes) -> _Line:
    try:
        return _DECODE(line)
    except (ValueError, RecursionError) as error:
        try:
            fields = json_lines.lenient(line)
        except (ValueError, RecursionError):
            raise error from None  # msgspec's words are the better ones
    if not isinstance(fields, dict):
        raise ValueError("is no JSON object")
    return msgspec.convert({name: fields[name] for name in _FIELDS if name in fields}, _Line)


def _post(record: _Line, line: bytes, *, has_id: bool = True) -> Post | Rejected:
    """The post that has these fields, with an empty id unless `has_id`; `line` is what to show where it is none."""
    url = ""
    try:
        url = _exact(unescape_ampersands(record.url or ""), "url")
        subreddit = _shown(record.subreddit or "")
        identity = _exact((record.id or record.name or "").removeprefix("t3_"), "id")
        if has_id and not identity:
            raise ValueError("id is missing")
        created = _whole(record.created_utc, "created_utc", 0, _MAX_TIME)
        return Post(
            identity,
            url,
            _whole(record.score, "score", -_MAX_SCORE, _MAX_SCORE),
            created,
            subreddit,
            _shown(record.title or ""),
            record.domain == f"self.{subreddit}" if record.is_self is None else record.is_self,
            record.over_18 or False,
            _retrieved(record, created),
        )
    except ValueError as error:
        return _bad_line(f"{error}: {line[:_EXCERPT]!r}", url)


def _exact(text: str, field: str) -> str:
    if not text.isascii() and _HALF.search(text):
        raise ValueError(f"{field} has half a surrogate pair or octets that are not UTF-8")
    return text


def _shown(text: str) -> str:
    return text if text.isascii() else _HALF.sub("\ufffd", text)


def _retrieved(record: _Line, created: int) -> int:
    """When the score was read, 0 where that is not known or can't be."""
    again = record.meta.get("retrieved_2nd_on") if isinstance(record.meta, dict) else None
    value = again or record.retrieved_on or record.retrieved_utc
    if type(value) is int:  # nearly always
        return value if created <= value <= _MAX_TIME else 0
    try:
        return _whole(value, "retrieved_on", created, _MAX_TIME) if isinstance(value, float | str) else 0
    except ValueError:
        return 0


def _whole(value: float | str | None, field: str, least: int, most: int) -> int:
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value)
        if match is None:
            raise ValueError(f"{field} is {value[:_EXCERPT]!r}, not a number")
        value = int(match[1])
    if value is None:
        raise ValueError(f"{field} is missing")
    if not least <= value <= most:
        raise ValueError(f"{field} is {value}, not within {least} to {most}")
    return int(value)


def parse_url_line(line: bytes, score: int) -> Post | Rejected | None:
    """One line of a URL list: a post without id, date, or title. None for a comment, which begins with `#`.

    Rejected with BAD_URL where white space stands in it: what is behind it, a title or a score, is no part of the URL.
    """
    if line[:1] == b"#":
        return None
    try:
        url = line.decode()
    except UnicodeDecodeError as error:
        return _bad_line(f"{error}: {line[:_EXCERPT]!r}")
    if len(line.split()) > 1:
        detail = "line of a URL list: has white space, and what is behind it is no part of a URL"
        return Rejected(POSTS, Reason.BAD_URL, b"", url, detail)
    return Post("", unescape_ampersands(url), score, 0, "", "")


def _bad_line(detail: str, url: str = "") -> Rejected:
    try:
        key = link_key(canonicalize(url))
    except ValueError:
        key = b""
    return Rejected(POSTS, Reason.BAD_LINE, key, url, detail)
