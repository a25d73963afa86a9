"""Time and memory of connected components, in one task and in rounds.

    .venv/bin/python benchmarks/components.py one chain 1_000_000
    .venv/bin/python benchmarks/components.py rounds chain 743_779 --parts 16

Graphs: `chain` is a path through all documents in random order, the worst case of the rounds and the one with the most
documents per edge; `random` has as many edges as documents; `dense` has eight edges per document, in clusters of 20.
Time and memory are those of processes of their own (measure.py), the start of Python and Beam included; labels are
compared with scipy's on the whole graph, which is not measured.
"""

import argparse
import sys
import tempfile
from functools import cache, partial
from pathlib import Path

import measure
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from webtext.pipeline.dedup import components, labels
from webtext.pipeline.engine.beam_stage import run_stage
from webtext.pipeline.engine.stage import Part, PartOutput, Stage, numbered
from webtext.schemas import tables
from webtext.schemas.manifest import StageManifest

_FILES = 16
_DOCUMENTS = 64  # documents parts

U64 = npt.NDArray[np.uint64]


@cache
def graph(shape: str, count: int) -> tuple[U64, U64]:
    """A graph of about so many edges, a < b, of random numbers with a set seed."""
    random = np.random.default_rng(0)
    if shape == "chain":
        order = random.permutation(count + 1)
        a, b = order[:-1], order[1:]
    elif shape == "random":
        a, b = random.integers(0, count, (2, count))
    else:
        order = random.permutation(max(20, count // 8))
        at = random.integers(0, len(order), count)
        a, b = order[at], order[np.minimum(at // 20 * 20 + random.integers(0, 20, count), len(order) - 1)]
    a, b = a[a != b].astype(np.uint64), b[a != b].astype(np.uint64)
    parts = np.uint64(_DOCUMENTS)
    a, b = (ids % parts << np.uint64(32) | ids // parts for ids in (a, b))
    return np.minimum(a, b), np.maximum(a, b)


def write(shape: str, count: int, part: Part, output: PartOutput) -> None:
    """Every sixteenth edge."""
    a, b = (ends[part.ordinal :: _FILES] for ends in graph(shape, count))
    with output.table("edges", tables.EDGES) as table:
        table.write(pa.table({"a": a, "b": b}, tables.EDGES))
    output.taken = output.passed = output.rows = len(a)


def make(work: str, shape: str, count: int) -> StageManifest:
    """The stage before: files of edges."""
    stage = Stage(
        name="pairs",
        folder=str(Path(work) / "pairs"),
        settings={},
        inputs=[],
        parts=numbered([{}] * _FILES),
        run=partial(write, shape, count),
        unit="pairs",
    )
    return run_stage(stage, (), 0)


def label(work: str, way: str, parts: int) -> None:
    """What is measured."""
    pairs = StageManifest.from_json((Path(work) / "pairs" / "manifest.json").read_bytes())
    limit = sys.maxsize if way == "one" else 0
    run = partial(run_stage, flags=(), workers=1)
    labels.label(work, pairs, _DOCUMENTS, run, max_edges=limit, parts=parts)


def right(work: str, shape: str, count: int) -> bool:
    """Whether the labels are scipy's."""
    vertices, smallest = components.label(*graph(shape, count))
    paths = sorted((Path(work) / "labels").glob("*.labels.parquet"))
    found = pa.concat_tables([pq.read_table(path) for path in paths])
    return bool((found["id"].to_numpy() == vertices).all() and (found["label"].to_numpy() == smallest).all())


def main() -> None:
    """Measure one way on one graph and print a row of the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=["one", "rounds"])
    parser.add_argument("shape", choices=["chain", "random", "dense"])
    parser.add_argument("edges", type=int)
    parser.add_argument("--parts", type=int, default=0, help="of the rounds; 0: as a build chooses")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        label(args.work, args.way, args.parts)
        return
    with tempfile.TemporaryDirectory() as work:
        found = make(work, args.shape, args.edges)
        usage = measure.run([sys.executable, *sys.argv, "--work", work], Path(work) / "log")
        edges = found.tally.rows
        rounds = len(list(Path(work).glob("stars-*/manifest.json")))
        assert right(work, args.shape, args.edges), "the labels are wrong"
        print(
            f"{args.way}, {args.shape}, {edges:,} edges, {rounds} rounds: {usage.cpu:.1f} s of CPU, "
            f"{1e6 * usage.cpu / edges:.2f} us per edge; largest process {usage.process_mib:,.0f} MiB"
        )


if __name__ == "__main__":
    main()
