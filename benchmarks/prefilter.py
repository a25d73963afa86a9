"""What the pre-filter costs in documents, and what it saves in CPU time.

    .venv/bin/python benchmarks/prefilter.py [--rounds 3] FOLDER...

A folder has web archives (*.warc.gz) or single pages (html/*.html.gz). Every page goes through the whole chain with and
without the pre-filter, in turns; its time is the least of all rounds.
"""

import argparse
import gzip
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from warcio.archiveiterator import ArchiveIterator

from webtext.pipeline.documents import extract
from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text.document import Document
from webtext.schemas.records import Loss, Reason

WITHOUT = ExtractSettings(prefilter=False)
WITH = replace(WITHOUT, prefilter=True)


@dataclass
class Figures:
    """Of one folder; times in CPU seconds."""

    pages: int = 0
    documents: int = 0  # without the pre-filter
    dropped: int = 0
    lost: int = 0
    seconds: float = 0.0  # without
    prefiltered: float = 0.0  # with

    def row(self, name: str) -> str:
        """One line of a table in Markdown."""
        lost = self.lost / max(self.documents, 1)
        return (
            f"| {name} | {self.pages} | {self.documents} | {self.dropped} | {self.lost} ({lost:.1%}) | "
            f"{self.seconds / self.pages * 1e3:.1f} | {self.prefiltered / self.pages * 1e3:.1f} | "
            f"{self.seconds / self.prefiltered:.2f} |"
        )


def pages_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    """(URL or name, payload) of each page of HTML."""
    for path in sorted(folder.glob("*.warc.gz")):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream):
                if record.rec_type != "response" or record.http_headers.get_statuscode() != "200":
                    continue
                if "html" in (record.http_headers.get_header("Content-Type") or "html"):
                    yield record.rec_headers.get_header("WARC-Target-URI"), record.content_stream().read()
    for path in sorted((folder / "html").glob("*.html.gz")):
        yield path.name, gzip.decompress(path.read_bytes())


def timed(payload: bytes, settings: ExtractSettings) -> tuple[float, Document | Loss]:
    """CPU seconds, and the verdict."""
    start = time.process_time()
    found = extract.extract_page(payload, settings)
    return time.process_time() - start, found


def measure(folder: Path, rounds: int) -> Figures:
    """Run every page of a folder; prints the documents that are lost."""
    figures = Figures()
    for url, payload in pages_in(folder):
        least = {WITHOUT: inf, WITH: inf}
        found: dict[ExtractSettings, Document | Loss] = {}
        for _ in range(rounds):
            for settings in (WITHOUT, WITH):
                seconds, found[settings] = timed(payload, settings)
                least[settings] = min(least[settings], seconds)
        document, verdict = found[WITHOUT], found[WITH]
        figures.pages += 1
        figures.seconds += least[WITHOUT]
        figures.prefiltered += least[WITH]
        figures.documents += isinstance(document, Document)
        if isinstance(verdict, Loss) and verdict.reason is Reason.NOT_PROMISING:
            figures.dropped += 1
            if isinstance(document, Document):
                figures.lost += 1
                print(f"lost: {url}: {verdict.detail}; {len(document.tokens) // 2} tokens")
    return figures


def main() -> None:
    """Print the lost documents, then a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    extract.load_models()
    rows = [measure(folder, arguments.rounds).row(folder.name) for folder in arguments.folders]
    print("\n| pages of | pages | documents | dropped | documents lost | ms a page | with pre-filter | times as fast |")
    print("|---|---|---|---|---|---|---|---|", *rows, sep="\n")


if __name__ == "__main__":
    main()
