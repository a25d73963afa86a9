"""What two extractions of the same links make of each page: documents gained, lost, and with other text.

Works on two folders with a finished stage `documents`, of builds or re-extractions. Each table is in key order, over
all its parts too, so one pass joins them. Memory is that of one batch of each, a few examples, and a row of an Arrow
table for each domain in which anything changed.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from webtext.pipeline.engine import workdir
from webtext.pipeline.engine.stage import REJECTED, paths_of
from webtext.pipeline.files import tabular
from webtext.pipeline.flow import DOCUMENTS, DOCUMENTS_TABLE
from webtext.pipeline.identity import domains

FORMAT: Final = "webtext-changes/1"
DOCUMENT: Final = "document"  # the state of a page that made a document; that of another is its Reason
ABSENT: Final = "absent"  # the state of a link that came to no page

_EXAMPLES: Final = 10  # of each transition: those with the smallest keys, which are hashes, so they are a fair sample
_DOMAINS: Final = 20
_COMPACT: Final = 2**16  # rows of domains that are added up at once


class Outcome(NamedTuple):
    """What became of one page."""

    key: bytes
    url: str
    state: str  # DOCUMENT, or a Reason
    tokens: int
    text_hash: bytes
    detail: str  # of the reason


@dataclass(frozen=True, slots=True)
class Example:
    """One page that changed."""

    url: str
    tokens_before: int
    tokens_after: int
    detail: str  # of the reason: of the new one, or of the old one where the page is a document now


@dataclass(slots=True)
class Transition:
    """All pages that went from one state to another one, or that are documents with another text."""

    before: str
    after: str
    pages: int = 0
    tokens_before: int = 0
    tokens_after: int = 0
    examples: list[Example] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Domain:
    """The changes in one registered domain."""

    name: str
    gained: int  # documents
    lost: int
    changed: int
    tokens: int  # after less before


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two extractions."""

    work: str
    documents: int
    tokens: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting, an input or a library that is not the same."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Changes:
    """All that changed."""

    before: Side
    after: Side
    differences: tuple[Difference, ...]
    same: int  # documents with the very same text
    changed: int  # documents with another text
    gained: int
    lost: int
    transitions: tuple[Transition, ...]  # most pages first, then by name
    domains: int  # with any change
    gains: tuple[Domain, ...]  # most tokens first, then by name
    losses: tuple[Domain, ...]

    def to_object(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"format": FORMAT, **asdict(self)}


def compare(before: str, after: str) -> Changes:
    """The changes from one work directory to the other.

    Raises:
        ValueError: one has no finished stage `documents`, or its tables are not in order.
        OSError: a table is missing.
    """
    totals = _Totals()
    for old, new in _joined(_outcomes(before), _outcomes(after)):
        totals.add(old, new)
    pages = Counter[tuple[bool, bool]]()  # (was a document, is one)
    for entry in totals.transitions.values():
        pages[entry.before == DOCUMENT, entry.after == DOCUMENT] += entry.pages
    number, gains, losses = totals.domains.ranked(_DOMAINS)
    return Changes(
        Side(before, *totals.before),
        Side(after, *totals.after),
        tuple(_differences(workdir.read_claim(before) or {}, workdir.read_claim(after) or {})),
        totals.same,
        pages[True, True],
        pages[False, True],
        pages[True, False],
        tuple(sorted(totals.transitions.values(), key=lambda entry: (-entry.pages, entry.before, entry.after))),
        number,
        gains,
        losses,
    )


def _outcomes(work: str) -> Iterator[Outcome]:
    """Every page of a finished stage `documents`, in order of the keys."""
    manifest = workdir.finished(work, DOCUMENTS)
    if manifest is None:
        raise ValueError(f"{work!r} has no finished stage {DOCUMENTS!r}; finish the build that it belongs to")
    documents = _documents(paths_of(work, manifest, DOCUMENTS_TABLE))
    rejected = _rejected(paths_of(work, manifest, f".{REJECTED}"))
    last = b""
    for outcome in heapq.merge(documents, rejected, key=lambda found: found.key):
        if outcome.key <= last:
            raise ValueError(
                f"the tables of stage {DOCUMENTS!r} in {work!r} are not in order of their keys: build it again"
            )
        last = outcome.key
        yield outcome


def _documents(paths: Iterable[str]) -> Iterator[Outcome]:
    for path in paths:
        for batch in tabular.batches(path, ["key", "url", "token_count", "text_hash"]):
            columns = (batch[name].to_pylist() for name in ("key", "url", "token_count", "text_hash"))
            for key, url, tokens, text_hash in zip(*columns, strict=True):
                yield Outcome(key, url, DOCUMENT, tokens, text_hash, "")


def _rejected(paths: Iterable[str]) -> Iterator[Outcome]:
    for path in paths:
        for batch in tabular.batches(path, ["key", "url", "reason", "detail"]):
            columns = (batch[name].to_pylist() for name in ("key", "url", "reason", "detail"))
            for key, url, reason, detail in zip(*columns, strict=True):
                yield Outcome(key, url, reason, 0, b"", detail)


def _joined(before: Iterator[Outcome], after: Iterator[Outcome]) -> Iterator[tuple[Outcome, Outcome]]:
    """The two outcomes of each key that either side has."""
    old, new = next(before, None), next(after, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old.key < new.key):
            assert old is not None  # else the loop had ended
            yield old, _absent(old)
            old = next(before, None)
        elif old is None or new.key < old.key:
            yield _absent(new), new
            new = next(after, None)
        else:
            yield old, new
            old, new = next(before, None), next(after, None)


def _absent(other: Outcome) -> Outcome:
    return Outcome(other.key, other.url, ABSENT, 0, b"", "")


class _Totals:
    """What the pass over both tables adds up."""

    def __init__(self) -> None:
        self.before = [0, 0, 0]  # documents, tokens, rejected
        self.after = [0, 0, 0]
        self.same = 0
        self.transitions: dict[tuple[str, str], Transition] = {}
        self.domains = _Domains()

    def add(self, old: Outcome, new: Outcome) -> None:
        """Count one page."""
        for side, outcome in ((self.before, old), (self.after, new)):
            side[0] += outcome.state == DOCUMENT
            side[1] += outcome.tokens
            side[2] += outcome.state not in (DOCUMENT, ABSENT)
        if (old.state, old.text_hash, old.tokens) == (new.state, new.text_hash, new.tokens):
            self.same += old.state == DOCUMENT
            return
        entry = self.transitions.setdefault((old.state, new.state), Transition(old.state, new.state))
        entry.pages += 1
        entry.tokens_before += old.tokens
        entry.tokens_after += new.tokens
        if len(entry.examples) < _EXAMPLES:
            entry.examples.append(Example(new.url, old.tokens, new.tokens, new.detail or old.detail))
        if DOCUMENT in (old.state, new.state):
            self.domains.add(old, new)


class _Domains:
    """Sums by registered domain, exact for any number of domains: some 100 bytes for each."""

    _NAMES: Final = ("gained", "lost", "changed", "tokens")

    def __init__(self) -> None:
        self._rows: list[tuple[str, int, int, int, int]] = []
        self._sums: pa.Table | None = None

    def add(self, old: Outcome, new: Outcome) -> None:
        """Count one page whose document came, went or changed."""
        gained, lost = old.state != DOCUMENT, new.state != DOCUMENT
        domain = domains.registered(new.url)
        row = (domain, int(gained), int(lost), int(not gained and not lost), new.tokens - old.tokens)
        self._rows.append(row)
        if len(self._rows) >= _COMPACT:
            self._compact()

    def _compact(self) -> None:
        names, *numbers = zip(*self._rows, strict=True) if self._rows else [()] * 5
        columns = {"name": pa.array(names, pa.string())}
        columns |= {name: pa.array(number, pa.int64()) for name, number in zip(self._NAMES, numbers, strict=True)}
        rows = pa.table(columns)
        both = rows if self._sums is None else pa.concat_tables([self._sums, rows])
        sums = both.group_by("name", use_threads=False).aggregate([(name, "sum") for name in self._NAMES])
        self._sums = sums.select(["name", *(f"{name}_sum" for name in self._NAMES)]).rename_columns(rows.column_names)
        self._rows.clear()

    def ranked(self, number: int) -> tuple[int, tuple[Domain, ...], tuple[Domain, ...]]:
        """How many domains there are, and those with the largest gains and losses of tokens."""
        self._compact()
        assert self._sums is not None  # _compact has just made it
        tops = []
        for order in ("descending", "ascending"):
            table = self._sums.take(_order(self._sums, order)).slice(0, number)
            tops.append([Domain(**row) for row in table.to_pylist()])
        gains, losses = tops
        return (
            self._sums.num_rows,
            tuple(domain for domain in gains if domain.tokens > 0),
            tuple(domain for domain in losses if domain.tokens < 0),
        )


def _order(table: pa.Table, tokens: str) -> pa.Array:
    return pc.sort_indices(table, sort_keys=[("tokens", tokens), ("name", "ascending")])


def _differences(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Difference]:
    """Settings and libraries that both folders tell, and tell differently. Inputs are lists of files: too long."""
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name] and not name.startswith("input "):
            yield Difference(name, _word(before[name]), _word(after[name]))


def _word(value: object) -> str:
    return value if isinstance(value, str) else repr(value)
