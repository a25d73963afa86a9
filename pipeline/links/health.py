"""Is the input what it should be? Posts, scores and their age by month, and which months fall short.

Dumps have months that were lost, cut, or read when the posts were minutes old, so that nothing had three points yet.
Such a month looks like any other file. It shows beside its neighbours.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final

from webtext.pipeline.files import tabular
from webtext.schemas import tables

LEAST_SCORE: Final = -100
GREATEST_SCORE: Final = 10_000
"""Scores are clipped to this range, which keeps the histogram of a month small and its median exact."""

_DAY = 86_400
_NEIGHBOURS = 6  # months on each side: dumps have lost up to four in a row
_FEW = 20  # posts a month: below that, half of it may be chance
_LONGEST_GAP = 12  # months without a post that are shown; a post with a wrong date must not make a thousand of them

Row = tuple[int, int, int, int, int, int]
"""month since January 1970, score, posts, aged, young, age: see tables.MONTHS."""


class Histogram:
    """Counts of the posts of one input by month and score."""

    def __init__(self) -> None:
        """Nothing is counted."""
        self._cells: dict[tuple[int, int], list[int]] = {}

    def add(self, created_utc: int, score: int, retrieved_utc: int) -> None:
        """Count one post. Times in seconds since 1970-01-01 UTC, 0 where unknown; without a date it has no month."""
        if not created_utc:
            return
        cell = _month_of(created_utc // _DAY), min(max(score, LEAST_SCORE), GREATEST_SCORE)
        counts = self._cells.get(cell)
        if counts is None:
            counts = self._cells[cell] = [0, 0, 0, 0]
        counts[0] += 1
        if retrieved_utc:
            age = retrieved_utc - created_utc
            counts[1] += 1
            counts[2] += age < _DAY
            counts[3] += age

    def rows(self) -> Iterator[Row]:
        """The counts, in order of month and score."""
        for (month, score), (posts, aged, young, age) in sorted(self._cells.items()):
            yield month, score, posts, aged, young, age


@cache
def _month_of(day: int) -> int:
    date = datetime.fromtimestamp(day * _DAY, UTC)
    return (date.year - 1970) * 12 + date.month - 1


@dataclass(frozen=True, slots=True)
class Month:
    """The posts of one month that may make a link."""

    month: int  # since January 1970
    posts: int = 0
    median: int | None = None  # score; of an even number of posts the lower of the two in the middle
    reached: int = 0  # posts with the score that a link needs
    aged: int = 0  # posts of which the time is known at which their score was read
    young: int = 0  # of those, read within a day of the post
    age: int = 0  # seconds from post to reading, summed over `aged`
    neighbours: float = 0.0  # the same in the mean of the months before or after it, whichever is lower
    alarm: bool = False  # fewer than half of that

    @property
    def name(self) -> str:
        """YYYY-MM."""
        return f"{1970 + self.month // 12}-{self.month % 12 + 1:02d}"


def months(rows: Iterable[Row], threshold: int) -> list[Month]:
    """The months in order, those without a post between others included.

    A month gives alarm if its yield, the posts with the score of the threshold, is less than half of what the six
    months before it have in the mean, and also less than half of what the six after it have: a site that grows or
    shrinks gives none. The first and the last month have only one side and give none.

    Args:
        rows: the histograms of all inputs, in any order.
        threshold: score that a link needs.
    """
    histograms: dict[int, dict[int, int]] = {}
    ages: dict[int, tuple[int, int, int]] = {}
    for month, score, posts, *age in rows:
        scores = histograms.setdefault(month, {})
        scores[score] = scores.get(score, 0) + posts
        aged, young, seconds = (a + b for a, b in zip(ages.get(month, (0, 0, 0)), age, strict=True))
        ages[month] = aged, young, seconds
    threshold = min(threshold, GREATEST_SCORE)
    reached = {
        month: sum(posts for score, posts in histograms.get(month, {}).items() if score >= threshold)
        for month in _with_gaps(sorted(histograms))
    }
    return [_month(month, histograms.get(month, {}), ages.get(month, (0, 0, 0)), reached) for month in reached]


def _with_gaps(present: list[int]) -> Iterator[int]:
    for number, month in enumerate(present):
        if number and month - present[number - 1] <= _LONGEST_GAP + 1:
            yield from range(present[number - 1] + 1, month)
        yield month


def _month(month: int, scores: Mapping[int, int], ages: tuple[int, int, int], reached: Mapping[int, int]) -> Month:
    around = (range(month - _NEIGHBOURS, month), range(month + 1, month + 1 + _NEIGHBOURS))
    sides = [[reached[other] for other in side if other in reached] for side in around]
    neighbours = min(sum(side) / len(side) if side else 0.0 for side in sides)
    alarm = neighbours >= _FEW and reached[month] < neighbours / 2
    return Month(month, sum(scores.values()), _median(scores), reached[month], *ages, neighbours, alarm)


def _median(scores: Mapping[int, int]) -> int | None:
    left = (sum(scores.values()) + 1) // 2
    for score in sorted(scores):
        left -= scores[score]
        if left <= 0:
            return score
    return None


def read_months(paths: Iterable[str], threshold: int) -> list[Month]:
    """`months` of the tables of the stage posts."""
    batches = (batch for path in paths for batch in tabular.batches(path, tables.MONTHS.names))
    rows = (row for batch in batches for row in zip(*(column.to_pylist() for column in batch.columns), strict=True))
    return months(rows, threshold)


def warnings(found: Iterable[Month]) -> list[str]:
    """A line for each month that gives alarm."""
    return [
        f"{month.name} has {month.reached:,} posts with enough karma, the months around it {month.neighbours:,.0f} "
        f"in the mean{_suspicion(month)}: check its dump"
        for month in found
        if month.alarm
    ]


def _suspicion(month: Month) -> str:
    if month.aged and month.young * 2 > month.aged:
        return "; most scores were read within a day of the post"
    return "; it has no posts at all" if not month.posts else ""
