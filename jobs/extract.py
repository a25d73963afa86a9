"""`webtext extract`: what the build would make of pages in files, for people who ask why one came out as it did."""

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import tyro

from webtext.jobs.config import UsageError
from webtext.jobs.terminal import complain, say_json
from webtext.pipeline.settings import ExtractSettings
from webtext.schemas.records import Loss

if TYPE_CHECKING:  # loaded when the job runs
    from webtext.pipeline.documents.page_files import FilePage
    from webtext.pipeline.documents.page_verdicts import Verdict


@dataclass(frozen=True)
class ExtractConfig:
    """Extract pages from files as a build would, in the same sandbox, and tell the decision on each.

    Prints one JSON object a line, in the order of the files and of the records in them: a document with its text, or
    the reason and detail why not. Exit status 0 if every file could be read, else 1.
    """

    files: tyro.conf.Positional[tuple[str, ...]]
    """HTML files and WARC or ARC archives, plain or compressed; - for standard input."""
    url: str = ""
    """Address of the page, for files that do not say: all but archives."""
    text: bool = True
    """Print the text of each document."""
    workers: int = 0
    """Processes; 0 for one per usable core."""
    extract: ExtractSettings = field(default_factory=ExtractSettings)
    """How a page becomes text, as in `webtext build`."""

    def __post_init__(self) -> None:
        """Refuse an empty question."""
        if not self.files:
            raise ValueError("no file to read: give one or more, or - for standard input")
        if self.workers < 0:
            raise ValueError(f"--workers is {self.workers}, expected 0 (one per core) or more")


def run(config: ExtractConfig) -> int:
    """Print the decision on each page."""
    from webtext.pipeline.engine.scratch import scratch

    try:
        with scratch():
            return _run(config)
    except KeyboardInterrupt:
        complain("interrupted")
        return 130


def _run(config: ExtractConfig) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from webtext.pipeline.documents import page_verdicts
    from webtext.pipeline.identity import urls

    try:
        url = urls.canonicalize(config.url) if config.url else ""
    except ValueError as error:
        raise UsageError(f"--url {config.url}: {error}") from error
    unread: list[str] = []
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files  {task.fields[pages]:,} pages"),
        TimeElapsedColumn(),
    )
    # Lines on the same terminal show the progress themselves, and would be drawn over.
    bar = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty() or sys.stdout.isatty())
    with bar as progress:
        task = progress.add_task("extract", total=len(config.files), pages=0)

        def pages() -> "Iterator[FilePage]":
            for number, file in enumerate(config.files, 1):
                yield from _read(file, url, config.extract.max_page_bytes, unread)
                progress.update(task, completed=number)

        found = page_verdicts.verdicts(pages(), config.extract, config.workers or len(os.sched_getaffinity(0)))
        with closing(found):  # workers end at once when nobody reads on: one page may take `cpu_seconds`
            for number, (page, verdict) in enumerate(found, 1):
                say_json(describe(page, verdict, config.text))
                progress.update(task, pages=number)
    return 1 if unread else 0


def _read(file: str, url: str, max_page_bytes: int, unread: list[str]) -> "Iterator[FilePage]":
    """The pages of a file. One that can't be read is told, noted, and costs no other."""
    from webtext.pipeline.documents.page_files import pages_of

    try:
        yield from pages_of(file, url, max_page_bytes)
    except OSError as error:
        complain(f"error: {file}: {error.strerror or error}")
        unread.append(file)


def describe(page: "FilePage", verdict: "Verdict", text: bool) -> dict[str, Any]:
    """One page and its verdict as a flat JSON object."""
    from webtext.pipeline.text import language

    line: dict[str, Any] = {"file": page.file, "offset": page.offset, "url": page.url}
    if isinstance(verdict, Loss):
        return line | {"decision": "rejected", "reason": str(verdict.reason), "detail": verdict.detail}
    code, probability, _ = language.identify(verdict.text)
    line |= {
        "decision": "document",
        "language": code,
        "language_probability": round(probability, 4),
        "english_probability": round(verdict.language_probability, 4),
        "tokens": len(verdict.tokens) // 2,
        "title": verdict.title,
        "published": verdict.published,
        "html_lang": verdict.html_lang,
        "opt_out": page.opt_out,
        "page_kind": verdict.page_kind,
        "page_kind_certainty": verdict.page_kind_certainty,
    }
    return line | {"text": verdict.text} if text else line
