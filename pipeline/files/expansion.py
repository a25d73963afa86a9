"""How much a compressed file may become, so that a small one can't take hours.

Text compresses by 3 to 20, what a machine repeats by a hundred; gzip gives 1,032 times its input at most, zstd 30,000
times and Parquet without end. A file that goes beyond is read up to that place.
"""

from typing import Final

MOST_TIMES: Final = 250
"""Times the bytes of a file that may come out of it."""
_MOST_RECORDS: Final = 10  # for each of its bytes

_FREE_BYTES: Final = 8 * 2**20
_FREE_RECORDS: Final = 100_000


class Expansion:
    """What has gone into a decompressor, and what came out."""

    def __init__(self) -> None:
        """Nothing has."""
        self._bytes = _FREE_BYTES
        self._records = _FREE_RECORDS

    def used(self, size: int) -> None:
        """So many compressed bytes went in."""
        self._bytes += MOST_TIMES * size
        self._records += _MOST_RECORDS * size

    @property
    def room(self) -> int:
        """Bytes that may still come out."""
        return self._bytes

    def gave(self, size: int, records: int = 0) -> bool:
        """So many bytes and records came out; True where that is too much, and what follows counts anew."""
        self._bytes -= size
        self._records -= records
        exceeded = self._bytes < 0 or self._records < 0
        self._bytes, self._records = max(0, self._bytes), max(0, self._records)
        return exceeded
