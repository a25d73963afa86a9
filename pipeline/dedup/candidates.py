"""Stage `candidates`: pairs of documents that may be copies, by the bands of their signatures.

Locality-sensitive hashing (Leskovec et al., Mining of Massive Datasets, section 3.4): packed band hashes are shuffled,
and the documents that share one are paired; the hash of the whole text takes part as one more band. Each pair goes to
the group of its first document, which is to verify it.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from webtext.pipeline.dedup.groups import Groups, ids_of
from webtext.pipeline.engine import exchange, packed
from webtext.pipeline.engine.stage import Part, PartOutput
from webtext.pipeline.files import tabular
from webtext.pipeline.text import minhash
from webtext.schemas import tables

RECORDS_PER_DOCUMENT = minhash.BANDS + 1

_RECORD = np.dtype([("hash", "<u8"), ("id", "<u8")])
RECORD_BYTES = _RECORD.itemsize
_ALL_PAIRS = 32  # documents in a bucket up to which every pair is a candidate; beyond, a star and a chain
_ROWS = 100_000  # documents whose bands are in memory at once

U64 = npt.NDArray[np.uint64]


def emit_candidates(groups: Groups, source: Part, wanted: frozenset[int]) -> list[tuple[int, bytes]]:
    """Band hashes of the documents of one group, packed for each part of the stage."""
    found: list[tuple[int, bytes]] = []
    for ordinal, path in groups[source.ordinal]:
        row = 0
        for batch in tabular.batches(path, ["signature", "text_hash"], _ROWS):
            records = np.empty(batch.num_rows * RECORDS_PER_DOCUMENT, _RECORD)
            records["hash"] = _hashes(batch).reshape(-1)
            records["id"] = np.repeat(ids_of(ordinal, row, batch.num_rows), RECORDS_PER_DOCUMENT)
            row += batch.num_rows
            found += packed.scatter(records, packed.part_of(records["hash"], groups.count), wanted)
    return found


def _hashes(batch: pa.RecordBatch) -> U64:
    signatures = np.frombuffer(b"".join(batch["signature"].to_pylist()), "<u4").reshape(-1, minhash.PERMUTATIONS)
    exact, _ = packed.split_keys(batch["text_hash"].to_pylist())
    bands = minhash.bands(signatures)
    # Texts too short to resemble others have the signature of the empty set, and meet by their whole text alone.
    short = (signatures == np.uint32(0xFFFFFFFF)).all(axis=1)
    whole: U64 = np.add.outer(exact[short], np.arange(minhash.BANDS, dtype=np.uint64))
    bands[short] = minhash.fmix64(whole)
    return np.concatenate([bands, exact[:, None]], axis=1)


def run_candidates(groups: Groups, part: Part, output: PartOutput, blocks: Sequence[bytes]) -> None:
    """Pair the documents that share a hash of this range."""
    records = np.frombuffer(b"".join(blocks), _RECORD)
    a, b = pairs(*_shared(records))
    output.taken = output.passed = len(records)
    output.rows = len(a)
    with exchange.publish(output, part, tables.EDGES, groups.count) as edges:
        edges.add(pa.table({"a": a, "b": b}, tables.EDGES), groups.of(a))


def _shared(records: packed.Packed) -> tuple[U64, U64]:
    """Hashes that come more than once, sorted, and their ids, rising within each hash.

    Few do as a rule, so only these are sorted by both: a quarter of the time of sorting all records.
    """
    hashes = np.ascontiguousarray(records["hash"])
    order = np.argsort(hashes)
    ordered = hashes[order]
    same = ordered[1:] == ordered[:-1]
    shared = np.zeros(len(order), np.bool_)
    shared[1:] |= same
    shared[:-1] |= same
    rows = order[shared]
    hashes, ids = hashes[rows], records["id"][rows]
    order = np.lexsort((ids, hashes))
    return hashes[order], ids[order]


def pairs(hashes: U64, ids: U64) -> tuple[U64, U64]:
    """Distinct pairs (a < b) of ids that share a hash. `hashes` is sorted, ids rise within equal hashes.

    A bucket of more than 32 documents gives no quadratic number of pairs but a star around its first document and a
    chain through all: such a bucket is boilerplate or a large cluster, whose members share many other bands.
    """
    _, starts, sizes = np.unique(hashes, return_index=True, return_counts=True)
    found: list[npt.NDArray[np.uint64]] = []
    for size in np.unique(sizes[sizes > 1]):
        members = ids[starts[sizes == size][:, None] + np.arange(size)]  # one row per bucket of this size
        if size <= _ALL_PAIRS:
            left, right = np.triu_indices(int(size), 1)
        else:
            steps = np.arange(1, size)
            left, right = np.concatenate([np.zeros_like(steps), steps - 1]), np.concatenate([steps, steps])
        found.append(np.stack([members[:, left].reshape(-1), members[:, right].reshape(-1)], axis=1))
    if not found:
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    return distinct(*np.concatenate(found).T)


def distinct(a: U64, b: U64) -> tuple[U64, U64]:
    """Each pair once, in order, without those of a document and itself."""
    order = np.lexsort((b, a))
    a, b = a[order], b[order]
    # An id comes twice in a bucket only if its own bands collide.
    new = np.ones(len(a), np.bool_)
    new[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    new &= a != b
    return a[new], b[new]
