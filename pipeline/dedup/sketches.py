"""What two documents are compared by: all their shingles, or their MinHash signatures.

A signature estimates the Jaccard similarity with a standard deviation of 0.044 at 0.5, so near the threshold it decides
one pair in twenty wrongly. On 1,116 reference pages with known similarities it merges 96.9 % of the pairs at 0.5 and
above, and 1.1 % of what it merges is below; the shingles merge 99.3 % and nothing below (docs/dedup.md). Hence the
shingles are the default. They are made anew from the text of those documents only that have a candidate.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from webtext.pipeline.files import tabular
from webtext.pipeline.text import minhash

LIMIT = 4096  # shingles of a document; of a longer one the smallest, which estimate within 0.008

Method = Literal["shingles", "signature"]
Sketch = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]

_COLUMN: dict[Method, str] = {"shingles": "text", "signature": "signature"}


def read(
    paths: Sequence[tuple[int, str]], ids: U64, method: Method, columns: Sequence[str]
) -> Iterator[tuple[U64, pa.Table, list[Sketch]]]:
    """Ids, these columns and sketches of some documents, in order of their ids, a row group at a time.

    Args:
        paths: documents parts by ordinal.
        ids: of the documents, rising; ids of other parts are passed over.
        method: what the sketches are.
        columns: what else is wanted.
    """
    for ordinal, path in paths:
        own = ids[(ids >> np.uint64(32)) == ordinal]
        done = 0
        for table in tabular.rows_at(path, own & np.uint64(0xFFFFFFFF), [*columns, _COLUMN[method]]):
            count = table.num_rows
            yield (
                own[done : done + count],
                table,
                [sketch(value, method) for value in table[_COLUMN[method]].to_pylist()],
            )
            done += count


def sketch(value: str | bytes, method: Method) -> Sketch:
    """Of a text or of the bytes of a signature. Empty for a text that is too short to resemble another."""
    if isinstance(value, bytes):
        return np.frombuffer(value, "<u4")
    hashes = minhash.shingles(value)
    return hashes[:LIMIT] if len(hashes) >= minhash.LEAST_SHINGLES else hashes[:0]


@dataclass(frozen=True, slots=True)
class Sketches:
    """The sketches of some documents, end to end."""

    ids: U64  # (n,) rising
    offsets: npt.NDArray[np.int64]  # (n + 1,)
    values: Sketch
    text_hashes: npt.NDArray[np.uint8]  # (n, 16)

    def select(self, ids: U64) -> tuple[Sketch, npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
        """Values, offsets and text hashes of these documents, in this order."""
        rows = np.searchsorted(self.ids, ids)
        starts, sizes = self.offsets[rows], np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        picked = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], sizes)
        return self.values[picked], offsets, self.text_hashes[rows]


def load(paths: Sequence[tuple[int, str]], ids: U64, method: Method) -> Sketches:
    """The sketches of these documents. Takes 16 KiB for each of them at most."""
    values: list[Sketch] = [np.empty(0, np.uint32)]
    hashes: list[npt.NDArray[np.uint8]] = [np.empty((0, 16), np.uint8)]
    for _, table, found in read(paths, ids, method, ["text_hash"]):
        values += found
        hashes.append(text_hashes(table))
    offsets = np.cumsum([len(sketch) for sketch in values])
    return Sketches(ids, offsets, np.concatenate(values), np.concatenate(hashes))


def text_hashes(table: pa.Table | pa.RecordBatch) -> npt.NDArray[np.uint8]:
    """The column of that name, shape (n, 16)."""
    return np.frombuffer(b"".join(table["text_hash"].to_pylist()), np.uint8).reshape(-1, 16)


def similarity(one: Sketch, values: Sketch, offsets: npt.NDArray[np.int64], method: Method) -> npt.NDArray[np.float64]:
    """Jaccard similarity of one document to n others.

    Args:
        one: its sketch.
        values: the sketches of the others, end to end.
        offsets: where each begins, shape (n + 1,).
        method: what the sketches are.
    """
    if method == "signature":
        agreement: npt.NDArray[np.float64] = (values.reshape(-1, len(one)) == one).mean(axis=1)
        return agreement
    sizes = np.diff(offsets)
    if not len(one):
        return np.zeros(len(sizes))
    places = np.minimum(np.searchsorted(one, values), len(one) - 1)
    hits = np.concatenate([[0], np.cumsum(one[places] == values)])
    common = hits[offsets[1:]] - hits[offsets[:-1]]
    found: npt.NDArray[np.float64] = common / (len(one) + sizes - common)
    for row in np.flatnonzero((sizes == LIMIT) | (len(one) == LIMIT)):
        found[row] = _of_smallest(one, values[offsets[row] : offsets[row + 1]])
    return found


def _of_smallest(a: Sketch, b: Sketch) -> float:
    """The share of common ones among the smallest shingles of both (Broder 1997)."""
    union = np.union1d(a, b)[:LIMIT]
    return float((np.isin(union, a, assume_unique=True) & np.isin(union, b, assume_unique=True)).mean())
