"""Links to pages: index the archives that are there, and choose for each link the capture nearest to its first post.

Two stages. `captures` reads each WARC or ARC file once and writes one row per HTTP response. `pages` brings captures
and links together by link key in a packed shuffle: only hashes, dates and offsets move; URLs stay in the links table.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from webtext.pipeline.archives import warc
from webtext.pipeline.engine import damage, packed
from webtext.pipeline.engine.stage import Part, PartOutput, Shuffle, Stage, numbered, paths_of
from webtext.pipeline.files import storage, tabular
from webtext.pipeline.flow import ARCHIVE, CAPTURES, CAPTURES_TABLE, LINKS_TABLE, PAGES
from webtext.pipeline.identity import urls
from webtext.schemas import tables
from webtext.schemas.manifest import StageManifest
from webtext.schemas.records import Link, Page, Reason, Rejected

# A capture's verdict as a number, best first: among captures that can't be used, the nearest explains why. What is
# read from archives has the first four, what was asked of the live web may have any.
_ARCHIVED: tuple[str, ...] = ("", Reason.HTTP_STATUS, Reason.NOT_HTML, Reason.EMPTY_PAGE)
_VERDICTS: tuple[str, ...] = (*_ARCHIVED, *(reason for reason in Reason if reason not in _ARCHIVED))

_REFUSED = _VERDICTS.index(Reason.MINING_REFUSED)

_CAPTURE = np.dtype(
    [
        *packed.KEY_FIELDS,
        ("digest", "<u8"),  # the first half
        ("captured", "<i8"),
        ("status", "<i4"),
        ("verdict", "<u4"),
        ("archive", "<u4"),  # ordinal of the capture table
        ("offset", "<i8"),
    ]
)


def captures_stage(max_page_bytes: int, archives: Sequence[storage.Found], work: str) -> Stage:
    """Each web archive: an index of its responses."""
    return Stage(
        name=CAPTURES,
        folder=storage.join(work, CAPTURES),
        settings={"max_page_bytes": max_page_bytes},
        inputs=[found.line() for found in archives],
        parts=numbered({"archive": [found.path]} for found in archives),
        run=partial(run_captures, max_page_bytes),
        unit="records",
    )


def run_captures(max_page_bytes: int, part: Part, output: PartOutput) -> None:
    """Stage `captures`: one archive to one table of its responses, in file order. Inputs: the archive."""
    [path] = part.inputs["archive"]
    read = damages = 0  # records that are some; of the others those that show damage
    worst = ""  # the first of them, or else the first that is none
    with storage.open_binary(path) as stream, output.table("captures", tables.CAPTURES) as table:
        for found in warc.index_archive(stream, path, max_page_bytes):
            output.taken += 1
            if isinstance(found, Rejected) and found.reason is Reason.BAD_RECORD:
                damaged = isinstance(found, warc.Damaged)
                if not worst or (damaged and not damages):
                    worst = found.detail.removeprefix(f"{path} ")
                damages += damaged
            else:
                read += 1
            row = found if isinstance(found, Rejected) else _row(found)
            if isinstance(row, Rejected):
                output.reject(row)
            else:
                table.add(*row)
                output.passed += 1
                if urls.is_robots_txt(found.url):
                    output.counts["robots_txt"] += 1
    output.rows = output.passed
    if damages or (worst and not read):
        more = f" (and {damages - 1:,} more places)" if damages > 1 else ""
        damage.write(output, [damage.Damaged(path, read, worst + more)])


def _row(capture: warc.Capture) -> tuple[object, ...] | Rejected:
    try:
        url = urls.canonicalize(capture.url)
    except ValueError as error:
        return Rejected(CAPTURES, Reason.BAD_URL, b"", capture.url, str(error))
    return (
        urls.link_key(url),
        url,
        capture.captured_utc,
        capture.status,
        capture.content_type,
        str(capture.verdict),
        capture.digest,
        capture.offset,
    )


def pages_stage(
    parts: int, links: StageManifest, sources: Sequence[StageManifest], archives: Sequence[storage.Found], work: str
) -> Stage:
    """Links meet captures by link key; the capture nearest to the first post becomes the page.

    Args:
        parts: of the links.
        links: the manifest of stage `links`.
        sources: the manifests of the stages that write captures, `fetch`, `captures` and `commoncrawl`, in this order.
        archives: what stage `captures` has read; the others write archives of their own.
        work: the folder of the build.
    """
    tables_of, archives_of = [], []
    for source in sources:
        tables_of += paths_of(work, source, CAPTURES_TABLE)
        given = source.stage == CAPTURES
        archives_of += [found.path for found in archives] if given else paths_of(work, source, ARCHIVE)
    captures = sum(source.tally.rows for source in sources)
    return Stage(
        name=PAGES,
        folder=storage.join(work, PAGES),
        settings={},
        inputs=[links.digest(), *(source.digest() for source in sources)],
        parts=numbered({"links": [path]} for path in paths_of(work, links, LINKS_TABLE)),
        run=Shuffle(
            sources=numbered({"captures": [path]} for path in tables_of),
            emit=partial(emit_pages, parts),
            bytes=captures * _CAPTURE.itemsize,
            run=partial(run_pages, archives_of),
        ),
        unit="links",
        expects={"taken": links.tally.rows, "captures": captures},
    )


def emit_pages(parts: int, source: Part, wanted: frozenset[int]) -> list[tuple[int, bytes]]:
    """One capture table, packed for each part of `pages`. Inputs: the table."""
    [path] = source.inputs["captures"]
    table = tabular.read_columns(path, ["key", "captured_utc", "status", "verdict", "digest", "offset"])
    if not table.num_rows:
        return []
    records = np.empty(table.num_rows, _CAPTURE)
    records["hi"], records["lo"] = packed.split_keys(table["key"].to_pylist())
    records["digest"], _ = packed.split_keys(table["digest"].to_pylist())
    records["captured"] = table["captured_utc"].to_numpy()
    records["status"] = table["status"].to_numpy()
    records["verdict"] = [_VERDICTS.index(verdict) for verdict in table["verdict"].to_pylist()]
    records["archive"] = source.ordinal
    records["offset"] = table["offset"].to_numpy()
    return packed.scatter(records, packed.part_of(records["hi"], parts), wanted)


def run_pages(archives: Sequence[str], part: Part, output: PartOutput, blocks: Sequence[bytes]) -> None:
    """Stage `pages`: the links of one part with their captures. Inputs: the links table."""
    captures = packed.gather(blocks, _CAPTURE)
    output.counts["captures"] = len(captures)
    linked = 0
    [path] = part.inputs["links"]
    with output.table("pages", tables.PAGES) as table:
        for link in _links(path):
            output.taken += 1
            mine = captures_of(captures, link.key)
            linked += len(mine)
            found = choose_capture(mine, archives, link)
            if isinstance(found, Rejected):
                output.reject(found)
                continue
            table.add(
                *(found.key, found.url, found.score, found.created_utc),
                *(found.archive, found.offset, found.captured_utc, found.digest),
            )
            output.passed += 1
    output.rows = output.passed
    output.counts["captures_not_linked"] = len(captures) - linked


def _links(path: str) -> Iterator[Link]:
    """The links of a table, without their posts."""
    for batch in tabular.batches(path, ["key", "url", "score", "created_utc"]):
        yield from (Link(**row, posts=()) for row in batch.to_pylist())


def captures_of(captures: packed.Packed, key: bytes) -> packed.Packed:
    """The captures of one link out of a sorted array."""
    hi, lo = (int.from_bytes(half, "big") for half in (key[:8], key[8:]))
    start, end = (int(np.searchsorted(captures["hi"], np.uint64(hi), side)) for side in ("left", "right"))
    mine = captures[start:end]
    found: packed.Packed = mine[mine["lo"] == np.uint64(lo)]
    return found


def choose_capture(captures: packed.Packed, archives: Sequence[str], link: Link) -> Page | Rejected:
    """The capture to use: the one nearest in time to the first post, of those that are pages.

    Where the live web says today that it must not be used, no older capture gets around that.
    Equally near ones are decided by date, digest, archive and offset. If none is a page, the nearest one's verdict is
    the reason. A link from a plain URL list has no post time (0), so its earliest capture is chosen.
    """
    if not len(captures):
        return Rejected(PAGES, Reason.NO_PAGE, link.key, link.url, "no capture in the archives")
    order = np.lexsort(
        (
            captures["verdict"],
            captures["offset"],
            captures["archive"],
            captures["digest"],
            captures["captured"],
            np.abs(captures["captured"] - link.created_utc),
            np.where(captures["verdict"] == _REFUSED, 0, np.where(captures["verdict"] == 0, 1, 2)),
        )
    )
    best = captures[order[0]]
    if best["verdict"]:
        reason = Reason(_VERDICTS[best["verdict"]])
        others = f", the nearest of {len(captures)} captures" if len(captures) > 1 else ""
        answer = f"status {best['status']}" if best["status"] else "no answer"
        detail = f"{answer}{others}"
        return Rejected(PAGES, reason, link.key, link.url, detail)
    archive, offset, captured = archives[best["archive"]], int(best["offset"]), int(best["captured"])
    return Page(link.key, link.url, link.score, link.created_utc, captured, archive, offset, int(best["digest"]))
