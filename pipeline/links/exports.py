"""Other shapes in which people keep Reddit posts: tables with a header, and a JSON object per URL with lists of posts.

Both are taken apart into the fields of single posts; dumps.py judges the fields as it does those of a dump.
"""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from webtext.pipeline.files import json_lines

MAX_RECORD: Final = 2**20
"""Longest record of a table in bytes. A post's text has at most 40,000 characters."""

# The header says which column is which; these are read, the others skipped. A dump has the same names.
_FIELDS: Final = (
    *("id", "name", "url", "score", "created_utc", "subreddit", "title", "is_self", "over_18", "domain"),
    *("retrieved_on", "retrieved_utc"),
)
# What tells the same where those are missing; PushshiftDumps' to_csv.py writes created and link.
_PERMALINKS: Final = ("permalink", "link")
_OTHERS: Final = ("created", *_PERMALINKS)
_NEEDED: Final = ("url", "score")
_DELIMITERS: Final = "\t,;|"
_BOOLEAN: Final = {"true": True, "1": True, "false": False, "0": False, "": None}
_PERMALINK: Final = re.compile(r"(?:https?://[^/]+)?/r/([^/]+)/comments/([0-9a-z]{1,13})(?![^/?#])")


class TableError(ValueError):
    """A table that can't be read, for its header does not say enough. `why` says what."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.why = why


@dataclass(frozen=True, slots=True)
class Table:
    """What the header of a table of posts tells."""

    delimiter: str
    columns: Mapping[str, int]  # number of each column, by its name in lower case
    width: int  # fields of a record

    @property
    def has_ids(self) -> bool:
        """Whether each record must have an id."""
        return bool(self.columns.keys() & {"id", "name"})


def table_of(line: bytes, name: str) -> Table | None:
    """The table of posts whose header this first line of a file is; None where it is something else.

    A header is two names or more, between tabs, commas, semicolons or bars, of which one is url, or two are read.
    Behind a `#` it is one only where nothing is missing.

    Raises:
        TableError: it has no column url or score, or one that is read twice.
    """
    for delimiter in _DELIMITERS:
        try:
            names = [field.strip().lower() for field in _row(line.lstrip(b"# "), delimiter)]
        except ValueError:
            continue
        read = [column for column in names if column in _FIELDS or column in _OTHERS]
        if len(names) < 2 or not ("url" in read or len(read) > 1) or any("://" in column for column in names):
            continue
        missing = [column for column in _NEEDED if column not in read]
        if not missing and len(set(read)) == len(read):
            return Table(delimiter, {column: number for number, column in enumerate(names)}, len(names))
        if not line.startswith(b"#"):
            problem = f"has no column {' and no '.join(missing)}" if missing else "has a column twice"
            raise TableError(name, f"its header {problem}: {line[:80]!r}; a table of posts needs url and score")
    return None


def records(lines: Iterable[bytes], table: Table, longest: int = MAX_RECORD) -> Iterator[dict[str, Any] | str]:
    """The fields of each record, as a dump would have them; or why a record is none, in words.

    A record ends where its quotes are closed, so it may have line feeds (RFC 4180). A quote opens where a field begins;
    others are text. Where one stays open for `longest` bytes or to the end of the file, it was a stray one: its line
    alone is lost, and reading goes on with the next. What ends in an error of `lines` is no record.
    """
    waiting: deque[bytes] = deque()  # lines to read again
    source = iter(lines)
    opening = f'{table.delimiter}"'.encode()
    while True:
        parts: list[bytes] = []
        size = quotes = 0
        while not parts or (quotes % 2 and size <= longest):
            line = waiting.popleft() if waiting else next(source, None)
            if line is None:
                break
            if not parts and not line.strip():
                continue
            if parts or line.startswith(b'"') or opening in line:
                quotes += line.count(b'"')
            parts.append(line)
            size += len(line) + 1
        if not parts:
            return
        if quotes % 2:
            waiting.extendleft(reversed(parts[1:]))
            yield f"a quote stays open: {parts[0][:80]!r}"
            continue
        yield _record(b"\n".join(parts), table, longest)


def _record(text: bytes, table: Table, longest: int) -> dict[str, Any] | str:
    columns = table.columns
    try:
        row = _row(text, table.delimiter, longest)
        if len(row) != table.width:
            raise ValueError(f"has {len(row)} fields, the header {table.width}")
        fields: dict[str, Any] = {name: row[columns[name]] or None for name in _FIELDS if name in columns}
        for name in ("is_self", "over_18"):
            if name in columns:
                fields[name] = _boolean(row[columns[name]], name)
    except ValueError as error:
        return f"{error}: {text[:80]!r}"
    # Exports of one subreddit leave its name to the file; the post's own address has it too, and its id.
    addresses = (_PERMALINK.match(row[columns[name]]) for name in _PERMALINKS if name in columns)
    subreddit, identity = next((found.groups() for found in addresses if found), (None, None))
    fields["subreddit"] = fields.get("subreddit") or subreddit
    if not table.has_ids:
        fields["id"] = identity
    created = columns.get("created_utc", columns.get("created"))
    fields["created_utc"] = 0 if created is None else _seconds(row[created]) or None
    return fields


def _row(text: bytes, delimiter: str, longest: int = MAX_RECORD) -> list[str]:
    """The fields of one record. Raises ValueError."""
    if len(text) > longest:
        raise ValueError(f"has more than {longest} bytes")
    csv.field_size_limit(longest)  # of this process; Python's own limit is an eighth of it
    try:
        [row] = csv.reader([text.decode()], delimiter=delimiter, strict=True)
    except csv.Error as error:
        if delimiter == "\t" and b"\n" not in text:  # by a writer who quotes nothing
            return text.decode().rstrip("\r").split(delimiter)
        raise ValueError(str(error)) from error
    return row


def _boolean(value: str, name: str) -> bool | None:
    try:
        return _BOOLEAN[value.lower()]
    except KeyError:
        raise ValueError(f"{name} is {value[:80]!r}, not true or false") from None


# OpenWebText2's lists, as its pushshift/generate_urls.py and scraping/scrape_urls.py write them:
# {"text": URL, "meta": {"id": [...], "score": [...], ...}}, or {"text": the page, "meta": {"url": URL,
# "reddit_id": [...], "reddit_scores": [...], ...}}. Also without "meta".
_LISTS: Final = {
    "id": ("id", "reddit_id", "reddit_ids"),
    "score": ("score", "reddit_score", "reddit_scores"),
    "created_utc": ("created_utc", "reddit_created_utc"),
    "subreddit": ("subreddit", "reddit_subreddit", "reddit_subreddits"),
    "title": ("title", "reddit_title", "reddit_titles"),
}


def post_lists(line: bytes) -> list[dict[str, Any]] | None:
    """The fields of each post that a line of such a list tells of; None if the line is something else.

    A score that is missing is 0, as OpenWebText2 counts it; a list that is missing leaves its field out.

    Raises:
        ValueError: the lists are empty or differ in length.
    """
    try:
        record = json_lines.decode(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    meta = record.get("meta")
    inner = meta if isinstance(meta, dict) else record
    lists = {field: _first_list(inner, names) for field, names in _LISTS.items()}
    if lists["id"] is None or lists["score"] is None:
        return None
    present = {field: values for field, values in lists.items() if values is not None}
    lengths = {len(values) for values in present.values()}
    if len(lengths) != 1 or 0 in lengths:
        told = ", ".join(f"{len(values)} of {field}" for field, values in present.items())
        raise ValueError(f"its lists don't match: {told}")
    url = next((found for found in (inner.get("url"), record.get("url"), record.get("text")) if found), None)
    rows = zip(*present.values(), strict=True)
    return [_post(dict(zip(present, row, strict=True)), url) for row in rows]


def _first_list(record: dict[str, Any], names: Sequence[str]) -> list[Any] | None:
    return next((record[name] for name in names if isinstance(record.get(name), list)), None)


def _post(fields: dict[str, Any], url: Any) -> dict[str, Any]:
    if fields["score"] is None:
        fields["score"] = 0
    if isinstance(fields.get("created_utc"), str):
        fields["created_utc"] = _seconds(fields["created_utc"])
    return {**fields, "url": url}


def _seconds(date: str) -> float | str:
    """The time of a date, in UTC where it has no zone, as OpenWebText2 and to_csv.py write it; else as it is."""
    try:
        moment = datetime.fromisoformat(date) if "-" in date[1:] else None
    except ValueError:
        return date
    if moment is None:
        return date
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
