"""What the constants of the extraction are worth on sites that had no say in them.

    .venv/bin/python benchmarks/tune_extraction.py

All values of a grid are tried on every page of the four sets. The sites are dealt into five folds by a hash of their
names; for each fold the values that score best on the other four are taken, and the fold's pages get the texts that
these values give. Printed are the scores of these texts beside those of the values that the code has, and what was
chosen. Best is the mean of the word F1 of a set and, where it has marked snippets, of its snippet F1, over the sets.
"""

import gzip
import hashlib
import itertools
import json
from collections.abc import Sequence
from statistics import fmean
from urllib.parse import urlsplit

import truth

from webtext.pipeline.documents import extract, frames, main_text
from webtext.pipeline.documents.decode import decode
from webtext.pipeline.documents.parsing import parse
from webtext.pipeline.settings import ExtractSettings

SETTINGS = ExtractSettings()
FOLDS = 5
# Share of the page's sentences for articles, for other kinds; characters of the shortest loose sentence.
GRID = list(itertools.product((0.2, 0.3, 0.4), (0.6, 0.7, 0.8), (40, 60, 80)))
OURS = (0.3, 0.7, 60)

Texts = dict[str, list[str]]


def text_of(payload: bytes) -> str:
    """The text of a page whatever its language and length."""
    html = decode(payload)
    tree = parse(html)
    return "" if tree is None else extract.text_of(html, tree, SETTINGS).text


def texts_with(values: tuple[float, float, int], pages: dict[str, list[truth.TruthPage]]) -> Texts:
    """The texts of all pages with other constants."""
    article, other, frames._LOOSE = values
    for kind in main_text._SHARES:
        main_text._SHARES[kind] = article if kind in ("article", "documentation") else other
    return {name: [text_of(page.payload) for page in pages[name]] for name in pages}


def fold_of(site: str) -> int:
    """By a hash, so that pages of one site are in one fold."""
    return hashlib.sha256(site.encode()).digest()[0] % FOLDS


def folds_of(name: str, pages: Sequence[truth.TruthPage]) -> list[int]:
    """The fold of each page of a set; pages without a URL are sites of their own."""
    with gzip.open(truth.DATA / name / "truth.jsonl.gz", "rt", encoding="utf-8") as lines:
        urls = [json.loads(line).get("url") for line in lines]
    return [fold_of(urlsplit(url or "").hostname or page.name) for url, page in zip(urls, pages, strict=True)]


def scores(texts: Texts, pages: dict[str, list[truth.TruthPage]], use: dict[str, list[bool]]) -> dict[str, float]:
    """The scores of the pages that are used."""
    found = {}
    for name in pages:
        chosen = [number for number, used in enumerate(use[name]) if used]
        one = truth.score([texts[name][n] for n in chosen], [pages[name][n] for n in chosen])
        values = {"word_f1": one.word_f1, "snippet_f1": one.snippet_f1}
        found |= {f"{name} {key}": value for key, value in values.items() if value is not None}
    return found


def main() -> None:
    """Print one line for each score."""
    pages = {name: truth.read_set(truth.DATA / name) for name in truth.SETS}
    folds = {name: folds_of(name, pages[name]) for name in pages}
    texts = {values: texts_with(values, pages) for values in GRID}
    held_out: Texts = {name: [""] * len(pages[name]) for name in pages}
    for fold in range(FOLDS):
        use = {name: [each != fold for each in folds[name]] for name in pages}
        best = max(GRID, key=lambda values: fmean(scores(texts[values], pages, use).values()))
        print(f"fold {fold}: {best}")
        for name in pages:
            for number in (n for n, each in enumerate(folds[name]) if each == fold):
                held_out[name][number] = texts[best][name][number]
    everything = {name: [True] * len(pages[name]) for name in pages}
    ours, theirs = scores(texts[OURS], pages, everything), scores(held_out, pages, everything)
    for name in ours:
        print(f"{name}: {ours[name]:.4f} with the values of the code, {theirs[name]:.4f} on held-out sites")


if __name__ == "__main__":
    main()
