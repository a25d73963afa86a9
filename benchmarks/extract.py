"""Quality and cost of our extraction beside trafilatura's defaults and datatrove's extractor, on marked pages.

    .venv/bin/python benchmarks/extract.py [--rounds 3] [--sets scrapinghub wcxb] [--peers FOLDER]

--peers adds the extractors of other projects that benchmarks/extract_peers.py has built in a folder.

A chain is what one core does to a page after it was read: decode, extract, identify the language, tokenize, sign. Time
is CPU time. Contestants have a process each and take turns on a page, whose least round counts. With the extractor in
a child, as the build and datatrove run it, the least round counts, with the time of both processes.
Every page is taken through the whole chain, whatever its language and length.
"""

import argparse
import logging
import multiprocessing
import resource
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import inf
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import fmean

import extract_peers
import msgspec
import trafilatura
import truth
from datatrove.data import Document as DatatroveDocument
from datatrove.pipeline.extractors import Trafilatura
from datatrove.utils.logging import logger
from extract_peers import Peer
from trafilatura.deduplication import LRU_TEST

from webtext.pipeline.documents.decode import decode
from webtext.pipeline.engine.sandbox import Sandbox
from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text import language, minhash
from webtext.pipeline.text.clean import clean
from webtext.pipeline.text.document import Document
from webtext.schemas import vocabulary
from webtext.schemas.records import Loss

SETTINGS = ExtractSettings(language_probability=0, min_tokens=0)
_BATCH = 32  # pages per exchange with the sandbox, as in the build
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

    def add(self, chain: float, extraction: float, text: str) -> None:
        """One more page."""
        self.chain += chain
        self.extraction = (self.extraction or 0) + extraction
        self.texts.append(text)


def finish(text: str) -> str:
    """What follows extraction, with the text."""
    language.identify(text)
    vocabulary.load().encode_to_numpy(text, disallowed_special=()).astype("<u2").tobytes()
    minhash.text_hash(text)
    minhash.signature(text).astype("<u4").tobytes()
    return text


def chain_of(text_of: Callable[[str], str], payload: bytes) -> str:
    """The chain around another extractor."""
    return finish(clean(text_of(decode(payload))))


def _text(found: Document | Loss) -> str:
    return found.text if isinstance(found, Document) else ""


def ours() -> Contestant:
    """The chain as it is in the build."""
    from webtext.pipeline.documents import extract
    from webtext.pipeline.documents.parsing import parse

    def text(html: str) -> str:
        tree = parse(html)
        return "" if tree is None else extract.text_of(html, tree, SETTINGS).text

    extract.load_models()
    return Contestant(lambda payload: _text(extract.extract_page(payload, SETTINGS)), text)


def defaults() -> Contestant:
    """What `trafilatura.extract` does with nothing but the page."""

    def text(html: str) -> str:
        return trafilatura.extract(html) or ""

    return Contestant(partial(chain_of, text), text)


def datatrove() -> Contestant:
    """Its class with its defaults, without the process around it."""

    def text(html: str) -> str:
        LRU_TEST.clear()  # its `deduplicate` would drop what it saw in earlier rounds
        return Trafilatura().extract(html) or ""

    return Contestant(partial(chain_of, text), text)


CONTESTANTS = {OURS: ours, DEFAULTS: defaults, DATATROVE: datatrove}


def serve(name: str, pipe: Connection) -> None:
    """A process for a contestant, because ours changes trafilatura in the process that imports it."""
    multiprocessing.set_start_method("fork", force=True)  # datatrove counts on it
    logger.remove()  # datatrove's
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    contestant = CONTESTANTS[name]()
    finish("warm up")
    while (page := pipe.recv()) is not None:
        if isinstance(page, list):
            pipe.send(in_datatroves_process(page))
            continue
        html = decode(page)
        start = time.process_time()
        contestant.chain(page)
        middle = time.process_time()
        text = contestant.text(html)  # scored, as our chain drops walls and copies of Wikipedia
        pipe.send((middle - start, time.process_time() - middle, text))


@contextmanager
def contestants() -> Iterator[dict[str, Connection]]:
    """A pipe to the process of each."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name in CONTESTANTS:
        pipes[name], theirs = context.Pipe()
        process = context.Process(target=serve, args=(name, theirs))
        process.start()
        theirs.close()  # so that its death is noticed
        processes.append(process)
    yield pipes
    for pipe in pipes.values():
        pipe.send(None)
    for process in processes:
        process.join()


def page_by_page(pages: list[truth.TruthPage], rounds: int, pipes: dict[str, Connection | Peer]) -> dict[str, Figures]:
    """Sums over the pages of the least time of each."""
    names = list(pipes)
    found = {name: Figures([], 0, 0) for name in names}
    for number, page in enumerate(pages):
        least = dict.fromkeys(names, (inf, inf))
        texts = {}
        for turn in range(rounds):
            shift = (turn + number) % len(names)
            for name in names[shift:] + names[:shift]:
                pipes[name].send(page.payload)
                chain, extraction, texts[name] = pipes[name].recv()
                least[name] = min(least[name][0], chain), min(least[name][1], extraction)
        for name in names:
            found[name].add(*least[name], texts[name])
    return found


def make_work() -> Callable[[bytes], bytes]:
    """The work of the build's child, each answer behind the CPU clock of the child."""
    from webtext.pipeline.documents import extract

    extract.load_models()

    def work(payload: bytes) -> bytes:
        answer = _encode(extract.extract_page(payload, SETTINGS))
        return _clock.pack(time.process_time()) + answer

    return work


def in_our_sandbox(pages: list[truth.TruthPage]) -> Iterator[tuple[float, list[str]]]:
    """Endless rounds: CPU seconds of parent and child, and the texts. The child's start is not counted."""
    read = msgspec.msgpack.Decoder(Document | Loss).decode
    with Sandbox(make_work, SETTINGS.cpu_seconds, SETTINGS.memory_mib) as sandbox:
        [first] = sandbox.run([pages[0].payload])
        while True:
            texts = []
            before, start = first, time.process_time()
            for at in range(0, len(pages), _BATCH):
                for answer in sandbox.run([page.payload for page in pages[at : at + _BATCH]]):
                    assert not isinstance(answer, Loss), answer
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
    documents = (DatatroveDocument(text=decode(page.payload), id=str(number)) for number, page in enumerate(pages))
    texts = [""] * len(pages)
    for document in Trafilatura().run(documents):
        texts[int(document.id)] = finish(clean(document.text))
    return _cpu() - start, texts


def _cpu() -> float:
    """CPU seconds of this process and of its children that ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(pages: list[truth.TruthPage], rounds: int, pipes: dict[str, Connection | Peer]) -> dict[str, Figures]:
    """All figures of a set, by contestant."""
    found = page_by_page(pages, rounds, pipes)
    found[OURS_APART], found[DATATROVE_APART] = Figures([]), Figures([])
    sandbox = in_our_sandbox(pages)
    for _ in range(rounds):
        pipes[DATATROVE].send(pages)
        for name, (spent, texts) in ((DATATROVE_APART, pipes[DATATROVE].recv()), (OURS_APART, next(sandbox))):
            found[name].chain, found[name].texts = min(spent, found[name].chain), texts
    sandbox.close()
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


def show_kinds(pages: list[truth.TruthPage], found: dict[str, Figures]) -> None:
    """Word F1 by kind of page, in Markdown."""
    kinds = sorted({page.kind for page in pages} - {""})
    if not kinds:
        return
    places = {kind: [at for at, page in enumerate(pages) if page.kind == kind] for kind in kinds}
    print("\n| word F1 | " + " | ".join(f"{kind} ({len(places[kind])})" for kind in kinds) + " |")
    print("|---" * (len(kinds) + 1) + "|")
    for contestant, figures in found.items():
        f1s = [truth.word_f1(text, page.text or "") for text, page in zip(figures.texts, pages, strict=True)]
        means = (fmean(f1s[at] for at in places[kind]) for kind in kinds)
        print(f"| {contestant} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |", flush=True)


def main() -> None:
    """One table per set, and the times over all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", choices=truth.SETS, default=truth.SETS)
    parser.add_argument("--peers", type=Path)
    options = parser.parse_args()
    total: dict[str, float] = {}
    count = 0
    with contestants() as own, extract_peers.running(options.peers, lambda text: finish(clean(text))) as others:
        pipes = {**own, **others}
        for name in options.sets:
            pages = truth.read_set(truth.DATA / name)
            found = measure(pages, options.rounds, pipes)
            show(name, pages, found)
            show_kinds(pages, found)
            count += len(pages)
            for contestant, figures in found.items():
                total[contestant] = total.get(contestant, 0) + figures.chain
    print(f"\nAll {count} pages, chain:")
    for contestant, spent in total.items():
        base = total[OURS_APART if contestant in {OURS_APART, DATATROVE_APART} else OURS]
        print(f"  {contestant:24} {count / spent:6.1f} pages/s  {spent / base:.2f} x the time of ours")


if __name__ == "__main__":
    main()
