"""Quality and cost of our extraction beside trafilatura's defaults and datatrove's extractor, on marked pages.

    .venv/bin/python benchmarks/extract.py [--rounds 3] [--sets scrapinghub wcxb]

A chain is what one core does to a page after it was read: decode, extract, identify the language, tokenize, sign. Time
is CPU time: in one process, the least of all rounds for each page, the contestants taking turns on a page; with the
extractor in a child of its own, as the build and datatrove run it, the least round, with the time of both processes.
Every page is taken through the whole chain, whatever its language and length.
"""

import argparse
import logging
import resource
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import inf

import msgspec
import trafilatura
import truth
from datatrove.data import Document
from datatrove.pipeline.extractors import Trafilatura
from datatrove.utils.logging import logger
from trafilatura.deduplication import LRU_TEST
from trafilatura.utils import load_html

from pipeline import extract, language, minhash
from pipeline.decode import decode
from pipeline.guards import clean
from pipeline.sandbox import Failure, Sandbox
from pipeline.settings import ExtractSettings
from pipeline.verdicts import Dropped, Extracted
from schemas import vocabulary

SETTINGS = ExtractSettings(language_probability=0, min_tokens=0)
_BATCH = 32  # pages per exchange with the sandbox, as in the build
_URL = "https://example.org/"
_clock = struct.Struct("<d")
_encode = msgspec.msgpack.Encoder().encode

OURS, DEFAULTS, DATATROVE = "webtext", "trafilatura, defaults", "datatrove"
OURS_APART, DATATROVE_APART = f"{OURS}, sandbox", f"{DATATROVE}, its process"


@dataclass(frozen=True)
class Contestant:
    """One way from a page to its text, in this process."""

    chain: Callable[[bytes], str]  # payload -> text, with everything that the chain does to it
    text: Callable[[str], str]  # markup -> text


@dataclass
class Figures:
    """What was measured of a contestant on a set; times in CPU seconds."""

    texts: list[str]
    chain: float = inf
    extraction: float | None = None


def finish(text: str) -> str:
    """What follows extraction, with the text."""
    language.identify(text)
    vocabulary.load().encode_to_numpy(text, disallowed_special=()).astype("<u2").tobytes()
    minhash.text_hash(text)
    minhash.sign(minhash.shingles(text)).astype("<u4").tobytes()
    return text


def chain_of(text_of: Callable[[str], str], payload: bytes) -> str:
    """The chain around another extractor."""
    return finish(clean(text_of(decode(payload))))


def our_chain(payload: bytes) -> str:
    """The chain as it is in the build."""
    return _text(extract.extract_page(_URL, payload, SETTINGS))


def _text(found: Extracted | Dropped) -> str:
    return found.text if isinstance(found, Extracted) else ""


def our_text(html: str) -> str:
    """Extraction alone."""
    tree = load_html(html)
    return "" if tree is None else extract.main_text(tree, SETTINGS)


def _by_trafilatura(html: str) -> str:
    return trafilatura.extract(html) or ""


def _by_datatrove(html: str) -> str:
    return Trafilatura().extract(html) or ""


CONTESTANTS = {
    OURS: Contestant(our_chain, our_text),
    DEFAULTS: Contestant(partial(chain_of, _by_trafilatura), _by_trafilatura),
    DATATROVE: Contestant(partial(chain_of, _by_datatrove), _by_datatrove),
}


def timed(function: Callable[[], str]) -> tuple[float, str]:
    """CPU seconds, and what came."""
    start = time.process_time()
    found = function()
    return time.process_time() - start, found


def in_this_process(pages: list[truth.TruthPage], rounds: int) -> dict[str, Figures]:
    """Sums over the pages of the least time of each."""
    names = list(CONTESTANTS)
    least: dict[tuple[str, int, str], float] = {}
    texts: dict[str, list[str]] = {name: [""] * len(pages) for name in names}
    for turn in range(rounds):
        for number, page in enumerate(pages):
            html = decode(page.payload)
            shift = (turn + number) % len(names)
            for name in names[shift:] + names[:shift]:
                contestant = CONTESTANTS[name]
                for what, call in (
                    ("chain", partial(contestant.chain, page.payload)),
                    ("extraction", partial(contestant.text, html)),
                ):
                    LRU_TEST.clear()  # datatrove's `deduplicate` drops what it saw on earlier pages and rounds
                    spent, text = timed(call)
                    least[name, number, what] = min(spent, least.get((name, number, what), inf))
                    if what == "chain":
                        texts[name][number] = text
    sums = {
        (name, what): sum(least[name, number, what] for number in range(len(pages)))
        for name in names
        for what in ("chain", "extraction")
    }
    return {name: Figures(texts[name], sums[name, "chain"], sums[name, "extraction"]) for name in names}


def make_work() -> Callable[[bytes], bytes]:
    """The work of the build's child, each answer behind the CPU clock of the child."""
    extract.load_models()

    def work(payload: bytes) -> bytes:
        answer = _encode(extract.extract_page(_URL, payload, SETTINGS))
        return _clock.pack(time.process_time()) + answer

    return work


def in_our_sandbox(pages: list[truth.TruthPage]) -> Iterator[tuple[float, list[str]]]:
    """Endless rounds: CPU seconds of parent and child, and the texts. The child's start is not counted."""
    read = msgspec.msgpack.Decoder(Extracted | Dropped).decode
    with Sandbox(make_work, SETTINGS.cpu_seconds, SETTINGS.memory_mib) as sandbox:
        [first] = sandbox.run([pages[0].payload])
        while True:
            texts = []
            before, start = first, time.process_time()
            for at in range(0, len(pages), _BATCH):
                for answer in sandbox.run([page.payload for page in pages[at : at + _BATCH]]):
                    assert not isinstance(answer, Failure), answer
                    texts.append(_text(read(answer[_clock.size :])))
                    first = answer
            assert isinstance(before, bytes)
            assert isinstance(first, bytes)
            child = _clock.unpack_from(first)[0] - _clock.unpack_from(before)[0]
            yield time.process_time() - start + child, texts


def in_datatroves_process(pages: list[truth.TruthPage]) -> tuple[float, list[str]]:
    """The step as datatrove runs it: a child process for all pages, a second of wall time for each."""
    LRU_TEST.clear()
    start = _cpu()
    documents = (Document(text=decode(page.payload), id=str(number)) for number, page in enumerate(pages))
    texts = [""] * len(pages)
    for document in Trafilatura().run(documents):
        texts[int(document.id)] = finish(clean(document.text))
    return _cpu() - start, texts


def _cpu() -> float:
    """CPU seconds of this process and of its children that ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(pages: list[truth.TruthPage], rounds: int) -> dict[str, Figures]:
    """All figures of a set, by contestant."""
    found = in_this_process(pages, rounds)
    ours = in_our_sandbox(pages)
    found[OURS_APART], found[DATATROVE_APART] = Figures([]), Figures([])
    for _ in range(rounds):
        for name, (spent, texts) in (
            (OURS_APART, next(ours)),
            (DATATROVE_APART, in_datatroves_process(pages)),
        ):
            found[name].chain, found[name].texts = min(spent, found[name].chain), texts
    ours.close()
    return found


def show(name: str, pages: list[truth.TruthPage], found: dict[str, Figures]) -> None:
    """A table in Markdown."""
    print(f"\n{name}, {len(pages)} pages, {sum(len(page.payload) for page in pages) // len(pages) // 1000} kB each\n")
    print("| extractor | word F1 | snippet F1 | extraction ms | chain ms | chain pages/s | time / ours |")
    print("|---|---|---|---|---|---|---|")
    for contestant, figures in found.items():
        scores = truth.score(figures.texts, pages)
        base = found[OURS_APART if contestant in {OURS_APART, DATATROVE_APART} else OURS].chain
        f1s = " | ".join("" if score is None else f"{score:.4f}" for score in (scores.word_f1, scores.snippet_f1))
        alone = "" if figures.extraction is None else f"{1000 * figures.extraction / len(pages):.1f}"
        print(
            f"| {contestant} | {f1s} | {alone} | {1000 * figures.chain / len(pages):.1f} "
            f"| {len(pages) / figures.chain:.0f} | {figures.chain / base:.2f} |",
            flush=True,
        )


def main() -> None:
    """One table per set, and the times over all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", choices=truth.SETS, default=truth.SETS)
    options = parser.parse_args()
    logger.remove()  # datatrove's
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    extract.load_models()
    total: dict[str, float] = {}
    count = 0
    for name in options.sets:
        pages = truth.read_set(truth.DATA / name)
        found = measure(pages, options.rounds)
        show(name, pages, found)
        count += len(pages)
        for contestant, figures in found.items():
            total[contestant] = total.get(contestant, 0) + figures.chain
    print(f"\nAll {count} pages, chain:")
    for contestant, spent in total.items():
        base = total[OURS_APART if contestant in {OURS_APART, DATATROVE_APART} else OURS]
        print(f"  {contestant:24} {count / spent:6.1f} pages/s  {spent / base:.2f} x the time of ours")


if __name__ == "__main__":
    main()
