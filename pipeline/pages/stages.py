"""Links to pages: index the archives that are there, and choose for each link the capture nearest to its first post.

`captures` reads each WARC or ARC file once and writes one row per HTTP response. `pages` brings captures and links
together by link key in a packed shuffle: only hashes, dates and offsets move; URLs stay in the links table. Where
captures are redirects or revisits, rounds of `detours` between the two find the pages that they lead to, by the same
kind of shuffle.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np
import pyarrow as pa

from webtext.pipeline.archives import warc
from webtext.pipeline.archives.http_payload import REDIRECTS
from webtext.pipeline.engine import damage, packed
from webtext.pipeline.engine.stage import Part, PartOutput, Shuffle, Stage, numbered, paths_of
from webtext.pipeline.files import storage, tabular
from webtext.pipeline.flow import (
    ANSWERS_TABLE,
    ARCHIVE,
    CAPTURES,
    CAPTURES_TABLE,
    DETOURS,
    DETOURS_TABLE,
    LINKS_TABLE,
    PAGES,
)
from webtext.pipeline.identity import urls
from webtext.pipeline.pages import detours
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
        ("detour", "u1"),  # 1 for a page that stands elsewhere
    ]
)
_PAYLOADS_TABLE = ".payloads.parquet"
_ASKS_TABLE = ".asks.parquet"


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
    with storage.open_binary(path) as stream, _CaptureTables(output) as table:
        for found in warc.index_archive(stream, path, max_page_bytes):
            output.taken += 1
            if isinstance(found, Rejected) and found.reason is Reason.BAD_RECORD:
                damaged = isinstance(found, warc.Damaged)
                if not worst or (damaged and not damages):
                    worst = found.detail.removeprefix(f"{path} ")
                damages += damaged
            else:
                read += 1
            lost = found if isinstance(found, Rejected) else table.add(found)
            if lost:
                output.reject(lost)
            else:
                output.passed += 1
                if urls.is_robots_txt(found.url):
                    output.counts["robots_txt"] += 1
    output.rows = output.passed
    if damages or (worst and not read):
        more = f" (and {damages - 1:,} more places)" if damages > 1 else ""
        damage.write(output, [damage.Damaged(path, read, worst + more)])


class _CaptureTables(ExitStack):
    """The tables of one archive; those of detours and payloads only where there are any."""

    def __init__(self, output: PartOutput) -> None:
        super().__init__()
        self._output = output
        self._captures = self.enter_context(output.table("captures", tables.CAPTURES))
        self._others: dict[str, tabular.TableWriter] = {}

    def add(self, capture: warc.Capture) -> Rejected | None:
        """Write what is known of a capture, unless it is none of a URL that a link could have."""
        try:
            url = urls.canonicalize(capture.url)
        except ValueError as error:
            return Rejected(CAPTURES, Reason.BAD_URL, b"", capture.url, str(error))
        key, verdict = urls.link_key(url), str(capture.verdict)
        leads = capture.status in REDIRECTS and capture.target != b""
        if leads and detours.leads_to_front(capture, url):
            verdict = str(Reason.SOFT_404)
        elif leads or verdict == Reason.REVISIT:
            for detour in detours.detours_of(capture, url):
                self._other("detours", tables.DETOURS).add(key, capture.offset, capture.captured_utc, *detour)
                self._output.counts["detours"] += 1
        elif not verdict and capture.payload:
            name = detours.payload_name(capture.payload)
            row = (name, capture.captured_utc, capture.digest, capture.offset)
            self._other("payloads", tables.PAYLOADS).add(*row)
        self._captures.add(
            *(key, url, capture.captured_utc, capture.status, capture.content_type, verdict),
            *(capture.digest, capture.offset),
        )
        return None

    def _other(self, ending: str, schema: pa.Schema) -> tabular.TableWriter:
        if ending not in self._others:
            self._others[ending] = self.enter_context(self._output.table(ending, schema))
        return self._others[ending]


def follow_detours(
    parts: int, sources: Sequence[StageManifest], work: str, run: Callable[[Stage], StageManifest]
) -> list[StageManifest]:
    """Run rounds of `detours` until nothing is asked for any more. Arguments as of `pages_stage`."""
    rounds: list[StageManifest] = []
    asks = sum(source.tally.counts.get("detours", 0) for source in sources)
    while asks and len(rounds) < detours.MOST:
        rounds.append(run(_detours_stage(parts, sources, rounds, asks, work)))
        asks = rounds[-1].tally.counts["asks"]
    return rounds


def _detours_stage(
    parts: int, sources: Sequence[StageManifest], before: Sequence[StageManifest], asks: int, work: str
) -> Stage:
    """One round: so many `asks` meet the pages and detours of what they name. `before`: the rounds before it."""
    name = f"{DETOURS}-{len(before):02d}" if before else DETOURS
    found: list[dict[str, list[str]]] = []
    for source in sources:
        others = {
            kind: {_part(path): [path] for path in paths_of(work, source, ending)}
            for kind, ending in (("payloads", _PAYLOADS_TABLE), ("detours", DETOURS_TABLE))
        }
        for path in paths_of(work, source, CAPTURES_TABLE):  # in this order, so that ordinals are those of the archives
            found.append({"captures": [path], **{kind: by.get(_part(path), []) for kind, by in others.items()}})
    found += [{"asks": [path]} for path in (paths_of(work, before[-1], _ASKS_TABLE) if before else [])]
    records = asks + sum(source.tally.rows + source.tally.counts.get("detours", 0) for source in sources)
    return Stage(
        name=name,
        folder=storage.join(work, name),
        settings={},
        inputs=[manifest.digest() for manifest in (*sources, *before[-1:])],
        parts=numbered([{}] * parts),
        run=Shuffle(
            sources=numbered(found),
            emit=partial(emit_detours, parts, not before),
            bytes=records * detours.RECORD.itemsize,
            run=run_detours,
        ),
        unit="detours",
        expects={"taken": asks},
    )


def _part(path: str) -> str:
    return path.rsplit("/", 1)[-1].partition(".")[0]


def emit_detours(parts: int, first: bool, source: Part, wanted: frozenset[int]) -> list[tuple[int, bytes]]:
    """The pages and detours of one archive, packed by their names; in the first round, the detours ask for their pages.

    Inputs: the tables of one archive, or the asks that are left of the round before.
    """
    table = {name: tabular.read_columns(path) for name, paths in source.inputs.items() for path in paths}
    found = []
    if "captures" in table:
        found.append(detours.pages_in(table["captures"], "key", source.ordinal))
    if "payloads" in table:
        found.append(detours.pages_in(table["payloads"], "name", source.ordinal))
    if "detours" in table:
        found.append(detours.detours_in(table["detours"]))
        if first:
            found.append(detours.asks_of(table["detours"]))
    if "asks" in table:
        found.append(detours.asks_in(table["asks"]))
    records = np.concatenate(found)
    return packed.scatter(records, packed.part_of(records["hi"], parts), wanted)


def run_detours(part: Part, output: PartOutput, blocks: Sequence[bytes]) -> None:
    """Stage `detours`: the asks of one part to pages elsewhere, and to asks for the next round."""
    records = packed.gather(blocks, detours.RECORD)
    output.taken = output.passed = int(np.count_nonzero(records["kind"] == detours.ASK))
    with output.table("answers", tables.ANSWERS) as answers, output.table("asks", tables.ASKS) as asks:
        for found in detours.follow(records):
            (answers if isinstance(found, detours.Answer) else asks).add(*found)
    output.rows = answers.rows
    output.counts["asks"] = asks.rows


def pages_stage(
    parts: int,
    links: StageManifest,
    sources: Sequence[StageManifest],
    archives: Sequence[storage.Found],
    work: str,
    *,
    rounds: Sequence[StageManifest] = (),
) -> Stage:
    """Links meet captures by link key; the capture nearest to the first post becomes the page.

    Args:
        parts: of the links.
        links: the manifest of stage `links`.
        sources: the manifests of the stages that write captures, `fetch`, `captures` and `commoncrawl`, in this order.
        archives: what stage `captures` has read; the others write archives of their own.
        work: the folder of the build.
        rounds: the manifests of the rounds of `detours`.
    """
    tables_of, archives_of = [], []
    for source in sources:
        tables_of += paths_of(work, source, CAPTURES_TABLE)
        given = source.stage == CAPTURES
        archives_of += [found.path for found in archives] if given else paths_of(work, source, ARCHIVE)
    answers = [path for each in rounds for path in paths_of(work, each, ANSWERS_TABLE, filled=True)]
    captures = sum(manifest.tally.rows for manifest in (*sources, *rounds))
    return Stage(
        name=PAGES,
        folder=storage.join(work, PAGES),
        settings={},
        inputs=[links.digest(), *(manifest.digest() for manifest in (*sources, *rounds))],
        parts=numbered({"links": [path]} for path in paths_of(work, links, LINKS_TABLE)),
        run=Shuffle(
            sources=numbered(
                [*({"captures": [path]} for path in tables_of), *({"answers": [path]} for path in answers)]
            ),
            emit=partial(emit_pages, parts),
            bytes=captures * _CAPTURE.itemsize,
            run=partial(run_pages, archives_of),
        ),
        unit="links",
        expects={"taken": links.tally.rows, "captures": captures},
    )


def emit_pages(parts: int, source: Part, wanted: frozenset[int]) -> list[tuple[int, bytes]]:
    """One table of captures, or of pages elsewhere, packed for each part of `pages`. Inputs: the table."""
    if "answers" in source.inputs:
        [path] = source.inputs["answers"]
        table = tabular.read_columns(path)
        records = np.zeros(table.num_rows, _CAPTURE)
        for name in ("digest", "archive", "offset"):
            records[name] = table[name].to_numpy()
        records["status"], records["detour"] = 200, 1
    else:
        [path] = source.inputs["captures"]
        table = tabular.read_columns(path, ["key", "captured_utc", "status", "verdict", "digest", "offset"])
        if not table.num_rows:
            return []
        records = np.zeros(table.num_rows, _CAPTURE)
        records["digest"], _ = packed.split_keys(table["digest"].to_pylist())
        records["status"] = table["status"].to_numpy()
        records["verdict"] = [_VERDICTS.index(verdict) for verdict in table["verdict"].to_pylist()]
        records["archive"] = source.ordinal
        records["offset"] = table["offset"].to_numpy()
    records["hi"], records["lo"] = packed.split_keys(table["key"].to_pylist())
    records["captured"] = table["captured_utc"].to_numpy()
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
            [hi], [lo] = packed.split_keys([link.key])
            mine = packed.of_key(captures, hi, lo)
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


def choose_capture(captures: packed.Packed, archives: Sequence[str], link: Link) -> Page | Rejected:
    """The capture to use: the one nearest in time to the first post, of those that are pages.

    Where the live web says today that it must not be used, no older capture gets around that. Pages elsewhere come
    behind all others; they have the date of the redirect or revisit that leads to them. Equally near ones are decided
    by date, digest, archive and offset. If none is a page, the nearest one's verdict is the reason. A link from a plain
    URL list has no post time (0), so its earliest capture is chosen.
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
            captures["detour"],
            np.where(captures["verdict"] == _REFUSED, 0, np.where(captures["verdict"] == 0, 1, 2)),
        )
    )
    best = captures[order[0]]
    if best["verdict"]:
        reason = Reason(_VERDICTS[best["verdict"]])
        others = f", the nearest of {len(captures)} captures" if len(captures) > 1 else ""
        return Rejected(PAGES, reason, link.key, link.url, f"{_answer(best['status'], reason)}{others}")
    archive, offset, captured = archives[best["archive"]], int(best["offset"]), int(best["captured"])
    return Page(link.key, link.url, link.score, link.created_utc, captured, archive, offset, int(best["digest"]))


def _answer(status: int, reason: Reason) -> str:
    if reason is Reason.REVISIT:
        return "a revisit of what no archive has"
    if status in REDIRECTS:
        leads = "to a front page" if reason is Reason.SOFT_404 else "to what no archive has"
        return f"status {status}, a redirect {leads}"
    return f"status {status}" if status else "no answer"
