"""Parquet files of any origin, as the records that record.py judges. Read in batches, and treated as hostile."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from webtext.pipeline.files import storage, tabular
from webtext.pipeline.files.expansion import MOST_TIMES, Expansion
from webtext.pipeline.own_texts.dates import LEAST_SECONDS
from webtext.pipeline.own_texts.record import DamagedFileError

_STRINGS: Final = (
    *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary),
)
_ROWS = 8  # at a time: each may have a text of 16 MiB
_READ = 2**20
_TOO_MUCH: Final = f"its columns give over {MOST_TIMES} times their bytes, or rows without end"
# What damaged files make pyarrow raise; the last two come from absurd lengths.
_UNREADABLE: Final = (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError)


def records(path: str, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Each row with those of these columns that the file has; a dot leads into a struct.

    Binary columns are strings, as writers of old wrote them; octets that are not UTF-8 are as in json_lines.lenient.
    What is neither a string, a number nor a time is None. Times are seconds, None before dates.LEAST_SECONDS.

    Raises:
        DamagedFileError: behind the rows that could be read.
        OSError: the file can't be read.
    """
    rows, done = 1, 0
    try:
        with tabular.open_parquet(path, storage.open_binary) as table:
            rows = table.metadata.num_rows
            columns = [name for name in dict.fromkeys(names) if _has(table.schema_arrow, name)]
            if not columns:
                raise DamagedFileError(path, f"has none of the columns {', '.join(names)}", rows)
            for batch in _batches(table, columns):
                values = {name: _values(_column(batch, name)) for name in columns}
                for row in range(batch.num_rows):
                    yield {name: column[row] for name, column in values.items()}
                done += batch.num_rows
    except DamagedFileError:
        raise
    except _UNREADABLE as error:
        _read_through(path)
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise DamagedFileError(path, f"damaged after {done} rows: {reason}", max(1, rows - done)) from error


def _batches(table: pq.ParquetFile, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows, some at a time. Raises ValueError where they are more than the file can hold; see expansion.py."""
    steps = [name.split(".") for name in columns]
    expansion = Expansion()
    for number in range(table.num_row_groups):
        group = table.metadata.row_group(number)
        chunks = [group.column(each) for each in range(group.num_columns)]
        read = [chunk for chunk in chunks if any(chunk.path_in_schema.split(".")[: len(way)] == way for way in steps)]
        expansion.used(sum(chunk.total_compressed_size for chunk in read))
        # Before pages are decompressed whole, and again for values that stand in a dictionary once.
        if sum(chunk.total_uncompressed_size for chunk in read) > expansion.room:
            raise ValueError(_TOO_MUCH)
        for batch in table.iter_batches(_ROWS, row_groups=[number], columns=list(columns), use_threads=False):
            whole = pa.RecordBatch.from_arrays([*map(_spelt_out, batch.columns)], batch.schema.names)
            if expansion.gave(whole.nbytes, whole.num_rows):
                raise ValueError(_TOO_MUCH)
            yield whole


def _spelt_out(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _has(schema: pa.Schema, name: str) -> bool:
    return name in schema.names or _inner(schema, name) is not None


def _inner(schema: pa.Schema, name: str) -> pa.DataType | None:
    """The type of what a name with dots leads to, if it is there."""
    first, *steps = name.split(".")
    kind = schema.field(first).type if schema.names.count(first) == 1 else None
    for step in steps:
        index = kind.get_field_index(step) if kind is not None and pa.types.is_struct(kind) else -1
        kind = kind.field(index).type if kind is not None and index >= 0 else None
    return kind


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    if name in batch.schema.names:
        return batch.column(batch.schema.names.index(name))
    first, *steps = name.split(".")
    return pc.struct_field(batch.column(first), steps)


def _values(column: pa.Array) -> list[Any]:
    column = _spelt_out(column)
    kind = column.type
    if any(is_of(kind) for is_of in _STRINGS):
        values = column.cast(pa.large_binary()).to_pylist()
        return [value if value is None else value.decode("utf-8", "surrogateescape") for value in values]
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return list(column.to_pylist())
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        zone = kind.tz if pa.types.is_timestamp(kind) else None
        seconds = column.cast(pa.timestamp("s", zone), safe=False).cast(pa.int64()).to_pylist()
        return [value if value is not None and value >= LEAST_SECONDS else None for value in seconds]
    return [None] * len(column)


def _read_through(path: str) -> None:
    """Raise OSError if it is the store that fails: pyarrow raises the same for what the file contains."""
    with storage.open_binary(path) as stream:
        while stream.read(_READ):
            pass
