"""Batches per second of our loader beside nanoGPT's random crops of one memory-mapped file.

    .venv/bin/python benchmarks/loader.py [--data CORPUS]

Ours reads Arrow shards in a permuted order, checks each token and can name each document; nanoGPT's maps its file anew
for each micro-batch. Both give int64 tensors on the CPU. Blocks of batches take turns; medians of CPU time.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nanogpt
import numpy as np
import token_corpus
import torch

from webtext.model.data import Batches, Corpus, Windows

SHAPES = ((12, 1024), (64, 1024), (8, 128))  # nanoGPT's micro-batch, ours on a large GPU, the preset tiny


def ours(corpus: Path, rows: int, length: int) -> Callable[[], object]:
    """A function that makes the next batch as the trainer does."""
    batches = Batches(Windows(Corpus.open(corpus), "train", length), rows * length, seed=1337)
    step = 0

    def batch() -> object:
        nonlocal step
        ids_BT = torch.from_numpy(batches.batch(step))
        step += 1
        return ids_BT[:, :-1], ids_BT[:, 1:]

    return batch


def compare(files: tuple[Path, Path], rows: int, length: int, rounds: int, block: int) -> tuple[float, float, float]:
    """Batches per second of CPU time: ours, nanoGPT's, and the median ratio of neighbouring blocks."""
    corpus, flat = files
    contestants = (ours(corpus, rows, length), lambda: nanogpt.get_batch(flat, rows, length, "cpu"))
    times: list[list[float]] = [[], []]
    for contestant in contestants:  # pages of the files into memory, code into caches
        _time(contestant, block)
    for number in range(rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            times[which].append(_time(contestants[which], block))
    ratio = statistics.median(theirs / mine for mine, theirs in zip(*times, strict=True))
    return block / statistics.median(times[0]), block / statistics.median(times[1]), ratio


def _time(batch: Callable[[], object], block: int) -> float:
    start = time.process_time()
    for _ in range(block):
        batch()
    return time.process_time() - start


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a corpus; without it one of made-up tokens is written")
    parser.add_argument("--tokens", type=int, default=20_000_000, help="of the corpus of made-up tokens")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--block", type=int, default=20, help="batches timed at once")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        corpus = options.data or token_corpus.write(Path(folder) / "corpus", options.tokens)
        flat = token_corpus.flat(corpus, Path(folder) / "train.bin")
        tokens = np.memmap(flat, np.uint16, "r").size
        print(f"{tokens:,} tokens, one thread, batches per second of CPU time\n")
        print("| batch | ours | np.memmap crops | ratio |\n|---|---|---|---|")
        for rows, length in SHAPES:
            mine, theirs, ratio = compare((corpus, flat), rows, length, options.rounds, options.block)
            print(f"| {rows} x {length} | {mine:,.0f} | {theirs:,.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
