"""Pages out of archives meet the captures of robots.txt of their hosts; the one nearest in time to the page counts.

Runs between `pages` and `documents`, where an archive or Common Crawl's index has captures of robots.txt at all. Pages
and captures come together by the link key of robots.txt in a packed shuffle. What comes out is where to read: the text
itself is read by `documents`, which knows the page's path. Captures in Common Crawl are copied into an archive of ours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from webtext.pipeline.engine import exchange, packed
from webtext.pipeline.engine.stage import Part, PartOutput, Shuffle, Stage, numbered, paths_of
from webtext.pipeline.files import storage, tabular
from webtext.pipeline.flow import ARCHIVE, CAPTURES_TABLE, FETCH, PAGES_TABLE, ROBOTS, ROBOTS_FOUND, ROBOTS_OF_PAGES
from webtext.pipeline.identity import urls
from webtext.pipeline.opt_outs.robots_rules import MAX_BYTES
from webtext.pipeline.pages.commoncrawl import stage as commoncrawl
from webtext.pipeline.pages.commoncrawl.settings import CommonCrawlSettings
from webtext.schemas import tables
from webtext.schemas.manifest import StageManifest
from webtext.schemas.records import Reason

# Captures in archives and in Common Crawl, captures of none, pages, and pages of the live web, which have asked.
_ARCHIVED, _CRAWLED, _NONE, _PAGE, _LIVE = range(5)
_RECORD = np.dtype(
    [
        *packed.KEY_FIELDS,  # of robots.txt
        ("captured", "<i8"),
        ("kind", "u1"),  # of the five above
        ("source", "<u4"),  # ordinal of the source
        ("row", "<i8"),  # offset in the archive; or row of the file
        ("page_hi", "<u8"),
        ("page_lo", "<u8"),
    ]
)
_URL = r"^https?://[^/]+/robots\.txt$"


@dataclass(frozen=True, slots=True)
class RobotsPlan:
    """What all parts of the stage need to know."""

    archives: tuple[str, ...]  # in the order of their captures tables, which are the first sources
    crawled: tuple[str, ...]  # files of Common Crawl's captures, the sources behind them
    crawl: CommonCrawlSettings | None
    folder: str  # of the stage
    live: str  # folder of stage `fetch`, whose pages have asked robots.txt themselves
    parts: int  # of the pages


def robots_stage(
    captures: StageManifest,
    archives: Sequence[storage.Found],
    pages: StageManifest,
    work: str,
    *,
    index: StageManifest | None = None,
    crawl: CommonCrawlSettings | None = None,
) -> Stage:
    """The robots.txt of each page.

    Args:
        captures: the manifest of stage `captures`, which has read the `archives`.
        archives: web archives.
        pages: the manifest of stage `pages`.
        work: the folder of the build.
        index: the manifest of stage `index`, if Common Crawl is asked.
        crawl: how it is asked.
    """
    of_pages = paths_of(work, pages, PAGES_TABLE)
    crawled = [] if index is None else paths_of(work, index, ROBOTS_FOUND, filled=True)
    plan = RobotsPlan(
        archives=tuple(found.path for found in archives),
        crawled=tuple(crawled),
        crawl=crawl,
        folder=storage.join(work, ROBOTS),
        live=storage.join(work, FETCH, ""),
        parts=len(of_pages),
    )
    sources = [
        *({"captures": [path]} for path in paths_of(work, captures, CAPTURES_TABLE)),
        *({"crawled": [path]} for path in crawled),
        *({"pages": [path]} for path in of_pages),
    ]
    return Stage(
        name=ROBOTS,
        folder=plan.folder,
        settings={},
        inputs=[captures.digest(), "" if index is None else index.digest(), pages.digest()],
        parts=numbered([{}] * plan.parts),
        run=Shuffle(
            sources=numbered(sources),
            emit=partial(emit_robots, plan),
            bytes=pages.tally.rows * _RECORD.itemsize,
            run=partial(run_robots, plan),
        ),
        unit="pages",
        expects={"taken": pages.tally.rows},
    )


def emit_robots(plan: RobotsPlan, source: Part, wanted: frozenset[int]) -> list[tuple[int, bytes]]:
    """The captures of robots.txt in one table, or the pages of one, packed for the part of their hosts."""
    [(kind, [path])] = source.inputs.items()
    if kind == "pages":
        records = _pages_in(path, plan.live)
    elif kind == "captures":
        table = tabular.read_columns(path, ["key", "url", "captured_utc", "status", "verdict", "offset"])
        has_text = pc.not_equal(table["verdict"], str(Reason.REVISIT))  # what it repeats is a capture of its own
        table = table.filter(pc.and_(pc.match_substring_regex(table["url"], _URL), has_text))
        records = _captures_in(table, _ARCHIVED, table["offset"].to_numpy())
    else:
        columns = ["key", "captured_utc", "status"]
        schema = pa.schema([tables.MATCHES.field(name) for name in columns])
        table = exchange.read_table([path], 0, 1, schema, columns)
        records = _captures_in(table, _CRAWLED, np.arange(table.num_rows))
    records["source"] = source.ordinal
    return packed.scatter(records, packed.part_of(records["hi"], plan.parts), wanted)


def _captures_in(table: pa.Table, kind: int, rows: npt.NDArray[np.int64]) -> packed.Packed:
    """The captures that tell what robots.txt said: of status 200, and of 4xx, that there was none."""
    status = table["status"].to_numpy()
    records = np.zeros(table.num_rows, _RECORD)
    records["hi"], records["lo"] = packed.split_keys(table["key"].to_pylist())
    records["captured"] = table["captured_utc"].to_numpy()
    records["kind"] = np.where(status == 200, kind, _NONE)
    records["row"] = rows
    told: packed.Packed = records[(status == 200) | ((status >= 400) & (status < 500) & (status != 429))]
    return told


def _pages_in(path: str, live: str) -> packed.Packed:
    table = tabular.read_columns(path, ["key", "url", "captured_utc", "archive"])
    records = np.zeros(table.num_rows, _RECORD)
    keys = [urls.link_key("/".join([*url.split("/", 3)[:3], "robots.txt"])) for url in table["url"].to_pylist()]
    records["hi"], records["lo"] = packed.split_keys(keys)
    records["page_hi"], records["page_lo"] = packed.split_keys(table["key"].to_pylist())
    records["captured"] = table["captured_utc"].to_numpy()
    records["kind"] = [_LIVE if archive.startswith(live) else _PAGE for archive in table["archive"].to_pylist()]
    return records


def run_robots(plan: RobotsPlan, part: Part, output: PartOutput, blocks: Sequence[bytes]) -> None:
    """Stage `robots`: the pages of some hosts, each with the place of its robots.txt. The part has no inputs."""
    records = packed.gather(blocks, _RECORD)
    output.taken = output.passed = int(np.count_nonzero(records["kind"] >= _PAGE))
    chosen = list(_nearest(records))
    copies = _copy(plan, part, output, chosen)
    with exchange.publish_rows(output, part.name + ROBOTS_OF_PAGES, tables.ROBOTS, plan.parts) as table:
        for page, robots in chosen:
            source, row = int(robots["source"]), int(robots["row"])
            if robots["kind"] == _ARCHIVED:
                place = (plan.archives[source], row)
            elif (source, row) in copies:
                place = (storage.join(plan.folder, part.name + ARCHIVE), copies[source, row])
            else:
                output.counts["unread"] += 1
                continue
            halves = (int(page[half]).to_bytes(8, "big") for half in ("page_hi", "page_lo"))
            table.add(b"".join(halves), *place)
    output.rows = table.rows


def _nearest(records: packed.Packed) -> Iterator[tuple[np.void, np.void]]:
    """Each page whose host had a robots.txt, with the capture nearest in time; of equally near ones the earlier.

    Of captures of one second the first in the order of the fields counts: one that has a text, before one without.
    """
    new = np.ones(len(records), bool)
    new[1:] = (records["hi"][1:] != records["hi"][:-1]) | (records["lo"][1:] != records["lo"][:-1])
    for start, end in pairwise([*np.flatnonzero(new).tolist(), len(records)]):
        host = records[start:end]
        pages, captures = host[host["kind"] == _PAGE], host[host["kind"] < _PAGE]
        if not len(pages) or not len(captures):
            continue
        times, first = np.unique(captures["captured"], return_index=True)
        after = np.searchsorted(times, pages["captured"]).clip(0, len(times) - 1)
        before = (after - 1).clip(0)
        nearer = np.abs(times[before] - pages["captured"]) <= np.abs(times[after] - pages["captured"])
        for page, capture in zip(pages, captures[first[np.where(nearer, before, after)]], strict=True):
            if capture["kind"] != _NONE:
                yield page, capture


def _copy(
    plan: RobotsPlan, part: Part, output: PartOutput, chosen: Sequence[tuple[np.void, np.void]]
) -> dict[tuple[int, int], int]:
    """Copy what is chosen out of Common Crawl into an archive. Returns the offset for each source and row."""
    wanted: dict[int, set[int]] = {}
    for _, robots in chosen:
        if robots["kind"] == _CRAWLED:
            wanted.setdefault(int(robots["source"]), set()).add(int(robots["row"]))
    if not wanted or plan.crawl is None:
        return {}
    places: dict[tuple[int, int], commoncrawl.Match] = {}
    for source, rows in sorted(wanted.items()):
        path = plan.crawled[source - len(plan.archives)]
        table = exchange.read_table([path], 0, 1, tables.MATCHES).take(pa.array(sorted(rows)))
        places |= {(source, row): match for row, match in zip(sorted(rows), commoncrawl.matches_in(table), strict=True)}
    with output.file(part.name + ARCHIVE) as sink:
        offsets = commoncrawl.copy_records(plan.crawl, list(places.values()), MAX_BYTES, sink)
        sink.rows = len(offsets)
    return {place: offsets[match] for place, match in places.items() if match in offsets}
