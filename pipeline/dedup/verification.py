"""Stages `offers` and `pairs`: which candidates are similar enough to be copies. Nothing merges unverified.

A join on the pairs, not on all documents: the group of a pair's first document sends that document's sketch (see
sketches.py) to the group of the second, once for all pairs that it has there, and that group compares.
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from webtext.pipeline.dedup import candidates, sketches
from webtext.pipeline.dedup.groups import Groups
from webtext.pipeline.dedup.sketches import Sketch, Sketches
from webtext.pipeline.engine import exchange
from webtext.pipeline.engine.stage import Part, PartOutput
from webtext.pipeline.settings import DedupSettings
from webtext.schemas import tables

U64 = npt.NDArray[np.uint64]


def run_offers(settings: DedupSettings, groups: Groups, part: Part, output: PartOutput) -> None:
    """Stage `offers`: the sketches of this group's documents, for the groups that they have candidates in."""
    a, b = _edges(part, groups)
    output.taken = output.passed = len(a)
    a, b = candidates.distinct(a, b)
    output.rows = len(a)
    first, starts = np.unique(a, return_index=True)
    bounds = dict(zip(first.tolist(), pairwise([*starts.tolist(), len(a)]), strict=True))
    with exchange.publish(output, part, tables.OFFERS, groups.count) as offers:
        for ids, table, found in sketches.read(groups[part.ordinal], first, settings.method, ["text_hash"]):
            others = [b[slice(*bounds[own])] for own in ids.tolist()]
            offers.add(*_offers(ids, table["text_hash"].to_pylist(), found, others, groups))
        offers.rows = len(a)  # pairs, of which a row holds many


def _offers(
    ids: U64, text_hashes: list[bytes], found: list[Sketch], others: list[U64], groups: Groups
) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """One row for each document and each group where it has candidates; and that group."""
    rows: list[int] = []
    runs: list[U64] = []
    for row, all_others in enumerate(others):
        cuts = np.flatnonzero(np.diff(groups.of(all_others))) + 1
        runs += np.split(all_others, cuts)
        rows += [row] * (len(cuts) + 1)
    table = pa.table(
        {
            "a": ids[rows],
            "text_hash": [text_hashes[row] for row in rows],
            "sketch": [found[row] for row in rows],
            "others": runs,
        },
        tables.OFFERS,
    )
    return table, groups.of(np.array([run[0] for run in runs], np.uint64))


def _edges(part: Part, groups: Groups) -> tuple[U64, U64]:
    table = exchange.read_table(part.inputs["sent"], part.ordinal, groups.count, tables.EDGES)
    return table["a"].to_numpy(), table["b"].to_numpy()


def run_pairs(settings: DedupSettings, groups: Groups, part: Part, output: PartOutput) -> None:
    """Stage `pairs`: the pairs with equal text, or with a similarity of at least the threshold."""
    wanted = [np.empty(0, np.uint64)]
    for batch in exchange.read(part.inputs["sent"], part.ordinal, groups.count, ["others"]):
        wanted.append(np.unique(batch["others"].values.to_numpy()))
    own = sketches.load(groups[part.ordinal], np.unique(np.concatenate(wanted)), settings.method)
    with output.table("edges", tables.EDGES) as table:
        for batch in exchange.read(part.inputs["sent"], part.ordinal, groups.count):
            a, b = _verified(batch, own, settings)
            output.taken += len(batch["others"].values)
            table.write(pa.table({"a": a, "b": b}, tables.EDGES))
            output.rows += len(a)
    output.passed = output.taken


def _verified(batch: pa.RecordBatch, own: Sketches, settings: DedupSettings) -> tuple[U64, U64]:
    found_a, found_b = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    mine = sketches.text_hashes(batch)
    values, offsets = (column.to_numpy() for column in (batch["sketch"].values, batch["sketch"].offsets))
    every, starts = (column.to_numpy() for column in (batch["others"].values, batch["others"].offsets))
    for row, a in enumerate(batch["a"].to_numpy()):
        others = every[starts[row] : starts[row + 1]]
        sketch = values[offsets[row] : offsets[row + 1]]
        theirs, bounds, hashes = own.select(others)
        similar = sketches.similarity(sketch, theirs, bounds, settings.method) >= settings.threshold
        similar |= (hashes == mine[row]).all(axis=1)
        found_a.append(np.full(int(similar.sum()), a, np.uint64))
        found_b.append(others[similar])
    return np.concatenate(found_a), np.concatenate(found_b)
