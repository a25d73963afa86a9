"""Verdicts on pages of any origin, in their order, by the same sandboxed extraction as stage `documents`."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, partial
from multiprocessing.util import Finalize
from typing import Final

from webtext.pipeline.archives.warc import RawPage
from webtext.pipeline.documents.heed import heed
from webtext.pipeline.documents.page_files import FilePage
from webtext.pipeline.documents.sandboxed import make_extractor, request, verdict
from webtext.pipeline.engine.pool import Pool, TaskError
from webtext.pipeline.engine.sandbox import Sandbox
from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text.document import Document
from webtext.schemas.records import Loss, Reason

Verdict = Document | Loss

_MOST_PAGES: Final = 32  # of a batch
_MOST_BYTES: Final = 8 * 2**20  # of a batch, about
_WAITING: Final = 8  # batches per worker that may wait for an earlier one, so that a slow page does not fill the memory

_PENDING: Final = Loss(Reason.EXTRACT_CRASH, "no verdict yet")


def verdicts(
    pages: Iterable[FilePage], settings: ExtractSettings, workers: int
) -> Generator[tuple[FilePage, Verdict], None, None]:
    """Each page with its verdict, in the order of the pages; their payloads are gone by then.

    Closed before its end, it ends its workers at once.

    Raises:
        ValueError: the process of some pages was killed twice.
    """
    waiting: dict[int, list[FilePage]] = {}
    ready: dict[int, list[Verdict]] = {}
    given = 0

    def in_order() -> Iterator[tuple[FilePage, Verdict]]:
        nonlocal given
        while given in ready:
            yield from zip(waiting.pop(given), ready.pop(given), strict=True)
            given += 1

    with Pool(partial(extract_batch, settings), workers) as pool:
        try:
            for number, batch in enumerate(_batches(_heeded(page, settings) for page in pages)):
                waiting[number] = [replace(page, content=_PENDING) for page in batch]
                ready.update(pool.submit((number, batch)))
                if len(ready) > _WAITING * workers:
                    ready.update(pool.drain())
                yield from in_order()
            for answered in pool.drain():
                ready.update([answered])
                yield from in_order()
        except TaskError as error:
            raise ValueError(str(error)) from error


def _heeded(page: FilePage, settings: ExtractSettings) -> FilePage:
    if isinstance(page.content, Loss):
        return page
    content, opt_out = heed(page.content, settings)
    return replace(page, content=content, opt_out=str(opt_out or ""))


def extract_batch(settings: ExtractSettings, item: tuple[int, Sequence[FilePage]]) -> tuple[int, list[Verdict]]:
    """The verdicts on one numbered batch of pages. Runs in a worker process."""
    number, batch = item
    answers = _sandbox(settings).run([request(page.content) for page in batch if isinstance(page.content, RawPage)])
    return number, [page.content if isinstance(page.content, Loss) else verdict(next(answers)) for page in batch]


@cache
def _sandbox(settings: ExtractSettings) -> Sandbox:
    """The sandbox of this worker for all its batches: a child takes longer to start than many pages do."""
    ending = ExitStack()
    # Before multiprocessing waits, at the end of the worker, for children that wait for work.
    Finalize(None, ending.close, exitpriority=0)
    make = partial(make_extractor, settings)
    return ending.enter_context(Sandbox(make, settings.cpu_seconds, settings.memory_mib))


def _batches(pages: Iterable[FilePage]) -> Iterator[list[FilePage]]:
    """Small ones first, so that few pages occupy all workers and the first verdicts come soon."""
    batch: list[FilePage] = []
    size = 0
    for seen, page in enumerate(pages, 1):
        batch.append(page)
        size += len(page.content.payload) if isinstance(page.content, RawPage) else 0
        if len(batch) >= min(_MOST_PAGES, 1 + seen // 16) or size >= _MOST_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
