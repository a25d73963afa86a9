"""Stage `labels`: of each document with copies, the smallest id of its cluster.

A cluster is a connected component of the verified pairs. Up to MAX_EDGES one task finds them all with scipy; beyond,
large-star and small-star rounds (see stars.py) until the edges are stars, or so few that the one task can do the rest.
The files are the same either way: for each documents part with such documents, their ids in order, and labels.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from webtext.pipeline.dedup import components, groups, stars
from webtext.pipeline.engine import packed
from webtext.pipeline.engine.stage import Part, PartOutput, Shuffle, Stage, StageError, numbered
from webtext.pipeline.files import storage, tabular
from webtext.pipeline.flow import LABELS
from webtext.schemas import tables
from webtext.schemas.manifest import StageManifest

LABELS_TABLE = ".labels.parquet"
# 57 bytes of memory per edge in a chain, 69 where no two edges share a document: up to 1.3 GB in one process.
MAX_EDGES = 16_000_000

_BATCH = 1_000_000  # rows
_LABEL = np.dtype([("id", "<u8"), ("label", "<u8")])
_CENTRES = 1  # at most one record more per edge: that of its centre

U64 = npt.NDArray[np.uint64]


def label(
    work: str,
    pairs: StageManifest,
    documents: int,
    run: Callable[[Stage], StageManifest],
    *,
    max_edges: int = MAX_EDGES,
    parts: int = 0,
    max_rounds: int = stars.MAX_ROUNDS,
) -> StageManifest:
    """Run all stages from the verified pairs to the labels.

    Args:
        work: folder of the build.
        pairs: the stage that wrote the pairs, as `<part>.edges.parquet` in the folder of its name.
        documents: number of documents parts.
        run: brings one stage to its manifest.
        max_edges: edges that one task may hold.
        parts: of the rounds; 0: as their edges need.
        max_rounds: after which something is wrong.

    Raises:
        StageError: a stage could not be completed, or the rounds come to no end.
    """

    def finish(edges: StageManifest) -> StageManifest:
        return run(small(work, stars.edges_of(work, edges), edges.digest(), documents, edges.tally.rows))

    if pairs.tally.rows <= max_edges:
        return finish(pairs)
    parts = parts or stars.parts_for(pairs.tally.rows)
    found = pairs
    for number in range(max_rounds):
        found = run(stars.round_stage(number, work, found, parts))
        if found.tally.rows <= max_edges:
            return finish(found)
        if stars.settled(found):
            return run(large(work, found, documents))
    raise StageError(
        f"stage {LABELS}: {max_rounds} rounds over {found.tally.rows} edges have left "
        f"{found.tally.counts.get(stars.UNSETTLED, 'some')} documents without the label of their cluster; this many "
        "rounds are not expected of any graph: please report it with the manifests of the folders stars-*"
    )


def small(work: str, edges: list[str], digest: str, documents: int, rows: int) -> Stage:
    """All edges in one task: files of so many `rows`, made by a stage with this digest."""
    return Stage(
        name=LABELS,
        folder=storage.join(work, LABELS),
        settings={},
        inputs=[digest],
        parts=numbered([{"edges": edges}]),
        run=partial(run_labels, documents),
        unit="edges",
        expects={"taken": rows},
    )


def large(work: str, settled: StageManifest, documents: int) -> Stage:
    """Stars, sorted into the documents parts that their leaves are in."""
    edges = settled.tally.rows
    return Stage(
        name=LABELS,
        folder=storage.join(work, LABELS),
        settings={},
        inputs=[settled.digest()],
        parts=numbered([{}] * documents),
        run=Shuffle(
            sources=numbered({"edges": [path]} for path in stars.edges_of(work, settled)),
            emit=partial(emit_labels, documents),
            bytes=edges * (1 + _CENTRES) * _LABEL.itemsize,
            run=run_labels_of_stars,
        ),
        unit="edges",
        expects={"taken": edges},
    )


def run_labels(documents: int, part: Part, output: PartOutput) -> None:
    """Label the documents of all parts.

    Raises:
        StageError: an edge names a document of a part that there isn't.
    """
    a, b = stars.read_edges(part.inputs["edges"])
    output.taken = output.passed = len(a)
    vertices, rows, columns = components.number(a, b)
    del a, b  # 16 bytes per edge, while scipy needs its own
    smallest = components.smallest(len(vertices), rows, columns)
    output.rows = len(vertices)
    owners = _owners(vertices, documents)
    bounds = [0, *(np.flatnonzero(np.diff(owners)) + 1).tolist(), len(vertices)]
    for start, end in pairwise(bounds):
        if start < end:
            _write(output, part, int(owners[start]), vertices[start:end], vertices[smallest[start:end]])


def by_documents_part(paths: Iterable[str]) -> dict[int, str]:
    """Files of labels by the ordinal of the documents part that they are for, as `_write` names them."""
    return {int(path.removesuffix(LABELS_TABLE).rsplit(".", 1)[1]): path for path in paths}


def _owners(ids: U64, documents: int) -> npt.NDArray[np.int64]:
    owners = groups.parts_of(ids)
    if len(owners) and owners.max() >= documents:
        raise StageError(f"stage {LABELS}: an edge names a document of part {owners.max()} of {documents}")
    return owners


def emit_labels(documents: int, source: Part, wanted: frozenset[int]) -> list[tuple[int, bytes]]:
    """The labels of leaves and centres in one file of stars, for the documents parts that they are in.

    Raises:
        StageError: an edge names a document of a part that there isn't.
    """
    found: list[tuple[int, bytes]] = []
    [path] = source.inputs["edges"]
    for batch in tabular.batches(path, ["a", "b"], _BATCH):
        a, b = batch["a"].to_numpy(), batch["b"].to_numpy()
        centres = np.unique(a)
        records = np.empty(len(b) + len(centres), _LABEL)
        records["id"] = np.concatenate([b, centres])
        records["label"] = np.concatenate([a, centres])
        found += packed.scatter(records, _owners(records["id"], documents), wanted)
    return found


def run_labels_of_stars(part: Part, output: PartOutput, blocks: Sequence[bytes]) -> None:
    """Label the documents of one part.

    Raises:
        StageError: a document has two labels: what came were no stars.
    """
    records = np.frombuffer(b"".join(blocks), _LABEL)
    output.taken = output.passed = int((records["id"] != records["label"]).sum())
    ids, first, inverse = np.unique(records["id"], return_index=True, return_inverse=True)
    labels = records["label"][first]
    if (labels[inverse] != records["label"]).any():
        raise StageError(f"stage {LABELS}, part {part.name}: a document is in two clusters")
    output.rows = len(ids)
    if len(ids):
        _write(output, part, part.ordinal, ids, labels)


def _write(output: PartOutput, part: Part, ordinal: int, ids: U64, labels: U64) -> None:
    with output.file(f"{part.name}.{ordinal:05d}{LABELS_TABLE}") as sink:
        table = tabular.TableWriter(sink, tables.LABELS)
        table.write(pa.table({"id": ids, "label": labels}, tables.LABELS))
        table.close()
        sink.rows = len(ids)
