"""Texts with planted copies, for benchmarks/dedup.py: the same bytes for the same number and kind, on any machine.

A text of about 3 kB is eight runs of about 400 characters out of real prose, drawn at random, so that two texts have
a run in common at most. Texts come in clusters of Zipf sizes (P(n) ~ n^-2.5, at most 500): in each copy of a cluster's
first text one run of 0 to 40 % of the words is replaced by other prose, which leaves a Jaccard similarity of
(1 - r) / (1 + r) for a share r. Pages of one template are three runs that all have and two that no other has, which
leaves a similarity of 0.4.
"""

import io
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import zstandard

BOOKS = Path(__file__).resolve().parents[2] / "shared" / "data" / "prose" / "classic_books.jsonl.zst"

PER_FILE = 10_000
SITES = 997
CERTAIN = 0.3  # share of replaced words up to which a copy is clearly above a similarity of 0.5

_RUN = 300  # characters, about
_RUNS = 8  # of a text
_TEMPLATE, _OWN = 3, 2  # runs of a page of a template
_LARGEST = 500  # texts of a cluster
_SENTENCE = re.compile(rf"(?s).{{1,{2 * _RUN}}}?(?:[.!?]\s+|$)")


class Planted(NamedTuple):
    """One text."""

    name: str
    cluster: int
    replaced: float  # share of its words, 0 for a cluster's first text and for equal copies
    text: str


@cache
def runs() -> tuple[str, ...]:
    """Some whole sentences each, of all the prose there is."""
    found: list[str] = []
    for text in _prose():
        run = ""
        for sentence in _SENTENCE.findall(text):
            run += sentence
            if len(run) >= _RUN:
                found.append(" ".join(run.split()))
                run = ""
    return tuple(dict.fromkeys(found))


def _prose() -> Iterator[str]:
    if BOOKS.exists():
        with BOOKS.open("rb") as stream:
            for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(stream), "utf-8"):
                yield json.loads(line)["text"]
        return
    # Few texts: numbers make the runs differ.
    from chain import pages as web_pages

    plain = [re.sub(r"<[^>]*>", " ", html.decode("utf-8", "replace")) for _, _, html in web_pages(60)]
    for turn in range(400):
        yield from (re.sub(r"((?:\S+\s+){4})", rf"\1w{turn} ", text) for text in plain)


def pages(count: int) -> Iterator[Planted]:
    """So many pages of one template. Raises ValueError where there is too little prose."""
    shared, own = runs()[:_TEMPLATE], runs()[_TEMPLATE:]
    if count * _OWN > len(own):
        raise ValueError(f"{count} pages of a template are too many, there is prose for {len(own) // _OWN}")
    for number in range(count):
        text = " ".join([*shared, *own[number::count][:_OWN]])
        yield Planted(f"https://site{number % SITES}.example.org/{number}", number, 0, text)


def texts(count: int) -> Iterator[Planted]:
    """So many texts, in order of their clusters."""
    pool = runs()
    random = np.random.default_rng(20260101)
    made = cluster = 0
    while made < count:
        size = min(int(random.zipf(2.5)), _LARGEST, count - made)
        first = [pool[number] for number in random.integers(0, len(pool), _RUNS)]
        words = " ".join(first).split(" ")
        for number in range(size):
            share, text = _copy(words, pool, random) if number else (0.0, " ".join(words))
            yield Planted(f"https://site{made % SITES}.example.org/{made}", cluster, share, text)
            made += 1
        cluster += 1


def _copy(words: Sequence[str], pool: Sequence[str], random: np.random.Generator) -> tuple[float, str]:
    """A copy, and the share of its words that are others. One copy in five is equal."""
    share = max(0.0, random.uniform(-0.1, 0.4))
    length = int(share * len(words))
    start = int(random.integers(0, len(words) - length + 1))
    other: list[str] = []
    while len(other) < length:
        other += pool[int(random.integers(0, len(pool)))].split(" ")
    return share, " ".join([*words[:start], *other[:length], *words[start + length :]])


def write(folder: Path, count: int, template: bool = False) -> None:
    """JSON lines of id, url, text, cluster and replaced: 10,000 a file."""
    folder.mkdir(parents=True)
    stream = None
    for number, planted in enumerate(pages(count) if template else texts(count)):
        if number % PER_FILE == 0:
            if stream:
                stream.close()
            stream = (folder / f"texts-{number // PER_FILE:05d}.jsonl").open("w")
        assert stream
        record = {"id": planted.name, "url": planted.name, "text": planted.text}
        stream.write(json.dumps(record | {"cluster": planted.cluster, "replaced": round(planted.replaced, 4)}) + "\n")
    if stream:
        stream.close()


class Score(NamedTuple):
    """How well a system has found the planted copies."""

    kept: int
    missed: int  # texts that are clear copies of another kept one
    certain: int  # clear copies that there are
    wrong: int  # texts without any copy that were dropped


def score(folder: Path, kept: set[str]) -> Score:
    """Compare the names of the texts that a system has kept with what was planted."""
    clear: dict[int, list[bool]] = {}  # of each cluster: was it kept, for its first text and the clear copies
    sizes: dict[int, int] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.open():
            row = json.loads(line)
            sizes[row["cluster"]] = sizes.get(row["cluster"], 0) + 1
            if row["replaced"] <= CERTAIN:
                clear.setdefault(row["cluster"], []).append(row["url"] in kept)
    return Score(
        kept=len(kept),
        missed=sum(max(0, sum(group) - 1) for group in clear.values()),
        certain=sum(len(group) - 1 for group in clear.values()),
        wrong=sum(not group[0] for cluster, group in clear.items() if sizes[cluster] == 1),
    )
