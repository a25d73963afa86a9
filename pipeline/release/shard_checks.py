"""One token shard and its text table, looked into: is each what a shard has to be, and do they hold the same documents?

Of many rows with the same fault one line names the first. Memory: the shard, and 1,000 documents of text.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from webtext.pipeline.files import storage, tabular
from webtext.pipeline.identity import names
from webtext.pipeline.settings import ShardSettings
from webtext.schemas import tables, vocabulary
from webtext.schemas.manifest import File
from webtext.schemas.records import TokenShard

_BATCH = 1000  # documents of text held in memory
# What damaged files make pyarrow raise; the last two come from absurd lengths.
_UNREADABLE = (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError)

_Flags = npt.NDArray[np.bool_]


class _Rows:
    """Faults of a file's rows: one line for each kind, however many rows have it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._first: dict[str, str] = {}
        self._count: Counter[str] = Counter()

    def check(self, kind: str, bad: _Flags, describe: Callable[[int], str], start: int = 0) -> None:
        """Note the rows that are flagged. `describe` says of one what is wrong; `start` is the row of flag 0."""
        rows = np.flatnonzero(bad)
        if len(rows):
            self._first.setdefault(kind, f"row {start + rows[0]} {describe(int(rows[0]))}")
            self._count[kind] += len(rows)

    def lines(self) -> Iterator[str]:
        """The problems."""
        for kind, first in self._first.items():
            more = f" ({self._count[kind] - 1} more rows like it)" if self._count[kind] > 1 else ""
            yield f"{self._name}: {first}{more}"


def check_shard(corpus: str, shard: TokenShard) -> tuple[pa.RecordBatch | None, list[str]]:
    """The record batch of a shard if it is safe to look into, and what is wrong with it."""
    try:
        with storage.open_binary(storage.join(corpus, shard.name)) as stream, pa.ipc.open_file(stream) as reader:
            if not reader.schema.equals(tables.TOKENS, check_metadata=True):
                return None, [f"{shard.name}: its {_difference(reader.schema, tables.TOKENS)}"]
            if reader.num_record_batches != 1:
                return None, [f"{shard.name}: has {reader.num_record_batches} record batches, expected 1"]
            batch = reader.get_batch(0)
            batch.validate(full=True)
    except _UNREADABLE as error:
        return None, [f"{shard.name}: can't be read: {_one_line(error)}"]
    lists = batch.column("tokens")
    if lists.values.null_count or any(column.null_count for column in batch.columns):
        return None, [f"{shard.name}: has null values"]
    offsets, values = lists.offsets.to_numpy(), lists.values.to_numpy()
    faults = []
    if batch.num_rows != shard.documents:
        faults.append(f"{shard.name}: has {batch.num_rows} documents, the manifest says {shard.documents}")
    if len(values) != shard.tokens:
        faults.append(f"{shard.name}: has {len(values)} tokens, the manifest says {shard.tokens}")
    if offsets[0] != 0 or offsets[-1] != len(values):
        # The trainer reads the values as one stream.
        faults.append(
            f"{shard.name}: documents cover tokens {offsets[0]} to {offsets[-1]}, expected 0 to {len(values)}"
        )
        return batch, faults
    rows = _Rows(shard.name)
    _check_tokens(rows, offsets, values)
    _check_keys(rows, batch.column("key").to_pylist(), batch.column("url").to_pylist())
    return batch, [*faults, *rows.lines()]


def _check_tokens(rows: _Rows, offsets: npt.NDArray[np.int32], values: npt.NDArray[np.uint16]) -> None:
    end = vocabulary.END_OF_TEXT
    open_ = np.ones(len(offsets) - 1, np.bool_)  # until its last token is seen
    filled = offsets[1:] > offsets[:-1]
    open_[filled] = values[offsets[1:][filled] - 1] != end
    rows.check("open", open_, lambda row: f"is not closed by end-of-text ({end})")
    marks = _rows_of(np.flatnonzero(values == end), offsets) - ~open_
    rows.check("inside", marks > 0, lambda row: f"has end-of-text ({end}) before its end")
    unknown = _rows_of(np.flatnonzero(values >= vocabulary.SIZE), offsets)
    rows.check("unknown", unknown > 0, lambda row: f"has a token id over {vocabulary.SIZE - 1}")


def _rows_of(positions: npt.NDArray[np.int64], offsets: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """How many of these positions in the token stream each row has."""
    return np.diff(np.searchsorted(positions, offsets))


def _check_keys(rows: _Rows, keys: Sequence[bytes], addresses: Sequence[str]) -> None:
    falls = np.array([False] + [later <= earlier for earlier, later in pairwise(keys)], np.bool_)[: len(keys)]
    rows.check("order", falls, lambda row: f"has key {keys[row].hex()}, the row before has {keys[row - 1].hex()}")
    others = [_key_of(url) for url in addresses]
    foreign = np.array([other != key for other, key in zip(others, keys, strict=True)], np.bool_)
    rows.check("hash", foreign, lambda row: f"has key {keys[row].hex()}, its URL has {others[row].hex() or 'none'}")


def _key_of(url: str) -> bytes:
    try:
        return names.key_of(url)
    except ValueError:
        return b""  # no name at all


def check_text(
    corpus: str, text: File, shard: TokenShard, batch: pa.RecordBatch | None, settings: ShardSettings | None
) -> tuple[list[bytes], list[str]]:
    """The clusters of a text table, and what is wrong with it.

    Args:
        corpus: the folder.
        text: the table, as the manifest lists it.
        shard: its shard, as the manifest lists it.
        batch: the shard's content, to be compared row by row; None if that could not be read.
        settings: what chose the split; None if that is not known.
    """
    rows, clusters = _Rows(text.name), list[bytes]()
    start = 0
    try:
        with tabular.open_parquet(storage.join(corpus, text.name), storage.open_binary) as table:
            if not table.schema_arrow.equals(tables.TEXT, check_metadata=True):
                return [], [f"{text.name}: its {_difference(table.schema_arrow, tables.TEXT)}"]
            for chunk in table.iter_batches(_BATCH, use_threads=False):
                chunk.validate(full=True)
                if any(column.null_count for column in chunk.columns):
                    return [], [f"{text.name}: has null values"]
                clusters += chunk.column("cluster").to_pylist()
                _check_splits(rows, chunk, shard.split, settings, start)
                if batch is not None:
                    _check_against(rows, chunk, batch.slice(start, chunk.num_rows), start)
                start += chunk.num_rows
    except _UNREADABLE as error:
        return [], [f"{text.name}: can't be read: {_one_line(error)}"]
    faults = []
    if start != text.rows:
        faults.append(f"{text.name}: has {start} rows, the manifest says {text.rows}")
    if batch is not None and start != batch.num_rows:
        faults.append(f"{text.name}: has {start} rows, {shard.name} has {batch.num_rows}")
    return clusters, [*faults, *rows.lines()]


def _check_splits(rows: _Rows, chunk: pa.RecordBatch, split: str, settings: ShardSettings | None, start: int) -> None:
    stated, clusters = chunk.column("split"), chunk.column("cluster").to_pylist()
    rows.check(
        "split",
        pc.not_equal(stated, split).to_numpy(zero_copy_only=False),
        lambda row: f"has split {stated[row].as_py()!r}, its shard {split!r}",
        start,
    )
    if settings is not None:
        wrong = np.array([settings.split_of(cluster) != split for cluster in clusters], np.bool_)
        rows.check(
            "hash", wrong, lambda row: f"has cluster {clusters[row].hex()}, which belongs in another split", start
        )


def _check_against(rows: _Rows, text: pa.RecordBatch, shard: pa.RecordBatch, start: int) -> None:
    """Same documents in the same order: key, URL, length, and tokens that decode to the text."""
    text = text.slice(0, shard.num_rows)  # another number of rows is a problem of its own
    for name in ("key", "url"):
        ours, theirs = text.column(name), shard.column(name)
        rows.check(
            name,
            pc.not_equal(ours, theirs).to_numpy(zero_copy_only=False),
            lambda row, name=name, ours=ours, theirs=theirs: (  # type: ignore[misc]
                f"has {name} {_shown(ours[row].as_py())}, its shard {_shown(theirs[row].as_py())}"
            ),
            start,
        )
    counts, lengths = text.column("token_count"), pc.list_value_length(shard.column("tokens"))
    rows.check(
        "count",
        pc.not_equal(pc.add(counts, 1), lengths).to_numpy(zero_copy_only=False),
        lambda row: f"has token_count {counts[row]}, its shard {lengths[row]} tokens with end-of-text",
        start,
    )
    decode = vocabulary.load().decode_bytes
    tokens, texts = shard.column("tokens"), text.column("text")
    other = np.empty(text.num_rows, np.bool_)
    for row in range(text.num_rows):
        ids = tokens[row].values.to_numpy()[:-1]
        other[row] = ids.max(initial=0) >= vocabulary.SIZE or decode(ids.tolist()) != texts[row].as_py().encode()
    rows.check("text", other, lambda row: "has a text that is not what the tokens of its shard decode to", start)


def _difference(found: pa.Schema, wanted: pa.Schema) -> str:
    for name in wanted.names:
        if name not in found.names:
            return f"schema has no column {name}"
        if not found.field(name).equals(wanted.field(name)):
            return f"schema has {found.field(name)}, expected {wanted.field(name)}"
    if found.names != wanted.names:
        return f"schema has the columns {', '.join(found.names)}, expected {', '.join(wanted.names)}"
    return f"schema has the metadata {found.metadata}, expected {wanted.metadata}"


def _shown(value: bytes | str) -> str:
    return value.hex() if isinstance(value, bytes) else value


def _one_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
