"""What the tables of a finished build tell: examples of what was lost, domains and lengths of what stayed, clusters.

Each function streams the columns it needs, so its memory does not grow with the rows: it keeps a few examples, and a
counter for each domain or each size of a cluster.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import BinaryIO, Final, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from webtext.pipeline.files import storage, tabular
from webtext.pipeline.files.stage_files import open_stage_file
from webtext.schemas.records import Reason

# Stored URLs are canonical (identity/urls.py), so a pattern is enough: on 8 million a minute faster than a parser.
_HOST = r"^https?://(?:[^/?#@]*@)?(?:www\.)?(?P<host>\[[^\]]*\]|[^/:?#]+)"

NO_URL: Final = "(no URL)"  # in place of a domain

Group = TypeVar("Group", str, int)


@dataclass(frozen=True, slots=True, order=True)
class Example:
    """One record that was lost. Sorts by key."""

    key: bytes
    url: str
    detail: str


@dataclass(frozen=True, slots=True)
class Share:
    """Part of the kept documents."""

    name: str
    documents: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Kept:
    """The kept documents at a glance."""

    domains: int  # different host names
    largest: tuple[Share, ...]  # domains, most documents first
    lengths: tuple[Share, ...]  # by powers of two of the tokens of a document, without gaps


@dataclass(frozen=True, slots=True)
class Copies:
    """One cluster: a kept document and its copies."""

    size: int  # documents, the kept one included
    label: bytes
    kept_url: str
    exact: int  # copies with the very same text
    similarity: tuple[float, float]  # least and greatest, of the copies to the kept document
    example: str  # URL of the copy with the smallest key


@dataclass(frozen=True, slots=True)
class Clusters:
    """All clusters of two documents and more."""

    sizes: Mapping[int, int]  # documents in a cluster -> clusters, by size
    largest: tuple[Copies, ...]  # largest first


def examples(paths: Iterable[str], number: int) -> dict[str, list[Example]]:
    """Some lost records of each reason in these rejected tables: different URLs, those with the smallest keys."""
    found: dict[str, list[Example]] = {}
    for batch in _batches(paths, ["reason", "key", "url", "detail"]):
        for reason in pc.unique(batch["reason"]).to_pylist():
            mine = _smallest(batch.filter(pc.equal(batch["reason"], reason)), number)
            found[reason] = _distinct(sorted([*found.get(reason, []), *mine]), number)
    return found


def _smallest(rows: pa.RecordBatch, number: int) -> list[Example]:
    order = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in ("key", "url", "detail")])
    columns = [rows[name] for name in ("key", "url", "detail")]
    sorted_rows = (Example(*(column[index].as_py() for column in columns)) for index in order.to_pylist())
    return _distinct(sorted_rows, number)


def _distinct(rows: Iterable[Example], number: int) -> list[Example]:
    """The first rows with different URLs."""
    chosen: dict[str, Example] = {}
    for row in rows:
        chosen.setdefault(row.url, row)
        if len(chosen) == number:
            break
    return list(chosen.values())


def kept(paths: Iterable[str], number: int) -> Kept:
    """Domains and lengths of the documents in these text tables, with the `number` largest domains."""
    domains: dict[str, tuple[int, int]] = {}
    lengths: dict[int, tuple[int, int]] = {}
    for batch in _batches(paths, ["url", "token_count"], storage.open_binary):
        counts = batch["token_count"]
        hosts = pc.struct_field(pc.extract_regex(batch["url"], _HOST), "host")
        _add(domains, pc.fill_null(hosts, NO_URL), counts)  # a given text may have no URL
        _add(lengths, pa.array(np.frexp(counts.to_numpy().astype(np.float64))[1]), counts)
    ranked = heapq.nsmallest(number, domains.items(), key=lambda entry: (-entry[1][0], -entry[1][1], entry[0]))
    exponents = range(min(lengths, default=0), max(lengths, default=-1) + 1)
    return Kept(
        len(domains.keys() - {NO_URL}),
        tuple(Share(name, *counts) for name, counts in ranked),
        tuple(Share(_range(exponent), *lengths.get(exponent, (0, 0))) for exponent in exponents),
    )


def _add(totals: dict[Group, tuple[int, int]], groups: pa.Array, tokens: pa.Array) -> None:
    grouped = pa.table({"group": groups, "tokens": tokens}).group_by("group", use_threads=False)
    for row in grouped.aggregate([("tokens", "count"), ("tokens", "sum")]).to_pylist():
        documents, before = totals.get(row["group"], (0, 0))
        totals[row["group"]] = (documents + row["tokens_count"], before + row["tokens_sum"])


def _range(exponent: int) -> str:
    """The whole numbers below 2**exponent that are no smaller than half of it, in words."""
    return f"{2**exponent // 2:,} to {2**exponent - 1:,}" if exponent > 1 else f"{exponent}"


def clusters(paths: Iterable[str], number: int) -> Clusters:
    """Sizes of the clusters in these tables, and the `number` largest ones. Rows of one cluster stand together."""
    sizes: Counter[int] = Counter()
    largest: list[Copies] = []
    for label, rows in groupby(_members(paths), key=lambda row: row.label):
        cluster = _copies(label, rows)
        sizes[cluster.size] += 1
        largest = heapq.nsmallest(number, [*largest, cluster], key=lambda entry: (-entry.size, entry.label))
    return Clusters(dict(sorted(sizes.items())), tuple(largest))


class _Member(NamedTuple):
    label: bytes
    key: bytes
    url: str
    kept_key: bytes
    kept_url: str
    similarity: float
    reason: str


def _members(paths: Iterable[str]) -> Iterator[_Member]:
    names = ["cluster", "key", "url", "kept_key", "kept_url", "similarity", "reason"]
    for batch in _batches(paths, names):
        yield from map(_Member, *(batch[name].to_pylist() for name in names))


def _copies(label: bytes, members: Iterable[_Member]) -> Copies:
    size = exact = 0
    least, greatest = 1.0, 0.0
    kept_url = ""
    example = (b"\xff" * 17, "")  # beyond every key
    for member in members:
        size += 1
        kept_url = member.kept_url
        if member.key != member.kept_key:
            exact += member.reason == Reason.EXACT_DUPLICATE
            least, greatest = min(least, member.similarity), max(greatest, member.similarity)
            example = min(example, (member.key, member.url))
    return Copies(size, label, kept_url, exact, (least, greatest), example[1])


def _batches(
    paths: Iterable[str], columns: list[str], open_file: Callable[[str], BinaryIO] = open_stage_file
) -> Iterator[pa.RecordBatch]:
    for path in paths:
        yield from tabular.batches(path, columns, open_file=open_file)
