"""Stage `documents`: the pages of one part, read from their archives, extracted in a sandbox, written in key order."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import BinaryIO, TypeAlias

from webtext.pipeline.archives import warc
from webtext.pipeline.archives.warc import RawPage
from webtext.pipeline.documents.heed import heed
from webtext.pipeline.documents.robots import RobotsOfPages
from webtext.pipeline.documents.rows import settle
from webtext.pipeline.documents.sandboxed import make_extractor, request, verdict
from webtext.pipeline.engine import exchange
from webtext.pipeline.engine.sandbox import Sandbox
from webtext.pipeline.engine.stage import Part, PartOutput, Stage, numbered, paths_of
from webtext.pipeline.files import storage, tabular
from webtext.pipeline.files.stage_files import StageFileError, withdraw
from webtext.pipeline.flow import DOCUMENTS, PAGES_TABLE, ROBOTS_OF_PAGES
from webtext.pipeline.opt_outs.signals import OptOut
from webtext.pipeline.settings import ExtractSettings
from webtext.schemas import tables
from webtext.schemas.manifest import StageManifest
from webtext.schemas.records import Loss, Page, Reason

_BATCH = 32  # pages per exchange with the sandbox
_BATCH_BYTES = 8 * 2**20  # of their payloads, and one page more: they lie here and in the sandbox at once
_OPEN_ARCHIVES = 64  # files that one part keeps open


def documents_stage(
    settings: ExtractSettings, build: str, pages: StageManifest, work: str, robots: StageManifest | None = None
) -> Stage:
    """Each part of the page index: text, language, tokens, signature.

    Args:
        settings: of the extraction.
        build: the folder where the page index lies.
        pages: the manifest of stage `pages`.
        work: the folder where the documents are to lie.
        robots: the manifest of stage `robots`, if there are captures of robots.txt.
    """
    paths = paths_of(build, pages, PAGES_TABLE)
    beside = [] if robots is None else paths_of(build, robots, ROBOTS_OF_PAGES, filled=True)
    return Stage(
        name=DOCUMENTS,
        folder=storage.join(work, DOCUMENTS),
        settings=asdict(settings),
        inputs=[pages.digest(), *([] if robots is None else [robots.digest()])],
        parts=numbered({"pages": [path], "robots": beside} for path in paths),
        run=partial(run_documents, settings, len(paths)),
        unit="pages",
        expects={"taken": pages.tally.rows},
    )


def run_documents(settings: ExtractSettings, parts: int, part: Part, output: PartOutput) -> None:
    """Stage `documents`: one part of the page index to one part of the documents, in order of the keys."""
    [index] = part.inputs["pages"]
    robots = RobotsOfPages(exchange.read(part.inputs["robots"], part.ordinal, parts))
    with (
        ExitStack() as archives,
        Sandbox(partial(make_extractor, settings), settings.cpu_seconds, settings.memory_mib) as sandbox,
        output.table("documents", tables.DOCUMENTS) as table,
    ):
        streams = _Archives(archives)
        for batch in _batches(index, partial(_read, streams, settings, robots)):
            output.taken += len(batch)
            answers = sandbox.run([request(raw) for _, raw, _ in batch if isinstance(raw, RawPage)])
            for page, raw, opt_out in batch:
                result = raw if isinstance(raw, Loss) else verdict(next(answers))
                settle(table, output, settings, page, result, opt_out=opt_out)
    output.rows = output.passed


_Read: TypeAlias = tuple[Page, RawPage | Loss, OptOut | None]
"""A page, its payload or why there is none, and the opt-out that it has."""


def _batches(path: str, read: Callable[[Page], _Read]) -> Iterator[list[_Read]]:
    """The pages of a table with their payloads, a few or some bytes at a time."""
    batch: list[_Read] = []
    size = 0
    for rows in tabular.batches(path, rows=_BATCH):
        for page in (Page(**row) for row in rows.to_pylist()):
            found = read(page)
            batch.append(found)
            size += len(found[1].payload) if isinstance(found[1], RawPage) else 0
            if len(batch) == _BATCH or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _changed(archive: str, offset: int, what: str) -> OSError:
    """An archive is not what it was when it was indexed: the page can't be lost for that."""
    where = f"{archive} has changed since it was indexed: at {offset}, {what}"
    if withdraw(archive):
        return StageFileError(f"{where}. The same build command makes it again")
    return OSError(f"{where}. Restore it, and give the same command again; or give another --work")


class _Archives:
    """The archives of one part, opened at first use; the oldest closes when there are too many."""

    def __init__(self, stack: ExitStack) -> None:
        self._open: dict[str, BinaryIO] = {}
        stack.callback(self._close, 0)

    def __getitem__(self, path: str) -> BinaryIO:
        if path not in self._open:
            self._close(_OPEN_ARCHIVES - 1)
            self._open[path] = storage.open_binary(path)
        return self._open[path]

    def _close(self, keep: int) -> None:
        while len(self._open) > keep:
            self._open.pop(next(iter(self._open))).close()


def _read(streams: _Archives, settings: ExtractSettings, robots: RobotsOfPages, page: Page) -> _Read:
    try:
        raw = warc.read_page(streams[page.archive], page.offset, settings.max_page_bytes)
    except warc.BadRecordError as error:
        raise _changed(page.archive, page.offset, str(error)) from error
    if int.from_bytes(warc.payload_digest(raw.payload)[:8], "big") != page.digest:
        raise _changed(page.archive, page.offset, "the page is another")
    try:
        of_site = robots.opt_outs(page, streams.__getitem__)
    except warc.BadRecordError as error:
        raise _changed(*robots.places[page.key], str(error)) from error
    kept, opt_out = heed(raw, settings, of_site)
    if raw.truncated and isinstance(kept, RawPage):
        kept = Loss(Reason.PAGE_TOO_LARGE, f"over {settings.max_page_bytes} bytes")
    return page, kept, opt_out
