"""Stage `documents`: the pages of one part, read from their archives, extracted in a sandbox, written in key order."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import BinaryIO

from webtext.pipeline.archives import warc
from webtext.pipeline.archives.warc import RawPage
from webtext.pipeline.documents.rows import settle
from webtext.pipeline.documents.sandboxed import make_extractor, request, verdict
from webtext.pipeline.engine.sandbox import Sandbox
from webtext.pipeline.engine.stage import Part, PartOutput, Stage, numbered, paths_of
from webtext.pipeline.files import storage, tabular
from webtext.pipeline.files.stage_files import StageFileError, withdraw
from webtext.pipeline.flow import DOCUMENTS, PAGES_TABLE
from webtext.pipeline.settings import ExtractSettings
from webtext.schemas import tables
from webtext.schemas.manifest import StageManifest
from webtext.schemas.records import Loss, Page, Reason

_BATCH = 32  # pages per exchange with the sandbox
_BATCH_BYTES = 8 * 2**20  # of their payloads, and one page more: they lie here and in the sandbox at once
_OPEN_ARCHIVES = 64  # files that one part keeps open


def documents_stage(settings: ExtractSettings, build: str, pages: StageManifest, work: str) -> Stage:
    """Each part of the page index: text, language, tokens, signature.

    Args:
        settings: of the extraction.
        build: the folder where the page index lies.
        pages: the manifest of stage `pages`.
        work: the folder where the documents are to lie.
    """
    return Stage(
        name=DOCUMENTS,
        folder=storage.join(work, DOCUMENTS),
        settings=asdict(settings),
        inputs=[pages.digest()],
        parts=numbered({"pages": [path]} for path in paths_of(build, pages, PAGES_TABLE)),
        run=partial(run_documents, settings),
        unit="pages",
        expects={"taken": pages.tally.rows},
    )


def run_documents(settings: ExtractSettings, part: Part, output: PartOutput) -> None:
    """Stage `documents`: one part of the page index to one part of the documents, in order of the keys."""
    [index] = part.inputs["pages"]
    with (
        ExitStack() as archives,
        Sandbox(partial(make_extractor, settings), settings.cpu_seconds, settings.memory_mib) as sandbox,
        output.table("documents", tables.DOCUMENTS) as table,
    ):
        streams = _Archives(archives)
        for batch in _batches(index, streams, settings.max_page_bytes):
            output.taken += len(batch)
            answers = sandbox.run([request(raw) for _, raw in batch if isinstance(raw, RawPage)])
            for page, raw in batch:
                result = raw if isinstance(raw, Loss) else verdict(next(answers))
                settle(table, output, settings, page, result)
    output.rows = output.passed


def _batches(path: str, streams: "_Archives", max_page_bytes: int) -> Iterator[list[tuple[Page, RawPage | Loss]]]:
    """The pages of a table with their payloads, a few or some bytes at a time."""
    batch: list[tuple[Page, RawPage | Loss]] = []
    size = 0
    for rows in tabular.batches(path, rows=_BATCH):
        for page in (Page(**row) for row in rows.to_pylist()):
            raw = _read(streams, page, max_page_bytes)
            batch.append((page, raw))
            size += len(raw.payload) if isinstance(raw, RawPage) else 0
            if len(batch) == _BATCH or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _changed(page: Page, what: str) -> OSError:
    """An archive is not what it was when it was indexed: the page can't be lost for that."""
    where = f"{page.archive} has changed since it was indexed: at {page.offset}, {what}"
    if withdraw(page.archive):
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


def _read(streams: _Archives, page: Page, max_page_bytes: int) -> RawPage | Loss:
    try:
        raw = warc.read_page(streams[page.archive], page.offset, max_page_bytes)
    except warc.BadRecordError as error:
        raise _changed(page, str(error)) from error
    if int.from_bytes(warc.payload_digest(raw.payload)[:8], "big") != page.digest:
        raise _changed(page, "the page is another")
    if raw.truncated:
        return Loss(Reason.PAGE_TOO_LARGE, f"over {max_page_bytes} bytes")
    return raw
