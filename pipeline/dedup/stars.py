"""Stages `stars-00`, `stars-01`, ...: a graph of any size becomes stars around the smallest vertex of each component.

Large-star and small-star rounds by turns (Kiveris, Lattanzi, Mirrokni, Rastogi, Vassilvitskii: Connected Components in
MapReduce and Beyond, SoCC 2014). A large-star round sends each edge to the parts of both its ends, a small-star round
to the part of its larger end. In the paper a vertex joins its neighbours to the smallest of them. Here the part does so
with all edges that it holds at once: each component of its share becomes a star around its smallest vertex. Round 0
does the same to each file as it stands.

Why this is right: a round replaces edges by stars that join the same vertices, so components stay. Let s(v) be the
smallest neighbour of v, or v. It never rises, and in a large-star round it becomes at most s(s(v)), as the part of s(v)
sees both. When no s falls any more, each v is a neighbour of the smallest vertex of its component; then all edges in a
part hang together through that vertex, and the round leaves nothing but stars. So the rounds come to an end.
A large-star round finds exact proof in its input: all vertices but the centres have one neighbour, a smaller one.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from webtext.pipeline.dedup import components
from webtext.pipeline.engine import packed
from webtext.pipeline.engine.stage import Part, PartOutput, Shuffle, Stage, numbered, paths_of
from webtext.pipeline.files import storage, tabular
from webtext.pipeline.text import minhash
from webtext.schemas import tables
from webtext.schemas.manifest import StageManifest

MAX_ROUNDS = 100  # 743,779 documents in a chain of random order take 16 with 16 parts
EDGES = ".edges.parquet"
UNSETTLED = "unsettled"

_EDGES_PER_PART = 2_000_000  # a large-star round sends twice as many: about 400 MB in a part
_BATCH = 1_000_000  # rows
_EDGE = np.dtype([("u", "<u8"), ("v", "<u8")])

U64 = npt.NDArray[np.uint64]


def parts_for(edges: int) -> int:
    """How many parts the rounds over so many edges have: few, as larger parts need fewer rounds."""
    return max(1, -(-edges // _EDGES_PER_PART))


def edges_of(work: str, manifest: StageManifest) -> list[str]:
    """The files of edges that a stage has written."""
    return paths_of(work, manifest, EDGES)


def round_stage(number: int, work: str, before: StageManifest, parts: int) -> Stage:
    """Round `number` over the edges of the stage before it: odd ones are large-star rounds, even ones small-star."""
    sources = numbered({"edges": [path]} for path in edges_of(work, before))
    name = f"stars-{number:02d}"
    both = number % 2 == 1
    edges = before.tally.rows
    records = edges * (1 + both)
    shuffle = Shuffle(
        sources=sources,
        emit=partial(emit_stars, both, parts),
        run=partial(run_stars, both),
        bytes=records * _EDGE.itemsize,
    )
    return Stage(
        name=name,
        folder=storage.join(work, name),
        settings={},
        inputs=[before.digest()],
        parts=numbered([{}] * parts) if number else sources,
        run=shuffle if number else run_first_stars,
        unit="edges",
        expects={"taken": records},
    )


def settled(manifest: StageManifest) -> bool:
    """Whether this round saw that its edges are stars around the smallest vertex of each component."""
    counts = manifest.tally.counts
    return UNSETTLED in counts and not counts[UNSETTLED]


def run_first_stars(part: Part, output: PartOutput) -> None:
    """Round 0: the edges of one file become stars, without a shuffle."""
    _write(output, *read_edges(part.inputs["edges"]))


def emit_stars(both: bool, parts: int, source: Part, wanted: frozenset[int]) -> list[tuple[int, bytes]]:
    """The edges (u, v) of one file for the part that owns u: the larger end, and the smaller one too if `both`."""
    found: list[tuple[int, bytes]] = []
    [path] = source.inputs["edges"]
    for batch in tabular.batches(path, ["a", "b"], _BATCH):
        a, b = (batch[name].to_numpy() for name in ("a", "b"))
        for u, v in ((b, a), (a, b)) if both else ((b, a),):
            records = np.empty(len(u), _EDGE)
            records["u"], records["v"] = u, v
            found += packed.scatter(records, packed.part_of(minhash.fmix64(u), parts), wanted)
    return found


def run_stars(both: bool, part: Part, output: PartOutput, blocks: Sequence[bytes]) -> None:
    """The edges that came to one part become stars."""
    del part
    records = np.frombuffer(b"".join(blocks), _EDGE)
    u, v = np.ascontiguousarray(records["u"]), np.ascontiguousarray(records["v"])
    if both:
        output.counts[UNSETTLED] = unsettled(u, v)
    _write(output, u, v)


def unsettled(u: U64, v: U64) -> int:
    """Vertices u that have a smaller neighbour and others too, where all neighbours of each u are there."""
    vertices, rows, columns = components.number(u, v)
    low = np.arange(len(vertices), dtype=np.int32)
    np.minimum.at(low, rows, columns)
    high = np.zeros(len(vertices), np.int32)
    np.maximum.at(high, rows, columns)
    # Ends that this part does not own have no rows: low is their own number.
    return int(((low < np.arange(len(vertices))) & (low != high)).sum())


def _write(output: PartOutput, u: U64, v: U64) -> None:
    vertices, labels = components.label(u, v)
    leaves = vertices != labels
    with output.table("edges", tables.EDGES) as table:
        table.write(pa.table({"a": labels[leaves], "b": vertices[leaves]}, tables.EDGES))
    output.taken = output.passed = len(u)
    output.rows = int(leaves.sum())


def read_edges(paths: Sequence[str]) -> tuple[U64, U64]:
    """Both ends of all edges in these files, read into arrays of just their size."""
    rows = 0
    for path in paths:
        with tabular.open_parquet(path) as table:
            rows += table.metadata.num_rows
    a, b = np.empty(rows, np.uint64), np.empty(rows, np.uint64)
    start = 0
    for path in paths:
        for batch in tabular.batches(path, ["a", "b"], _BATCH):
            end = start + batch.num_rows
            a[start:end], b[start:end] = batch["a"].to_numpy(), batch["b"].to_numpy()
            start = end
    return a, b
