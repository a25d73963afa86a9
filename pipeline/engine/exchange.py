"""Columns for many parts in one Arrow file: how rows get from one stage to the next without an engine's shuffle.

The record batches go round and round the parts: batch r * parts + p holds what came in round r for part p, and may be
empty. So a part reads just its own batches of each file, and what moves never has to fit into memory.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from webtext.pipeline.engine import packed
from webtext.pipeline.engine.stage import Part, PartOutput
from webtext.pipeline.files.stage_files import open_stage_file

ENDING = ".exchange.arrow"
ROUND = 16 * 2**20
"""Bytes held in memory."""
_TEXT_ROWS = 200_000  # rows of text held in memory
_TEXT_BYTES = 32 * 2**20  # of their text and keys: a few long texts end a round too


def write_round(writer: Any, batch: pa.RecordBatch, owners: npt.NDArray[np.int64], parts: int) -> None:
    """Write these rows as one batch for each part, also where it is empty, as their places are what readers go by."""
    order = np.argsort(owners, kind="stable")
    bounds = np.searchsorted(owners[order], np.arange(parts + 1))
    batch = batch.take(pa.array(order))
    for start, end in pairwise(bounds.tolist()):
        writer.write_batch(batch.slice(start, end - start))


class Exchange:
    """Tables to a file of rounds, each row with the part that is to read it."""

    def __init__(self, writer: Any, schema: pa.Schema, parts: int, room: int) -> None:
        self._writer = writer
        self._schema = schema
        self._parts = parts
        self._room = room
        self._tables: list[pa.Table] = []
        self._owners: list[npt.NDArray[np.int64]] = []
        self._bytes = 0
        self.rows = 0  # that its receipt will state

    def add(self, table: pa.Table, owners: npt.NDArray[np.int64]) -> None:
        """Append rows; `owners` has the ordinal of the reading part of each."""
        self._tables.append(table.cast(self._schema))
        self._owners.append(owners)
        self.rows += table.num_rows
        self._bytes += table.nbytes
        if self._bytes >= self._room:
            self.flush()

    def flush(self) -> None:
        """Write a round, if there are rows."""
        if not self._tables:
            return
        [batch] = pa.concat_tables(self._tables).combine_chunks().to_batches() or [
            pa.RecordBatch.from_pylist([], self._schema)
        ]
        write_round(self._writer, batch, np.concatenate(self._owners), self._parts)
        self._tables, self._owners, self._bytes = [], [], 0


@contextmanager
def publish(output: PartOutput, part: Part, schema: pa.Schema, parts: int, room: int = ROUND) -> Iterator[Exchange]:
    """Publish `<part>.exchange.arrow` for so many parts. Rows of one part stay in the order in which they are added."""
    name = part.name + ENDING
    with output.file(name) as sink, pa.ipc.new_file(sink, schema) as writer:
        exchange = Exchange(writer, schema, parts, room)
        yield exchange
        exchange.flush()
        sink.rows = exchange.rows


# Rows of text, one by one, for parts that are ranges of link keys: so neither URLs nor titles ever have to fit into
# memory, nor go through an engine's shuffle.


class RoundWriter:
    """Rows, the first value of each its link key, to a file of rounds."""

    def __init__(self, writer: Any, schema: pa.Schema, parts: int) -> None:
        self._writer = writer
        self._schema = schema
        self._parts = parts
        self._rows: list[tuple[Any, ...]] = []
        self._bytes = 0
        self.rows = 0

    def add(self, *values: Any) -> None:
        """Append one row, values in the order of the schema."""
        self.rows += 1
        self._rows.append(values)
        self._bytes += sum(len(value) for value in values if isinstance(value, (str, bytes)))
        if len(self._rows) >= _TEXT_ROWS or self._bytes >= _TEXT_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write a round, also of no rows."""
        columns = zip(*self._rows, strict=True) if self._rows else ([] for _ in self._schema)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        hi, _ = packed.split_keys([row[0] for row in self._rows])
        write_round(self._writer, batch, packed.part_of(hi, self._parts), self._parts)
        self._rows.clear()
        self._bytes = 0


@contextmanager
def publish_rows(output: PartOutput, name: str, schema: pa.Schema, parts: int) -> Iterator[RoundWriter]:
    """Publish a file of rounds; the last round may be empty."""
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with output.file(name) as sink, pa.ipc.new_file(sink, schema, options=options) as writer:
        rows = RoundWriter(writer, schema, parts)
        yield rows
        rows.flush()
        sink.rows = rows.rows


def read(paths: Sequence[str], ordinal: int, parts: int, columns: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
    """What these files hold for one part, in the order of the files; all columns, or only these.

    Raises:
        StageFileError: see stage_files.
    """
    for path in paths:
        with open_stage_file(path) as stream:
            fields = None
            if columns:
                with pa.ipc.open_file(stream) as whole:
                    fields = [whole.schema.get_field_index(name) for name in columns]
            with pa.ipc.open_file(
                stream, options=pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
            ) as reader:
                for number in range(ordinal, reader.num_record_batches, parts):
                    batch = reader.get_batch(number)
                    if batch.num_rows:
                        yield batch


def read_table(
    paths: Sequence[str], ordinal: int, parts: int, schema: pa.Schema, columns: Sequence[str] = ()
) -> pa.Table:
    """The same in memory. `schema` is that of the columns which are read."""
    return pa.Table.from_batches(read(paths, ordinal, parts, columns), schema)
