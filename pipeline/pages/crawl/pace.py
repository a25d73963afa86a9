"""When each host may next be asked, known to all processes of a machine: redirects lead from any part to any host.

A file of one number for each host, behind a lock for each, which the kernel gives back when a process dies. Hosts find
their place by a hash: two that share one keep each other's pace, which costs time and no politeness.
"""

import fcntl
import mmap
import os
import struct
import time
from typing import Final

import xxhash

FILE: Final = ".pace.tmp"  # by its ending the stage removes it when it is complete
_PLACES: Final = 2**18
_BYTES: Final = 8  # of a place: time.monotonic, which all processes of a machine share
_POLL: Final = 0.05  # seconds until a host that another process is asking is looked at again


class Pace:
    """The moments of one file; for one event loop."""

    def __init__(self, path: str, longest: float, alone: bool) -> None:
        """Open the file or make it.

        Args:
            path: local; its folder exists.
            longest: seconds. A moment farther ahead is of before the machine was started again, and doesn't count.
            alone: no two processes ask a host at the same time.

        Raises:
            OSError: the file can't be opened.
        """
        self._longest = longest
        self._alone = alone
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._file, _PLACES * _BYTES)
        self._moments = mmap.mmap(self._file, _PLACES * _BYTES)

    def close(self) -> None:
        """Close the file, and leave all hosts to others."""
        self._moments.close()
        os.close(self._file)

    def take(self, host: str, delay: float) -> float:
        """0 where the host may be asked now, and the next request `delay` seconds later; else seconds to wait.

        What is taken is to be given back with `free`.
        """
        place = _place(host)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, _BYTES, place)
        except (BlockingIOError, PermissionError):
            return _POLL
        now = time.monotonic()
        left = self._left(place, now)
        if left <= 0:
            struct.pack_into("=d", self._moments, place, now + delay)
        if left > 0 or not self._alone:
            fcntl.lockf(self._file, fcntl.LOCK_UN, _BYTES, place)
        return left

    def free(self, host: str, pause: float) -> None:
        """The request is through; the next one may start in `pause` seconds."""
        place = _place(host)
        if not self._alone:  # then others hold a lock for microseconds only
            fcntl.lockf(self._file, fcntl.LOCK_EX, _BYTES, place)
        now = time.monotonic()
        if pause > self._left(place, now):
            struct.pack_into("=d", self._moments, place, now + pause)
        fcntl.lockf(self._file, fcntl.LOCK_UN, _BYTES, place)

    def _left(self, place: int, now: float) -> float:
        [moment] = struct.unpack_from("=d", self._moments, place)
        return moment - now if 0 < moment - now <= self._longest else 0.0


def _place(host: str) -> int:
    return xxhash.xxh3_64_intdigest(host.encode()) % _PLACES * _BYTES
