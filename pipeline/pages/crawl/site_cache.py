"""What sites say in files of their own, such as robots.txt: fetched once a day, kept while there is room."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

DAY: Final = 24 * 3600.0
"""Seconds that what was read is kept. RFC 9309 section 2.4."""
FAILURE: Final = 600.0
"""Seconds until a file that can't be read is asked for again."""

_MAX_FILES: Final = 4096
_MAX_BYTES: Final = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """What a file says."""

    value: T
    size: int  # bytes, about
    seconds: float  # that it holds


class SiteCache(Generic[T]):
    """What the files asked for lately say. Holds at most 4,096 and 32 MiB; the least lately used go first."""

    def __init__(self, read: Callable[[str], Awaitable[Kept[T]]], clock: Callable[[], float] = time.monotonic) -> None:
        """`read` gets the URL of a file that is not known, or not any more."""
        self._read = read
        self._clock = clock
        self._files: OrderedDict[str, tuple[float, Kept[T]]] = OrderedDict()
        self._size = 0
        self._under_way: dict[str, asyncio.Lock] = {}

    async def get(self, url: str) -> T:
        """What the file at `url` says."""
        kept = self._known(url)
        if kept is None:
            lock = self._under_way.setdefault(url, asyncio.Lock())
            try:
                async with lock:
                    kept = self._known(url)  # another may have fetched it meanwhile
                    if kept is None:
                        kept = await self._read(url)
                        self._keep(url, kept)
            finally:
                if self._under_way.get(url) is lock and not lock.locked():
                    del self._under_way[url]
        return kept.value

    def _known(self, url: str) -> Kept[T] | None:
        expires, kept = self._files.get(url, (0.0, None))
        if kept is None or expires <= self._clock():
            return None
        self._files.move_to_end(url)
        return kept

    def _keep(self, url: str, kept: Kept[T]) -> None:
        _, old = self._files.pop(url, (0.0, None))
        self._size += kept.size - (old.size if old else 0)
        self._files[url] = (self._clock() + kept.seconds, kept)
        while len(self._files) > _MAX_FILES or (self._size > _MAX_BYTES and len(self._files) > 1):
            self._size -= self._files.popitem(last=False)[1][1].size
