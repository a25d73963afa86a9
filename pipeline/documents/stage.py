"""Stage `documents`: the pages of one part, read from their archives, extracted in a sandbox, written in key order."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import BinaryIO

import msgspec
import numpy as np

from webtext.pipeline.archives import warc
from webtext.pipeline.archives.warc import RawPage
from webtext.pipeline.documents import extract
from webtext.pipeline.engine.sandbox import Failure, Sandbox
from webtext.pipeline.engine.stage import Part, PartOutput, Stage, numbered, paths_of
from webtext.pipeline.files import storage, tabular
from webtext.pipeline.files.tabular import TableWriter
from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text import filters
from webtext.pipeline.text.document import Dropped, Extracted
from webtext.schemas import tables
from webtext.schemas.manifest import StageManifest
from webtext.schemas.records import Page, Reason, Rejected

STAGE = "documents"

_BATCH = 32  # pages per exchange with the sandbox
_OPEN_ARCHIVES = 64  # files that one part keeps open

_encode = msgspec.msgpack.Encoder().encode
_decode: Callable[[bytes], Extracted | Dropped] = msgspec.msgpack.Decoder(Extracted | Dropped).decode


def stage(settings: ExtractSettings, build: str, pages: StageManifest, work: str) -> Stage:
    """The stage in the folder `work`, on the page index that lies in the folder `build`."""
    return Stage(
        name=STAGE,
        folder=storage.join(work, STAGE),
        settings=asdict(settings),
        inputs=[pages.digest()],
        parts=numbered([path] for path in paths_of(build, pages, ".pages.parquet")),
        run=partial(run, settings),
        unit="pages",
        expects={"taken": pages.tally.rows},
    )


def make_extractor(settings: ExtractSettings) -> Callable[[bytes], bytes]:
    """`extract.extract_page` from bytes to bytes for a sandbox, with all models loaded."""
    extract.load_models()

    def work(request: bytes) -> bytes:
        url, charset, payload = request.split(b" ", 2)
        return _encode(extract.extract_page(url.decode(), payload, settings, charset.decode() or None))

    return work


def request(url: str, raw: RawPage) -> bytes:
    """A page as `make_extractor`'s function takes it."""
    # A canonical URL has no blanks, nor has a charset.
    return b" ".join((url.encode(), (raw.charset or "").encode(), raw.payload))


def run(settings: ExtractSettings, part: Part, output: PartOutput, blocks: Sequence[bytes]) -> None:
    """Stage `documents`: one part of the page index to one part of the documents, in order of the keys."""
    del blocks
    with (
        ExitStack() as archives,
        Sandbox(partial(make_extractor, settings), settings.cpu_seconds, settings.memory_mib) as sandbox,
        output.table("documents", tables.DOCUMENTS) as table,
    ):
        streams = _Archives(archives)
        for pages in _batches(part.inputs[0]):
            output.taken += len(pages)
            raws = [_read(streams, page, settings.max_page_bytes) for page in pages]
            answers = sandbox.run(
                [request(page.url, raw) for page, raw in zip(pages, raws, strict=True) if isinstance(raw, RawPage)]
            )
            for page, raw in zip(pages, raws, strict=True):
                result = raw if isinstance(raw, Dropped) else verdict(next(answers))
                settle(table, output, settings, page, result)
    output.rows = output.passed


def _batches(path: str) -> Iterator[list[Page]]:
    for batch in tabular.batches(path, rows=_BATCH):
        yield [Page(**row) for row in batch.to_pylist()]


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


def _read(streams: _Archives, page: Page, max_page_bytes: int) -> RawPage | Dropped:
    try:
        raw = warc.read_page(streams[page.archive], page.offset, max_page_bytes)
    except warc.BadRecord as error:
        return Dropped(Reason.PAGE_UNREADABLE, str(error))
    if raw.truncated:
        return Dropped(Reason.PAGE_TOO_LARGE, f"over {max_page_bytes} bytes")
    return raw


def verdict(answer: bytes | Failure) -> Extracted | Dropped:
    """What a sandbox around `make_extractor`'s function says of a page."""
    return Dropped(answer.reason, answer.detail) if isinstance(answer, Failure) else _decode(answer)


def settle(
    table: TableWriter, output: PartOutput, settings: ExtractSettings, page: Page, result: Extracted | Dropped
) -> None:
    """Write the document of a page, or why it has none, and count it."""
    if isinstance(result, Dropped):
        output.reject(Rejected(STAGE, result.reason, page.key, page.url, result.detail))
        if rule := filters.rule_of(result):
            output.counts[f"rule {rule}"] += 1
        return
    _write(table, page, result)
    output.passed += 1
    output.counts["tokens"] += len(result.tokens) // 2
    if settings.mask:
        output.counts["masked e-mail addresses"] += result.masked_emails
        output.counts["masked IP addresses"] += result.masked_addresses


def _write(table: TableWriter, page: Page, found: Extracted) -> None:
    table.add(
        page.key,
        page.url,
        page.score,
        page.created_utc,
        page.captured_utc,
        found.title,
        found.published,
        found.html_lang,
        found.text,
        len(found.text),
        found.language_probability,
        np.frombuffer(found.tokens, "<u2"),
        len(found.tokens) // 2,
        found.text_hash,
        found.signature,
    )
