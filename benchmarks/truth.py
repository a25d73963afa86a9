"""Pages whose main text people have marked, and how an extractor's text is scored against it: one place for both.

`benchmarks/extract.py` prints these scores, `tests/quality/test_floors.py` holds them. Definitions are in
docs/extraction.md.
"""

import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from lxml import html as lxml_html

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "html"
SETS = ("scrapinghub", "wcxb", "trafilatura_eval", "mozilla_readability")

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class TruthPage:
    """A page, and what its text should be: the whole text, or snippets that must and must not be in it, or both."""

    name: str
    payload: bytes
    text: str | None
    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]
    kind: str = ""  # of page, where the set says


@dataclass(frozen=True, slots=True)
class Scores:
    """Of one extractor on one set, 0 to 1; None where the set has no such truth."""

    word_f1: float | None
    snippet_f1: float | None


def read_set(folder: Path) -> list[TruthPage]:
    """The pages of a set, in the order of its truth file."""
    with gzip.open(folder / "truth.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [_page(folder, json.loads(line)) for line in lines]


def _page(folder: Path, row: dict[str, object]) -> TruthPage:
    name = str(row["file"])
    text = None
    if "main_text" in row:  # null where a page has none
        text = str(row["main_text"] or "")
    elif "expected_html" in row:
        text = visible_text(str(row["expected_html"]))
    payload = gzip.decompress((folder / name).read_bytes())
    snippets = _strings(row.get("with")), _strings(row.get("without"))
    return TruthPage(name, payload, text, *snippets, str(row.get("page_type") or ""))


def _strings(found: object) -> tuple[str, ...]:
    return tuple(map(str, found)) if isinstance(found, list) else ()


def visible_text(markup: str) -> str:
    """The text nodes of a fragment, a blank between two elements so that no words grow together."""
    return " ".join(lxml_html.fragment_fromstring(markup, create_parent=True).itertext())


def words(text: str) -> Counter[str]:
    """The bag of words: runs of word characters of the lower-cased text."""
    return Counter(_WORD.findall(text.lower()))


def word_f1(found: str, truth: str) -> float:
    """Harmonic mean of precision and recall of the bag of words; 1 where both are empty."""
    a, b = words(found), words(truth)
    return 2 * (a & b).total() / (a.total() + b.total()) if a or b else 1.0


def snippet_f1(found: Sequence[str], pages: Sequence[TruthPage]) -> float:
    """Over all snippets of all pages: a wanted one in the text is a hit, an unwanted one in it a false hit."""
    hits = missed = false = 0
    for text, page in zip(found, pages, strict=True):
        here = sum(snippet in text for snippet in page.wanted)
        hits += here
        missed += len(page.wanted) - here
        false += sum(snippet in text for snippet in page.unwanted)
    return 2 * hits / (2 * hits + missed + false)


def score(found: Sequence[str], pages: Sequence[TruthPage]) -> Scores:
    """The scores of the texts that an extractor found in the pages of a set, in their order."""
    f1s = [word_f1(text, page.text) for text, page in zip(found, pages, strict=True) if page.text is not None]
    with_snippets = any(page.wanted for page in pages)
    return Scores(fmean(f1s) if f1s else None, snippet_f1(found, pages) if with_snippets else None)


def digest(files: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256 over names and contents, in order of the names."""
    total = hashlib.sha256()
    for name, content in sorted(files):
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def set_digest(folder: Path) -> str:
    """The digest of all files of a set."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return digest((path.relative_to(folder).as_posix(), path.read_bytes()) for path in files)
