"""The columnar shuffle: numpy bytes through a GroupByKey, one value for each (source, part), never one per record.

For 2 million records that is 3.9 s of CPU against 40 s for a row per record, and about 60 bytes of memory per record.
Text never takes this way: what moves are hashes, ordinals and numbers, and the part looks the rest up in files.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Packed = npt.NDArray[np.void]  # a structured array

KEY_FIELDS = [("hi", "<u8"), ("lo", "<u8")]  # a 16-byte link key as two numbers that sort like its bytes


def split_keys(keys: Sequence[bytes]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The two halves of 16-byte keys, as numbers that sort like the bytes do."""
    halves = np.frombuffer(b"".join(keys), dtype=">u8").reshape(-1, 2).astype("<u8")
    return halves[:, 0], halves[:, 1]


def join_key(hi: int | np.uint64, lo: int | np.uint64) -> bytes:
    """The 16 bytes that two halves are of."""
    return int(hi).to_bytes(8, "big") + int(lo).to_bytes(8, "big")


def part_of(hi: npt.NDArray[np.uint64], parts: int) -> npt.NDArray[np.int64]:
    """Ordinal of the part that owns each key, by its first half: equal ranges of hashes, so part order is key order."""
    # The upper 32 bits decide (parts < 2**31), which keeps the product inside 64 bits.
    return ((hi >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32)).astype(np.int64)


def scatter(records: Packed, owners: npt.NDArray[np.int64], wanted: frozenset[int]) -> list[tuple[int, bytes]]:
    """The records of each wanted part as bytes, parts that get none left out. Order inside a part is kept."""
    order = np.argsort(owners, kind="stable")
    owners, records = owners[order], records[order]
    parts, starts, counts = np.unique(owners, return_index=True, return_counts=True)
    return [
        (int(part), records[start : start + count].tobytes())
        for part, start, count in zip(parts, starts, counts, strict=True)
        if int(part) in wanted
    ]


def gather(blocks: Sequence[bytes], dtype: npt.DTypeLike) -> Packed:
    """The records of all blocks, sorted by all their fields in turn: the order of arrival leaves no trace."""
    records = np.frombuffer(b"".join(blocks), dtype=dtype)
    return np.sort(records, order=records.dtype.names)


def of_key(records: Packed, hi: int | np.uint64, lo: int | np.uint64) -> Packed:
    """The records of one key out of sorted ones."""
    start, end = (int(np.searchsorted(records["hi"], np.uint64(hi), side)) for side in ("left", "right"))
    mine = records[start:end]
    found: Packed = mine[mine["lo"] == np.uint64(lo)]
    return found
