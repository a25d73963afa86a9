"""Graphs for tests, their labels by an oracle of its own, and a stage that writes one."""

import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from webtext.pipeline.engine.stage import Stage, numbered
from webtext.schemas import tables


def union_find(pairs):
    """The oracle: every vertex to the smallest one of its component."""
    parent = {}

    def find(x):
        parent.setdefault(x, x)
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    for a, b in pairs:
        low, high = sorted((find(a), find(b)))
        parent[high] = low
    return {vertex: find(vertex) for vertex in parent}


def document(number, documents):
    """Id of a document: they go round and round the documents parts."""
    return number % documents << 32 | number // documents


def write_edges(pairs, part, output):
    """Stage `pairs` without texts: part k writes its own list of edges."""
    mine = np.array(pairs[part.ordinal], np.uint64).reshape(-1, 2)
    with output.table("edges", tables.EDGES) as table:
        table.write(pa.table({"a": mine.min(axis=1), "b": mine.max(axis=1)}, tables.EDGES))
    output.taken = output.passed = output.rows = len(mine)


def pair_stage(work, pairs, files=3):
    """A stage that writes these edges into some files."""
    cut = [pairs[number::files] for number in range(files)]
    return Stage(
        name="pairs",
        folder=str(Path(work) / "pairs"),
        settings={},
        inputs=[str(pairs), str(files)],
        parts=numbered([{}] * files),
        run=partial(write_edges, cut),
        unit="pairs",
    )


def die_once(trap, run, part, output, blocks):
    """Run a part, but kill the process first where a trap says so."""
    own = Path(trap) / part.name
    if own.exists():
        own.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    run(part, output, blocks)
