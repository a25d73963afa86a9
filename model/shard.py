"""One shard of tokens: mapped into memory, and checked before anything of it is taken for tokens."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from webtext.schemas import vocabulary
from webtext.schemas.records import TokenShard
from webtext.schemas.tables import TOKENS

_MAGIC: Final = b"ARROW1\0\0"


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard, mapped into memory."""

    name: str
    tokens: NDArray[np.uint16]
    ends: NDArray[np.int32]  # of each document, in tokens: one past its end-of-text
    table: pa.RecordBatch


def open_shard(folder: Path, listed: TokenShard) -> Shard:
    """Map one shard and check its form.

    Raises:
        ValueError: it is no token shard, or not the one that the manifest lists.
    """
    path = folder / listed.name
    try:
        table = _only_batch(path)
        table.validate(full=True)  # offsets rise and stay inside their streams
        if any(column.null_count for column in table.columns):
            raise ValueError("it has empty values")
        lists = cast("pa.ListArray[Any]", table["tokens"])
        tokens = lists.values.to_numpy(zero_copy_only=True)
        offsets = lists.offsets.to_numpy(zero_copy_only=True)
        if (table.num_rows, tokens.size) != (listed.documents, listed.tokens):
            raise ValueError(
                f"it has {table.num_rows} documents and {tokens.size} tokens, "
                f"the manifest says {listed.documents} and {listed.tokens}"
            )
        if offsets[0] != 0 or offsets[-1] != tokens.size:
            raise ValueError(f"its documents cover tokens {offsets[0]}..{offsets[-1]} of {tokens.size}")
        ends = offsets[1:]
        # An empty document would make its neighbour's end-of-text look like its own.
        closed = (np.diff(offsets) > 0) & (tokens[ends - 1] == vocabulary.END_OF_TEXT)
        if not closed.all():
            raise ValueError(f"document {int(np.argmin(closed))} does not end with token {vocabulary.END_OF_TEXT}")
    except (pa.ArrowException, ValueError) as error:
        raise ValueError(f"{path} is no token shard: {error}. Run `webtext verify`, then build it again") from error
    return Shard(listed.name, tokens, ends, table)


def _only_batch(path: Path) -> pa.RecordBatch:
    """The one record batch of an Arrow file, not copied. Compressed ones are refused: they may unpack to anything.

    The file is read from its start, as a stream, because the library's reader of files unpacks without asking.
    """
    source = pa.memory_map(str(path))
    if source.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it does not begin as an Arrow file does")
    messages = list(pa.ipc.MessageReader.open_stream(source))
    if not messages or messages[0].type != "schema":
        raise ValueError("it has no schema")
    schema = pa.ipc.read_schema(messages[0])
    if not schema.equals(TOKENS, check_metadata=True):
        raise ValueError(f"its schema is {schema.to_string()}, expected {TOKENS.to_string()}")
    if [message.type for message in messages[1:]] != ["record batch"]:
        raise ValueError(f"it has {len(messages) - 1} record batches, expected 1")
    if _is_compressed(messages[1].metadata):
        raise ValueError("its buffers are compressed, which no build does")
    return pa.ipc.read_record_batch(messages[1], schema)


def _is_compressed(metadata: pa.Buffer) -> bool:
    """Does a record batch name a compression? `metadata` is a flatbuffer, which the library has checked.

    Source: the tables Message and RecordBatch of Apache Arrow's format/Message.fbs.
    """
    data = memoryview(metadata)

    def field(table: int, number: int) -> int:
        """Where a field of a table is; 0 where it is left out."""
        vtable = table - struct.unpack_from("<i", data, table)[0]
        slot = 4 + 2 * number
        if slot >= struct.unpack_from("<H", data, vtable)[0]:
            return 0
        offset: int = struct.unpack_from("<H", data, vtable + slot)[0]
        return table + offset if offset else 0

    message = struct.unpack_from("<I", data, 0)[0]
    header = field(message, 2)
    batch = header + struct.unpack_from("<I", data, header)[0]
    return bool(field(batch, 3))
