"""Other shapes in which people keep Reddit posts: CSV with a header, and a JSON object per URL with lists of posts.

Both are taken apart into the fields of single posts; dumps.py judges the fields as it does those of a dump.
"""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from webtext.pipeline.files import json_lines

MAX_RECORD: Final = 2**20
"""Longest CSV record in bytes. A post's text has at most 40,000 characters."""

# The header says which column is which; these are read, the others skipped. A dump has the same names.
FIELDS: Final = (
    *("id", "name", "url", "score", "created_utc", "subreddit", "title", "is_self", "over_18", "domain"),
    *("retrieved_on", "retrieved_utc"),
)
_BOOLEAN: Final = {"true": True, "1": True, "false": False, "0": False, "": None}
_SUBREDDIT: Final = re.compile(r"(?:https?://[^/]+)?/r/([^/]+)/comments/")


def csv_header(line: bytes) -> dict[str, int] | None:
    """The columns of a CSV file by name, if this first line is the header of one with posts: url, and id or name."""
    try:
        names = _row(line)
    except ValueError:
        return None
    columns = {name.strip().lower(): number for number, name in enumerate(names)}
    return columns if len(columns) == len(names) and "url" in columns and columns.keys() & {"id", "name"} else None


def csv_records(
    lines: Iterable[bytes], columns: dict[str, int], longest: int = MAX_RECORD
) -> Iterator[dict[str, Any] | str]:
    """The fields of each record, as a dump would have them; or why a record is none, in words.

    A record ends where its quotes are closed, so it may have line feeds (RFC 4180). Where they stay open for `longest`
    bytes or to the end of the file, the quote was a stray one: its line alone is lost, and reading goes on with the
    next. What ends in an error of `lines` is no record.
    """
    waiting: deque[bytes] = deque()  # lines to read again
    source = iter(lines)
    while True:
        parts: list[bytes] = []
        size = quotes = 0
        while not parts or (quotes % 2 and size <= longest):
            line = waiting.popleft() if waiting else next(source, None)
            if line is None:
                break
            if not parts and not line.strip():
                continue
            parts.append(line)
            size += len(line) + 1
            quotes += line.count(b'"')
        if not parts:
            return
        if quotes % 2:
            waiting.extendleft(reversed(parts[1:]))
            yield f"a quote stays open: {parts[0][:80]!r}"
            continue
        yield _record(b"\n".join(parts), columns, longest)


def _record(text: bytes, columns: dict[str, int], longest: int) -> dict[str, Any] | str:
    try:
        row = _row(text, longest)
        if len(row) != len(columns):
            raise ValueError(f"has {len(row)} fields, the header {len(columns)}")
        values = {name: row[columns[name]] for name in FIELDS if name in columns}
        fields: dict[str, Any] = {name: value or None for name, value in values.items()}
        for name in ("is_self", "over_18"):
            if name in values:
                fields[name] = _boolean(values[name], name)
    except ValueError as error:
        return f"{error}: {text[:80]!r}"
    # Exports of one subreddit leave its name to the file; the post's own address has it too.
    if not fields.get("subreddit") and "permalink" in columns:
        found = _SUBREDDIT.match(row[columns["permalink"]])
        fields["subreddit"] = found and found[1]
    return fields


def _row(text: bytes, longest: int = MAX_RECORD) -> list[str]:
    """The fields of one CSV record. Raises ValueError."""
    if len(text) > longest:
        raise ValueError(f"has more than {longest} bytes")
    csv.field_size_limit(longest)  # of this process; Python's own limit is an eighth of it
    try:
        [row] = csv.reader([text.decode()], strict=True)
    except csv.Error as error:
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
    """The time of a date, which OpenWebText2 wrote without a zone; anything else as it is."""
    try:
        return datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp() if "-" in date[1:] else date
    except ValueError:
        return date
