"""When each URL of a crawl has its turn: hosts side by side, the URLs of one host one after the other."""

import heapq
from collections import deque
from typing import Final, NamedTuple

# After so many URLs in a row that brought no answer at all, the host is left alone.
BREAKER: Final = 5


class _Host:
    """The queue of one host."""

    __slots__ = ("failures", "free_at", "queued", "running", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[int] = deque()
        self.running = 0
        self.free_at = 0.0  # when its next request may start, by the caller's clock
        self.failures = 0  # URLs in a row without an answer
        self.queued = False


class Turn(NamedTuple):
    """One URL that may be fetched now."""

    host: str
    row: int


class Frontier:
    """Which URL is next: hosts take turns, each not before its time. Knows no clock but what it is told.

    The client keeps the pauses, whatever it is asked. This keeps URLs out of it that would only wait there.
    """

    def __init__(self, per_host: int) -> None:
        """At most `per_host` URLs of one host at a time."""
        self._per_host = per_host
        self._hosts: dict[str, _Host] = {}
        self._queue: list[tuple[float, int, str]] = []  # a heap: when, tie-break, host
        self._pushes = 0
        self.waiting = 0
        self.running = 0

    def add(self, host: str, row: int) -> None:
        """Put a URL behind the others of its host."""
        self._hosts.setdefault(host, _Host()).waiting.append(row)
        self.waiting += 1
        self._push(host)

    def _push(self, name: str) -> None:
        host = self._hosts[name]
        if host.waiting and not host.queued and host.running < self._per_host:
            host.queued = True
            heapq.heappush(self._queue, (host.free_at, self._pushes, name))
            self._pushes += 1

    @property
    def hosts_waiting(self) -> int:
        """Hosts with URLs that are not under way."""
        return sum(1 for host in self._hosts.values() if host.waiting)

    def next_at(self) -> float | None:
        """When the next URL may start; None while every host with URLs is at its limit."""
        return self._queue[0][0] if self._queue else None

    def take(self, now: float) -> Turn | None:
        """A URL that may start now."""
        if not self._queue or self._queue[0][0] > now:
            return None
        _, _, name = heapq.heappop(self._queue)
        host = self._hosts[name]
        host.queued = False
        host.running += 1
        turn = Turn(name, host.waiting.popleft())
        self.waiting -= 1
        self.running += 1
        self._push(name)
        return turn

    def done(self, turn: Turn, free_at: float, answered: bool) -> list[int]:
        """A URL is through, and its host may be asked again at `free_at`.

        Returns the URLs that are given up with it, because their host doesn't answer.
        """
        host = self._hosts[turn.host]
        host.running -= 1
        self.running -= 1
        host.failures = 0 if answered else host.failures + 1
        if host.failures >= BREAKER:
            given_up = list(host.waiting)
            host.waiting.clear()
            self.waiting -= len(given_up)
            return given_up
        host.free_at = free_at
        self._push(turn.host)
        return []
