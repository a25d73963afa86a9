"""Ranges on a local disk, so that a build that was stopped, or is made again, asks a web archive only once for each."""

import os
import uuid
from hashlib import blake2b
from typing import Final

import xxhash

_DIGEST: Final = 16  # bytes of XXH3 before the data: a file that a power failure left half written is no range


class RangeCache:
    """Files in one folder. Any number of processes may share it; nothing is ever evicted."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def get(self, path: str, start: int, length: int) -> bytes | None:
        """The bytes of a range, if they are here whole."""
        try:
            with open(self._file(path, start, length), "rb") as stream:
                stored = stream.read()
        except FileNotFoundError:
            return None
        data = stored[_DIGEST:]
        return data if len(data) == length and stored[:_DIGEST] == xxhash.xxh3_128_digest(data) else None

    def put(self, path: str, start: int, data: bytes) -> None:
        """Keep the bytes of a range. Raises OSError."""
        final = self._file(path, start, len(data))
        os.makedirs(os.path.dirname(final), exist_ok=True)
        temporary = f"{final}-{uuid.uuid4().hex}.tmp"
        with open(temporary, "wb") as stream:
            stream.write(xxhash.xxh3_128_digest(data))
            stream.write(data)
        os.replace(temporary, final)

    def _file(self, path: str, start: int, length: int) -> str:
        name = blake2b(f"{path} {start} {length}".encode(), digest_size=16).hexdigest()
        return os.path.join(self._folder, name[:2], name)
