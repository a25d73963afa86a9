"""Rows for many parts in one Arrow file: how text gets from one stage to the next without an engine's shuffle.

The record batches go round and round the parts, which are ranges of link keys: batch r * parts + p holds what came in
round r for part p, and may be empty. So a part reads just its own batches of each file, and neither URLs nor titles
ever have to fit into memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import packed, storage

_ROUND = 200_000  # rows held in memory


class RoundWriter:
    """Rows, the first value of each its link key, to a file of rounds."""

    def __init__(self, writer: Any, schema: pa.Schema, parts: int) -> None:
        self._writer = writer
        self._schema = schema
        self._parts = parts
        self._rows: list[tuple[Any, ...]] = []

    def add(self, *values: Any) -> None:
        """Append one row, values in the order of the schema."""
        self._rows.append(values)
        if len(self._rows) >= _ROUND:
            self.flush()

    def flush(self) -> None:
        """Write a round: one batch for each part, also where it is empty, as their places are what readers go by."""
        columns = zip(*self._rows, strict=True) if self._rows else ([] for _ in self._schema)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        hi, _ = packed.split_keys([row[0] for row in self._rows])
        owners = packed.part_of(hi, self._parts)
        order = np.argsort(owners, kind="stable")
        bounds = np.searchsorted(owners[order], np.arange(self._parts + 1))
        batch = batch.take(pa.array(order))
        for start, end in pairwise(bounds):
            self._writer.write_batch(batch.slice(start, end - start))
        self._rows.clear()


@contextmanager
def open_rounds(sink: storage.HashingSink, schema: pa.Schema, parts: int) -> Iterator[RoundWriter]:
    """Write a file of rounds; the last round may be empty."""
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(sink, schema, options=options) as writer:
        rows = RoundWriter(writer, schema, parts)
        yield rows
        rows.flush()


def read_part(path: str, ordinal: int, parts: int) -> Iterator[pa.RecordBatch]:
    """What a file of rounds holds for one part."""
    with storage.open_binary(path) as stream, pa.ipc.open_file(stream) as reader:
        for number in range(ordinal, reader.num_record_batches, parts):
            yield reader.get_batch(number)
