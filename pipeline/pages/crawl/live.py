"""What the parts of stage `fetch` that run on this machine say of themselves: they take hours until their receipts."""

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from webtext.pipeline.files import storage
from webtext.pipeline.pages.crawl import spool

_WINDOW: Final = 10.0  # seconds that rates are taken over
_STALE: Final = 5.0  # seconds without news after which a part is taken to be done, or killed
_CLASSES: Final = 4  # of errors, by name


class Figures(msgspec.Struct, frozen=True):
    """What one part of stage `fetch` states: a live.json. Whatever else is in it doesn't matter here."""

    done: int  # links, of runs before this one too
    hosts_waiting: int
    bytes: int  # of this run
    seconds: float  # since this run began
    reasons: dict[str, int]  # links without a page, of runs before this one too
    hosts_aside: int = 0  # of those that wait, hosts that did not answer

    @property
    def pages(self) -> int:
        """How many links brought a page."""
        return self.done - sum(self.reasons.values())


class Live:
    """The figures of the moment of all parts of stage `fetch` that run on this machine."""

    def __init__(self, folder: str) -> None:
        """Watch the spools in the folder of the stage."""
        self._folder = folder
        self._history: dict[str, deque[Figures]] = {}  # by spool, the oldest first
        self._stated: dict[str, float] = {}  # by spool, when it stated the last of them

    def look(self, now: float) -> str:
        """The figures in words, or "" if no part is running. A file that can't be read counts as unchanged.

        `now` is in seconds since 1970, as the file system has them.
        """
        for name, stated, figures in _figures(self._folder):
            self._stated[name] = stated
            history = self._history.setdefault(name, deque())
            if history and figures == history[-1]:
                continue
            if history and figures.seconds < history[-1].seconds:
                history.clear()  # another run of the part
            history.append(figures)
            while len(history) > 2 and figures.seconds - history[1].seconds >= _WINDOW:
                history.popleft()
        running = [name for name, stated in self._stated.items() if now - stated < _STALE]
        if not running:
            return ""
        pages = sum(_rate((f.seconds, f.pages) for f in self._history[name]) for name in running)
        size = sum(_rate((f.seconds, f.bytes) for f in self._history[name]) for name in running)
        waiting = sum(self._history[name][-1].hosts_waiting for name in running)
        aside = sum(self._history[name][-1].hosts_aside for name in running)
        words = [f"{pages:,.1f} pages/s", f"{size / 1e6:,.1f} MB/s", f"{waiting:,} hosts waiting"]
        words += [f"{aside:,} of them silent"] if aside else []
        return ", ".join([*words, *_errors(history[-1] for history in self._history.values())])


def _figures(folder: str) -> Iterator[tuple[str, float, Figures]]:
    """(name of the spool, time, what it stated then) of those that can be read: files come and go at any time."""
    if not storage.is_local(folder):
        return
    try:
        spools = sorted(Path(folder).glob(f"{spool.PREFIX}*"))
    except OSError:
        return
    for place in spools:
        try:
            with (place / spool.LIVE).open("rb") as stream:
                figures = msgspec.json.decode(stream.read(), type=Figures)
                stated = os.fstat(stream.fileno()).st_mtime
        except (OSError, ValueError, msgspec.DecodeError):
            continue
        yield place.name, stated, figures


def _rate(points: Iterable[tuple[float, int]]) -> float:
    """Per second between the first of (seconds, number) and the last."""
    (since, start), *_, (until, end) = [*points] * 2
    return max(0, end - start) / (until - since) if until > since else 0.0


def _errors(figures: Iterable[Figures]) -> list[str]:
    """The errors so far, the most frequent classes by name."""
    errors: Counter[str] = Counter()
    for each in figures:
        errors.update(each.reasons)
    found = sorted(errors.items(), key=lambda error: (-error[1], error[0]))
    others = sum(number for _, number in found[_CLASSES:])
    words = [f"{name} {number:,}" for name, number in found[:_CLASSES]]
    return [*words, f"other errors {others:,}"] if others else words
