"""Captures that lead to a page elsewhere in the archives: redirects, and revisits of a payload under another URL.

A detour has the name of its page: a link key, or the hash of a payload's digest. Who knows pages by these names is
asked (`follow`); an answer may be a page, or another detour, whose page is asked for in the next round.
"""

from collections.abc import Iterator
from hashlib import blake2b
from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from webtext.pipeline.archives.warc import Capture
from webtext.pipeline.engine import packed
from webtext.pipeline.identity import urls
from webtext.schemas.records import Reason

MOST: Final = 5
"""Detours one behind the other that are followed, as many as redirects on the live web."""

PAGE, DETOUR, ASK = range(3)
RECORD: Final = np.dtype(
    [
        *packed.KEY_FIELDS,  # the name; of a detour, its own key
        ("kind", "u1"),
        ("captured", "<i8"),  # of an ask the date that is wanted
        ("digest", "<u8"),
        ("archive", "<u4"),
        ("offset", "<i8"),
        ("other_hi", "<u8"),  # of a detour the name of its page, of an ask the key of who asks
        ("other_lo", "<u8"),
        ("exact", "<i8"),  # the one date that will do, 0 for the nearest
        ("since", "<i8"),  # of an ask, when its first detour was captured
    ]
)


class Detour(NamedTuple):
    """Where a capture leads."""

    name: bytes  # of the page
    exact_utc: int  # when the page was captured, where only that capture will do; else 0
    told: str  # for people


def detours_of(capture: Capture, url: str) -> list[Detour]:
    """Where a capture of a canonical URL leads; nothing where that has the same key, so that it is looked at anyway.

    What a revisit repeats is known by its payload's digest, and by its URL with its date.
    """
    try:
        target = urls.canonicalize(urls.resolve(capture.url, capture.target)) if capture.target else ""
    except ValueError:
        target = ""
    name = urls.link_key(target) if target else b""
    if name == urls.link_key(url):
        return []
    if capture.verdict != Reason.REVISIT:
        return [Detour(name, 0, f"redirect to {target}")] if target else []
    found = []
    if capture.payload:
        found.append(Detour(payload_name(capture.payload), 0, f"revisit of {target or capture.payload}"))
    if target and (capture.target_utc or not capture.payload):
        found.append(Detour(name, capture.target_utc, f"revisit of {target}"))
    return found


def leads_to_front(capture: Capture, url: str) -> bool:
    """Whether a redirect leads from inside a site to a front page, which is what many sites do with what is gone.

    The live web is judged alike: pipeline.pages.crawl.drift.
    """
    try:
        target = urls.canonicalize(urls.resolve(capture.url, capture.target))
    except ValueError:
        return False
    return target.split("/", 3)[3] == "" and url.split("/", 3)[3] != ""


def payload_name(digest: str) -> bytes:
    """What a page is called by the digest of its payload, as archives write it: 16 bytes."""
    return blake2b(digest.encode(), digest_size=16, person=b"payload").digest()


class Answer(NamedTuple):
    """A row of ANSWERS."""

    key: bytes
    captured_utc: int
    archive: int
    offset: int
    digest: int


class Ask(NamedTuple):
    """A row of ASKS."""

    name: bytes
    key: bytes
    captured_utc: int
    wanted_utc: int
    exact_utc: int


def follow(records: packed.Packed) -> Iterator[Answer | Ask]:
    """What is known of each ask among sorted records: the nearest page of the name, or the nearest detours from it."""
    asks, known = records[records["kind"] == ASK], records[records["kind"] != ASK]
    for (hi, lo), mine in groupby(asks, key=lambda ask: (ask["hi"], ask["lo"])):
        there = packed.of_key(known, hi, lo)
        pages, detours = there[there["kind"] == PAGE], there[there["kind"] == DETOUR]
        for ask in mine:
            wanted, exact, since = (int(ask[name]) for name in ("captured", "exact", "since"))
            asker = packed.join_key(ask["other_hi"], ask["other_lo"])
            if len(found := _nearest(pages, wanted, exact)):
                page = found[0]
                yield Answer(asker, since, int(page["archive"]), int(page["offset"]), int(page["digest"]))
                continue
            for detour in _nearest(detours, wanted, exact):
                name = packed.join_key(detour["other_hi"], detour["other_lo"])
                if name != asker:
                    yield Ask(name, asker, since, int(detour["captured"]), int(detour["exact"]))


def _nearest(rows: packed.Packed, wanted: int, exact: int) -> packed.Packed:
    """The rows of one date, of rows sorted by it: of `exact`, or where that is 0 of the nearest, of two the earlier."""
    dates = rows["captured"]
    wanted = exact or wanted
    at = int(np.searchsorted(dates, wanted))
    near = dates[max(at - 1, 0) : at + 1].tolist()
    date = min(near, key=lambda date: (abs(date - wanted), date), default=0)
    if exact and date != exact:
        return rows[:0]
    found: packed.Packed = rows[int(np.searchsorted(dates, date)) : int(np.searchsorted(dates, date, "right"))]
    return found


# Tables to records.


def pages_in(table: pa.Table, name: str, archive: int) -> packed.Packed:
    """The pages in a table of captures or of payloads by the names in a column. `archive`: its ordinal."""
    if "verdict" in table.schema.names:
        table = table.filter(pc.equal(table["verdict"], ""))
    records = _records(PAGE, table, name, captured="captured_utc", offset="offset")
    records["digest"], _ = packed.split_keys(table["digest"].to_pylist())
    records["archive"] = archive
    return records


def detours_in(table: pa.Table) -> packed.Packed:
    """The detours of an archive under their own keys."""
    return _records(DETOUR, table, "key", "name", captured="captured_utc", exact="exact_utc")


def asks_of(table: pa.Table) -> packed.Packed:
    """What the detours of an archive ask for."""
    return _records(ASK, table, "name", "key", captured="captured_utc", exact="exact_utc", since="captured_utc")


def asks_in(table: pa.Table) -> packed.Packed:
    """The asks that a round has left."""
    return _records(ASK, table, "name", "key", captured="wanted_utc", exact="exact_utc", since="captured_utc")


def _records(kind: int, table: pa.Table, key: str, other: str = "", **columns: str) -> packed.Packed:
    records = np.zeros(table.num_rows, RECORD)
    records["kind"] = kind
    records["hi"], records["lo"] = packed.split_keys(table[key].to_pylist())
    if other:
        records["other_hi"], records["other_lo"] = packed.split_keys(table[other].to_pylist())
    for name, column in columns.items():
        records[name] = table[column].to_numpy()
    return records
