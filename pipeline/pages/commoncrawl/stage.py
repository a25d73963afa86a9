"""Pages out of Common Crawl: its index says where a link's captures are, and Range requests fetch the nearest one.

Two stages. `index` keeps those rows of the columnar index that are captures of our links (index.py).
`commoncrawl` chooses for each link the capture nearest to its first post, reads those records out of Common Crawl's
archives, and copies them byte for byte into an archive of ours, with the same table of captures that stage `captures`
makes of archives that are there already. So stage `pages` takes both alike.
"""

import gzip
import io
import uuid
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import groupby, islice, pairwise
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import xxhash

from webtext.pipeline.archives import warc
from webtext.pipeline.engine import exchange
from webtext.pipeline.engine.stage import Part, PartOutput, Stage, numbered, paths_of
from webtext.pipeline.files import storage, tabular
from webtext.pipeline.flow import ARCHIVE, COMMONCRAWL, INDEX, LINKS_TABLE
from webtext.pipeline.identity import urls
from webtext.pipeline.pages.commoncrawl import ranges
from webtext.pipeline.pages.commoncrawl.index import MATCHED, Wanted, run_index
from webtext.pipeline.pages.commoncrawl.ranges import Range, RangeError, RangeReader
from webtext.pipeline.pages.commoncrawl.settings import CommonCrawlSettings
from webtext.schemas import tables
from webtext.schemas.manifest import StageManifest
from webtext.schemas.records import Reason, Rejected

_GZIP: Final = b"\x1f\x8b"
_SECONDS: Final = 60  # that an index may differ from the date in its record
_LAGS: Final = (1, 7, 30, 90, 365, 1095)  # days
# Every part of `commoncrawl` opens what every part of `index` made. A whole index has 15,000 files.
_INDEX_PARTS: Final = 512

# What the recipe calls


def index_stage(
    settings: CommonCrawlSettings,
    index: Sequence[storage.Found],
    work: str,
    links: StageManifest,
    *,
    others: Sequence[str] = (),
    others_digest: str = "",
) -> Stage:
    """Some files of the index each: the rows that are captures of our links.

    Args:
        settings: where Common Crawl is.
        index: what `index.find_index` found.
        work: the folder of the build.
        links: the manifest of stage `links`.
        others: capture tables of other sources; with `only_when="missing"` a link that has a usable capture there is
            left alone.
        others_digest: of the stage manifests that made them.
    """
    link_tables = paths_of(work, links, LINKS_TABLE)
    missing = settings.only_when == "missing"
    rounds = max(1, min(settings.rounds, len(link_tables)))
    bounds = np.linspace(0, len(link_tables), rounds + 1).astype(int).tolist()
    wanted = [
        Wanted(tuple(link_tables[start:end]), tuple(others) if missing else (), f"{links.digest()} {others_digest}")
        for start, end in pairwise(bounds)
    ]
    cuts = np.linspace(0, len(index), min(len(index), _INDEX_PARTS) + 1).astype(int).tolist()
    groups = [[found.path for found in index[start:end]] for start, end in pairwise(cuts)]
    return Stage(
        name=INDEX,
        folder=storage.join(work, INDEX),
        settings={"only_when": settings.only_when, "rounds": rounds},
        inputs=[links.digest(), others_digest if missing else "", *(found.line() for found in index)],
        # All parts of one round follow one another, so that a worker process loads the links of a round once.
        parts=numbered({"index": group} for _ in wanted for group in groups),
        run=partial(run_index, settings=settings, wanted=wanted, groups=len(groups), parts=len(link_tables)),
        unit="captures",
    )


def commoncrawl_stage(
    settings: CommonCrawlSettings, max_page_bytes: int, work: str, links: StageManifest, matches: StageManifest
) -> Stage:
    """Each part of the links: the nearest capture of each, read and stored. `matches` is stage `index`'s manifest."""
    found = paths_of(work, matches, MATCHED)
    link_tables = paths_of(work, links, LINKS_TABLE)
    return Stage(
        name=COMMONCRAWL,
        folder=storage.join(work, COMMONCRAWL),
        settings={"prefix": settings.prefix, "candidates": settings.candidates, "max_page_bytes": max_page_bytes},
        inputs=[links.digest(), matches.digest()],
        parts=numbered({"links": [path], "matches": found} for path in link_tables),
        run=partial(run_commoncrawl, settings=settings, max_page_bytes=max_page_bytes, parts=len(link_tables)),
        unit="captures",
        expects={"taken": matches.tally.rows, "links": links.tally.rows},
    )


# Stage `commoncrawl`


class Match(NamedTuple):
    """A row of MATCHES."""

    key: bytes
    url: str
    captured_utc: int
    status: int
    content_type: str
    verdict: str
    digest: bytes
    truncated: str
    file: str
    offset: int
    length: int


@dataclass(slots=True)
class _Found:
    """What is known of one link with matches: the captures to try, nearest first, and a row of CAPTURES."""

    created_utc: int
    nearest: Match
    untried: list[Match]
    row: tuple[object, ...] | None = None
    chosen: Match | None = None

    @property
    def open(self) -> bool:
        """Whether there is something to read."""
        return self.chosen is None and bool(self.untried)


def run_commoncrawl(
    part: Part,
    output: PartOutput,
    *,
    settings: CommonCrawlSettings,
    max_page_bytes: int,
    parts: int,
) -> None:
    """Stage `commoncrawl`: the nearest capture of each link of one part. Inputs: the links table, files of matches.

    The archive holds the records in the order of Common Crawl's files, the table the links in the order of their keys.
    A record that turns out to be no page, or can't be had, makes way for the next nearest capture; if none is left, the
    nearest one's verdict stands, and the offset is -1.
    """
    found = _choose(part, parts, output)
    with closing(RangeReader(settings)) as reader, output.file(part.name + ARCHIVE) as sink:
        sink.write(_member(_warcinfo(part, found)))
        for _ in range(settings.candidates):
            wanted = {_range(settings, entry.untried[0]): entry for entry in found if entry.open}
            if not wanted:
                break
            for at, data in ranges.read_all(reader, sorted(wanted), settings.gap_bytes, settings.connections):
                output.counts["records_read"] += 1
                _keep_or_try_next(wanted[at], data, max_page_bytes, sink)
        sink.rows = sum(entry.chosen is not None for entry in found)
    with output.table("captures", tables.CAPTURES) as table:
        for entry in found:
            row = entry.row or _unread(entry.nearest)
            table.add(*row)
            verdict = row[5]
            output.counts[f"links_{verdict}" if verdict else "links_with_capture"] += 1
            if entry.chosen is not None:
                _count(output, entry, entry.chosen)
    output.rows = len(found)


def _choose(part: Part, parts: int, output: PartOutput) -> list[_Found]:
    """The links of this part that have matches, in order of their keys."""
    [path] = part.inputs["links"]
    links = tabular.read_columns(path, ["key", "created_utc"])
    created = dict(zip(links["key"].to_pylist(), links["created_utc"].to_pylist(), strict=True))
    matches = exchange.read_table(part.inputs["matches"], part.ordinal, parts, tables.MATCHES).sort_by("key")
    output.taken = output.passed = matches.num_rows
    found: list[_Found] = []
    for key, group in groupby(matches_in(matches), key=lambda row: row.key):
        rows = {(row.file, row.offset): row for row in sorted(group)}  # index files may overlap
        if key not in created:
            output.counts["matches_not_linked"] += len(rows)  # another key with the same first half
            continue
        output.counts["captures_to_choose_from"] += len(rows)
        order = sorted(rows.values(), key=partial(_distance, created[key]))
        found.append(_Found(created[key], order[0], [row for row in order if not row.verdict]))
    output.counts["links"] = links.num_rows
    output.counts["links_without_match"] = links.num_rows - len(found)
    return found


def matches_in(matches: pa.Table) -> Iterator[Match]:
    """The rows of a table of MATCHES."""
    for batch in matches.to_batches(max_chunksize=10_000):
        yield from map(Match, *(column.to_pylist() for column in batch.columns))


def _distance(created_utc: int, row: Match) -> tuple[object, ...]:
    """The order of `pages.choose_capture`, with the digest of the index: it decides between captures of one second."""
    distance = abs(row.captured_utc - created_utc)
    return (row.verdict != "", distance, row.captured_utc, row.digest, row.file, row.offset)


def _range(settings: CommonCrawlSettings, row: Match) -> Range:
    return Range(settings.prefix + row.file, row.offset, row.length)


def _keep_or_try_next(entry: _Found, data: bytes | RangeError, max_page_bytes: int, sink: storage.HashingSink) -> None:
    """Store the record if it is the page that the index promised; else the next candidate has its turn."""
    match = entry.untried.pop(0)
    capture = None if isinstance(data, RangeError) else _capture_in(match, data, max_page_bytes)
    row = _unread(match, Reason.PAGE_UNREADABLE)
    if capture is not None:
        offset = -1
        if not capture.verdict:
            assert isinstance(data, bytes)
            offset = sink.tell()
            sink.write(data if data.startswith(_GZIP) else _member(data))
            entry.chosen = match
        row = (
            match.key,
            match.url,
            capture.captured_utc,
            capture.status,
            capture.content_type,
            capture.verdict,
            capture.digest,
            offset,
        )
    if entry.row is None or entry.chosen is not None:
        entry.row = row  # of several that are no use, the nearest explains why


def copy_records(
    settings: CommonCrawlSettings, wanted: Sequence[Match], max_page_bytes: int, sink: storage.HashingSink
) -> dict[Match, int]:
    """Copy these captures into an archive, in the order of Common Crawl's files. Returns their offsets there.

    Those that can't be had, or are not what the index promised, are left out.
    """
    offsets: dict[Match, int] = {}
    by_range = {_range(settings, match): match for match in wanted}
    with closing(RangeReader(settings)) as reader:
        for at, data in ranges.read_all(reader, sorted(by_range), settings.gap_bytes, settings.connections):
            match = by_range[at]
            if isinstance(data, RangeError) or _capture_in(match, data, max_page_bytes) is None:
                continue
            offsets[match] = sink.tell()
            sink.write(data if data.startswith(_GZIP) else _member(data))
    return offsets


def _unread(match: Match, verdict: str = "") -> tuple[object, ...]:
    """The row of a match that was not read, or could not be."""
    said = str(verdict or match.verdict)
    return (match.key, match.url, match.captured_utc, match.status, match.content_type, said, match.digest, -1)


def _capture_in(match: Match, data: bytes, max_page_bytes: int) -> warc.Capture | None:
    """The one capture in a range, or None where the range is not the record that the index promised."""
    try:
        start = zlib.decompressobj(31).decompress(data, 5) if data.startswith(_GZIP) else data[:5]
    except zlib.error:
        return None
    if start != b"WARC/":
        return None
    found = list(islice(warc.index_archive(io.BytesIO(data), match.file, max_page_bytes), 2))
    if len(found) != 1 or isinstance(found[0], Rejected):
        return None
    capture = found[0]
    try:
        key = urls.link_key(urls.canonicalize(capture.url))
    except ValueError:
        return None
    if key != match.key or abs(capture.captured_utc - match.captured_utc) > _SECONDS:
        return None
    return capture


def _count(output: PartOutput, entry: _Found, chosen: Match) -> None:
    output.counts["links_with_another_than_the_nearest"] += chosen != entry.nearest
    output.counts["captures_truncated_by_the_crawler"] += chosen.truncated != ""
    output.counts["stored_record_bytes"] += chosen.length
    if not entry.created_utc:
        output.counts["lag_unknown"] += 1
        return
    lag = chosen.captured_utc - entry.created_utc
    output.counts["captures_before_the_post"] += lag < 0
    days = next((days for days in _LAGS if abs(lag) < days * 86_400), None)
    output.counts[f"lag_under_{days:04d}_days" if days else f"lag_{_LAGS[-1]}_days_or_more"] += 1


def _warcinfo(part: Part, found: Sequence[_Found]) -> bytes:
    """The first record of our archive: where the others come from. The same for the same matches."""
    body = (
        b"software: webtext\r\nformat: WARC File Format 1.1\r\n"
        b"description: records of Common Crawl, each copied as it stands there\r\n"
    )
    latest = max((entry.nearest.captured_utc for entry in found), default=0)
    name = xxhash.xxh3_128_hexdigest(b"".join(entry.nearest.key for entry in found) + body)
    head = (
        "WARC/1.1\r\nWARC-Type: warcinfo\r\n"
        f"WARC-Date: {datetime.fromtimestamp(latest, UTC):%Y-%m-%dT%H:%M:%SZ}\r\n"
        f"WARC-Filename: {part.name}{ARCHIVE}\r\n"
        f"WARC-Record-ID: <urn:uuid:{uuid.UUID(name)}>\r\n"
        f"Content-Type: application/warc-fields\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    return head + body + b"\r\n\r\n"


def _member(data: bytes) -> bytes:
    """A gzip member without date, so that equal records are equal bytes."""
    return gzip.compress(data, 6, mtime=0)
