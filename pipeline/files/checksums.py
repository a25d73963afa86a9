"""Checksums of the blocks of a file, so that any piece of it can be read and checked without the rest.

Arrow files have no checksums, Parquet's leave the footer out, and a digest of the whole file says nothing of a piece. A
part of a shuffle reads kilobytes out of gigabytes: with blocks of 32 KiB it reads few times more than it wants, and
XXH3 checks them at the speed of memory.
"""

import base64
import binascii
import io
from collections.abc import Callable
from typing import BinaryIO, Final, NoReturn

import xxhash

BLOCK: Final = 32 * 2**10
"""Bytes under one checksum."""
_SUM: Final = 8  # bytes of one


class BlockSums:
    """The checksums of what goes by."""

    def __init__(self) -> None:
        """Nothing has gone by."""
        self._sums = bytearray()
        self._block = xxhash.xxh3_64()
        self._room = BLOCK

    def update(self, data: memoryview) -> None:
        """Take the next bytes."""
        while data:
            piece, data = data[: self._room], data[self._room :]
            self._block.update(piece)
            self._room -= len(piece)
            if not self._room:
                self._sums += self._block.digest()
                self._block.reset()
                self._room = BLOCK

    def text(self) -> str:
        """All of them, and one of themselves: for `read_sums`."""
        sums = bytes(self._sums) + (self._block.digest() if self._room < BLOCK else b"")
        return base64.b64encode(sums + xxhash.xxh3_64_digest(sums)).decode()


def read_sums(text: str, size: int) -> bytes:
    """The checksums of a file of `size` bytes, in a row. Raises ValueError where `text` is damaged, or of another."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    sums, own = data[:-_SUM], data[-_SUM:]
    if own != xxhash.xxh3_64_digest(sums):
        raise ValueError("the checksums don't match their own")
    if len(sums) != -(-size // BLOCK) * _SUM:
        raise ValueError(f"there are {len(sums) // _SUM} checksums for {size} bytes")
    return sums


class CheckedStream(io.RawIOBase):
    """A file, of which nothing is given out that was not checked. Seekable; holds the last block that was read."""

    def __init__(self, inner: BinaryIO, size: int, sums: bytes, damaged: Callable[[str], NoReturn]) -> None:
        """`damaged` is called with what is wrong."""
        self._inner = inner
        self._size = size
        self._sums = sums
        self._damaged = damaged
        self._position = 0
        self._held: tuple[int, bytes] = (-1, b"")  # number and bytes of a block
        if (there := inner.seek(0, io.SEEK_END)) != size:
            damaged(f"it has {there} bytes, but {size} were written")

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place, as all streams do."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """As all streams do."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1, /) -> bytes:
        """So many bytes, or what is left. Calls `damaged` where they, or those around them, are not as written."""
        start = self._position
        end = self._size if size is None or size < 0 else min(start + size, self._size)
        if start >= end:
            return b""
        self._position = end
        first = start // BLOCK
        data = self._blocks(first, -(-end // BLOCK))
        return data[start - first * BLOCK : end - first * BLOCK]

    def _blocks(self, first: int, last: int) -> bytes:
        """The bytes of the blocks from `first` to before `last`."""
        number, held = self._held
        if number == first:
            return held if last == first + 1 else held + self._blocks(first + 1, last)
        self._inner.seek(first * BLOCK)
        wanted = min(last * BLOCK, self._size) - first * BLOCK
        data = self._inner.read(wanted)
        if len(data) < wanted:
            self._damaged(f"{wanted} bytes can't be read at byte {first * BLOCK}, only {len(data)}")
        view = memoryview(data)
        for number in range(first, last):
            at = (number - first) * BLOCK
            if xxhash.xxh3_64_digest(view[at : at + BLOCK]) != self._sums[_SUM * number : _SUM * (number + 1)]:
                self._damaged(
                    f"bytes {number * BLOCK} to {min((number + 1) * BLOCK, self._size) - 1} are not as written"
                )
        self._held = (last - 1, data[(last - 1 - first) * BLOCK :])
        return data

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._inner.close()
        super().close()
