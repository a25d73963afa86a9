"""Tables in Parquet files: written a row group at a time, read in bounded pieces. Equal rows give equal bytes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from webtext.pipeline.files import storage
from webtext.pipeline.files.stage_files import open_stage_file

# Level 1 compresses work tables 12 % worse than level 3 and costs a quarter less. Few columns repeat whole values.
WRITING: Final = {"compression": "zstd", "compression_level": 1, "use_dictionary": False}

_ROW_GROUP = 1000  # rows
_ROW_GROUP_BYTES = 8 * 2**20  # of text and binary values, so that long documents don't add up


class TableWriter:
    """Rows into one Parquet file. Holds one row group in memory: 1,000 rows or about 8 MiB."""

    def __init__(self, sink: storage.HashingSink, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(sink, schema, **WRITING)
        self._columns: list[list[Any]] = [[] for _ in schema.names]
        self._bytes = 0
        self.rows = 0

    def add(self, *values: Any) -> None:
        """Append one row, values in the order of the schema."""
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)
            self._bytes += len(value) if isinstance(value, (str, bytes)) else 8
        self.rows += 1
        if len(self._columns[0]) >= _ROW_GROUP or self._bytes >= _ROW_GROUP_BYTES:
            self._flush()

    def write(self, table: pa.Table) -> None:
        """Append many rows that are columns already."""
        self._writer.write_table(table.cast(self._schema))
        self.rows += table.num_rows

    def _flush(self) -> None:
        arrays = [pa.array(column, field.type) for column, field in zip(self._columns, self._schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._columns = [[] for _ in self._columns]
        self._bytes = 0

    def close(self) -> None:
        """Write what is left and the footer."""
        if self._columns[0] or not self.rows:
            self._flush()
        self._writer.close()


# Reading never uses threads: one of Arrow's that is the last to hold a Python stream aborts the interpreter at its
# exit, once in fifty runs (https://github.com/apache/arrow/issues/50482). Parts run side by side anyway.


@contextmanager
def open_parquet(path: str, open_file: Callable[[str], BinaryIO] = open_stage_file) -> Iterator[pq.ParquetFile]:
    """A Parquet file of a stage (of others with `storage.open_binary`), to be read with use_threads=False.

    Raises:
        StageFileError: here and where it is read, see stage_files.
    """
    with open_file(path) as stream, pq.ParquetFile(stream, pre_buffer=False) as table:
        yield table


def read_columns(path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """These columns, or all, of a whole file of a stage."""
    with open_parquet(path) as table:
        return table.read(columns and list(columns), use_threads=False)


def batches(
    path: str,
    columns: Sequence[str] | None = None,
    rows: int = _ROW_GROUP,
    open_file: Callable[[str], BinaryIO] = open_stage_file,
) -> Iterator[pa.RecordBatch]:
    """The file in batches of so many rows at most, in order."""
    with open_parquet(path, open_file) as table:
        yield from table.iter_batches(rows, columns=columns and list(columns), use_threads=False)


def rows_at(path: str, rows: npt.NDArray[np.uint64], columns: Sequence[str]) -> Iterator[pa.Table]:
    """Some rows of a file, given by their rising numbers: one table for each row group that has any of them."""
    if not len(rows):
        return
    with open_parquet(path) as table:
        end = 0
        for group in range(table.num_row_groups):
            start, end = end, end + table.metadata.row_group(group).num_rows
            first, last = np.searchsorted(rows, [start, end])
            if first < last:
                found = table.read_row_group(group, list(columns), use_threads=False)
                yield found.take(pa.array((rows[first:last] - np.uint64(start)).astype(np.int64)))
