"""Rows for many parts in one Arrow file: how text gets from one stage to the next without an engine's shuffle.

The record batches go round and round the parts, which are ranges of link keys: batch r * parts + p holds what came in
round r for part p, and may be empty. So a part reads just its own batches of each file, and neither URLs nor titles
ever have to fit into memory.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import packed, storage

_ROUND = 200_000  # rows held in memory
_ROUND_BYTES = 32 * 2**20  # of their text and keys: a few long texts end a round too


class RoundWriter:
    """Rows, the first value of each its link key, to a file of rounds."""

    def __init__(self, writer: Any, schema: pa.Schema, parts: int) -> None:
        self._writer = writer
        self._schema = schema
        self._parts = parts
        self._rows: list[tuple[Any, ...]] = []
        self._bytes = 0

    def add(self, *values: Any) -> None:
        """Append one row, values in the order of the schema."""
        self._rows.append(values)
        self._bytes += sum(len(value) for value in values if isinstance(value, (str, bytes)))
        if len(self._rows) >= _ROUND or self._bytes >= _ROUND_BYTES:
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
        self._bytes = 0


@contextmanager
def open_rounds(sink: storage.HashingSink, schema: pa.Schema, parts: int) -> Iterator[RoundWriter]:
    """Write a file of rounds; the last round may be empty."""
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(sink, schema, options=options) as writer:
        rows = RoundWriter(writer, schema, parts)
        yield rows
        rows.flush()


def read_part(path: str, ordinal: int, parts: int, columns: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
    """What a file of rounds holds for one part: these columns, in the order of the file, or all."""
    with storage.open_binary(path) as stream, ExitStack() as readers:
        reader = readers.enter_context(pa.ipc.open_file(stream))
        if columns:
            chosen = [index for index, name in enumerate(reader.schema.names) if name in columns]
            reader = readers.enter_context(
                pa.ipc.open_file(stream, options=pa.ipc.IpcReadOptions(included_fields=chosen))
            )
        for number in range(ordinal, reader.num_record_batches, parts):
            yield reader.get_batch(number)
