"""Rows of text, written one by one, to an exchange file (see exchange.py) whose parts are ranges of link keys.

So neither URLs nor titles ever have to fit into memory, nor go through an engine's shuffle.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from webtext.pipeline.engine import exchange, packed
from webtext.pipeline.files import storage

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
        """Write a round, also of no rows."""
        columns = zip(*self._rows, strict=True) if self._rows else ([] for _ in self._schema)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        hi, _ = packed.split_keys([row[0] for row in self._rows])
        exchange.write_round(self._writer, batch, packed.part_of(hi, self._parts), self._parts)
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
