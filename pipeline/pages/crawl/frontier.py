"""When each URL of a crawl has its turn: hosts side by side, the URLs of one host one after the other.

A host that gives no answer is set aside and tried again later, with growing pauses, so that an outage loses none of its
URLs. A URL that brought no answer is asked again when all others of its host have had their turn.
"""

import heapq
from collections import deque
from typing import Final, NamedTuple

# After so many URLs in a row that brought no answer at all, the host is left alone for a while.
BREAKER: Final = 5


class _Host:
    """The queue of one host."""

    __slots__ = ("asides", "failed", "failures", "free_at", "once_through", "queued", "running", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[int] = deque()
        self.failed: list[int] = []  # URLs to be asked again
        self.running = 0
        self.free_at = 0.0  # when its next request may start, by the caller's clock
        self.failures = 0  # URLs in a row without an answer
        self.asides = 0  # how often it was set aside since a URL that was asked for the first time had an answer
        self.once_through = False  # those that wait have all been asked before
        self.queued = False


class Turn(NamedTuple):
    """One URL that may be fetched now."""

    host: str
    row: int
    aside: int = 0  # how often its host had been set aside by then


class Frontier:
    """Which URL is next: hosts take turns, each not before its time. Knows no clock but what it is told.

    The client keeps the pauses, whatever it is asked. This keeps URLs out of it that would only wait there.
    """

    def __init__(self, per_host: int, revisits: int, revisit_delay: float) -> None:
        """At most `per_host` URLs of one host at a time; set a host aside `revisits` times, first for `revisit_delay`.

        Each further pause is twice as long as the one before.
        """
        self._per_host = per_host
        self._revisits = revisits
        self._revisit_delay = revisit_delay
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

    @property
    def hosts_aside(self) -> int:
        """Hosts among them that have been set aside and not answered since."""
        return sum(1 for host in self._hosts.values() if host.waiting and host.asides)

    def next_at(self) -> float | None:
        """When the next URL may start, at the earliest; None while every host with URLs is at its limit."""
        return self._queue[0][0] if self._queue else None

    def take(self, now: float) -> Turn | None:
        """A URL that may start now."""
        while self._queue and self._queue[0][0] <= now:
            name = heapq.heappop(self._queue)[2]
            host = self._hosts[name]
            host.queued = False
            if host.free_at > now:  # set aside since it was queued
                self._push(name)
            elif host.waiting:
                host.running += 1
                turn = Turn(name, host.waiting.popleft(), host.asides)
                self.waiting -= 1
                self.running += 1
                self._push(name)
                return turn
        return None

    def done(self, turn: Turn, now: float, pause: float, *, answered: bool, again: bool = False) -> list[int]:
        """A URL is through, and its host may be asked for another in `pause` seconds.

        Args:
            turn: the URL.
            now: by the caller's clock.
            pause: seconds, for politeness.
            answered: whether its host gave an answer of any kind.
            again: the URL is to be asked again.

        Returns:
            the URLs that are given up, among them those that were to be asked again, because their host has been set
            aside as often as it may be and still doesn't answer.
        """
        host = self._hosts[turn.host]
        host.running -= 1
        self.running -= 1
        host.free_at = max(host.free_at, now + pause)
        if again:
            host.failed.append(turn.row)
            self.waiting += 1
        host.failures = 0 if answered else host.failures + 1
        if answered and not host.once_through:  # else URLs that never have one could be asked for ever
            host.asides = 0
        # What began before the host was set aside says nothing new.
        silent = host.failures >= BREAKER and turn.aside == host.asides
        once_through = host.failed and not host.waiting and not host.running
        given_up = self._set_aside(host, now) if silent or once_through else []
        self._push(turn.host)
        return given_up

    def _set_aside(self, host: _Host, now: float) -> list[int]:
        if host.asides >= self._revisits:
            given_up = [*host.failed, *host.waiting]
            host.failed.clear()
            host.waiting.clear()
            self.waiting -= len(given_up)
            return given_up
        if not host.waiting:
            host.waiting.extend(host.failed)
            host.failed.clear()
            host.once_through = True
        if host.waiting:
            host.free_at = max(host.free_at, now + self._revisit_delay * 2**host.asides)
            host.asides += 1
        return []
