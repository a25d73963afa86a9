"""Stage `accuracy`: how well this build's search for copies works on this corpus, measured on samples of it.

Copies are planted: of a sample of the documents a run of 5, 10, 20, 30 and 50 % of the words is replaced by words of
another sampled document, and the bands and the comparison of the build are asked whether they find the copy. A run of
share r leaves a Jaccard similarity of about (1 - r) / (1 + r). And pairs are sampled, of those that the build merged
and of those that it looked at and did not merge; their similarity is worked out anew, without any hashes.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from webtext.pipeline.dedup import sketches
from webtext.pipeline.dedup.groups import Groups, ids_of, parts_of
from webtext.pipeline.engine import exchange
from webtext.pipeline.engine.stage import Part, PartOutput
from webtext.pipeline.files import tabular
from webtext.pipeline.settings import DedupSettings
from webtext.pipeline.text import minhash
from webtext.schemas import tables

EDITS = (5, 10, 20, 30, 50)  # per cent of the words

_SAMPLE = 100  # documents, merged pairs, and pairs not merged
_POOL = 20_000  # candidates among which those not merged are looked for
_ROWS = 65_536  # that are read at once
_LEAST_WORDS = 100  # of a document in which copies are planted
_MOST_CHARACTERS = 100_000  # of a text that is looked at

U64 = npt.NDArray[np.uint64]
Pairs = npt.NDArray[np.uint64]  # (n, 2) document ids


def run_accuracy(settings: DedupSettings, groups: Groups, part: Part, output: PartOutput) -> None:
    """One task. Inputs: what the stage `candidates` sent, then the tables of the stage `pairs`."""
    candidates, verified = part.inputs["candidates"], part.inputs["pairs"]
    documents = [text for text in _texts(groups, _documents(groups)) if len(text.split()) >= _LEAST_WORDS]
    for percent in EDITS:
        copies = [
            planted(text, other, percent)
            for text, other in zip(documents, [*documents[1:], *documents[:1]], strict=True)
        ]
        output.counts[f"planted_{percent:02d}"] = len(copies)
        output.counts[f"found_{percent:02d}"] = sum(
            is_found(text, copy, settings) for text, copy in zip(documents, copies, strict=True)
        )
    merged = _sample(_verified(verified), _SAMPLE)
    pool = _sample(_candidates(candidates), _POOL)
    others = pool[~_among(pool, _verified(verified))][:_SAMPLE]
    with output.table("sampled", tables.SAMPLED_PAIRS) as table:
        for name, pairs in (("merged", merged), ("not_merged", others)):
            for url, other_url, similarity in _similarities(groups, pairs):
                output.counts[f"sampled_{name}"] += 1
                output.counts[f"true_{name}"] += (similarity >= settings.threshold) == (name == "merged")
                table.add(url, other_url, name == "merged", similarity)
    output.taken = output.passed = groups.documents
    output.rows = table.rows


def planted(text: str, other: str, percent: int) -> str:
    """A copy of a text in which a run of so many per cent of the words is replaced by words of another text."""
    words, others = text.split(), other.split()[::-1]  # backwards, as the other text may be a copy of the first
    length = max(1, len(words) * percent // 100)
    start = _number(f"{percent} {text}") % (len(words) - length + 1)
    return " ".join([*words[:start], *(others * (length // len(others) + 1))[:length], *words[start + length :]])


def is_found(text: str, copy: str, settings: DedupSettings) -> bool:
    """Whether the two share a band and are similar enough."""
    signatures = np.stack([minhash.signature(text), minhash.signature(copy)])
    first, second = minhash.bands(signatures)
    if minhash.text_hash(text) != minhash.text_hash(copy) and not (first == second).any():
        return False
    if settings.method == "signature":
        one, other = signatures
    else:
        one, other = (sketches.sketch(each, "shingles") for each in (text, copy))
    bounds = np.array([0, len(other)])
    return bool(sketches.similarity(one, other, bounds, settings.method)[0] >= settings.threshold)


def jaccard(a: str, b: str) -> float:
    """Of the sets of runs of five words; 1 for equal texts."""
    if a.split() == b.split():
        return 1.0
    one, other = (
        {tuple(words[start : start + minhash.SHINGLE]) for start in range(len(words) - minhash.SHINGLE + 1)}
        for words in (minhash.words(text) for text in (a, b))
    )
    return len(one & other) / len(one | other) if one | other else 0.0


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def _documents(groups: Groups) -> U64:
    """The ids of the documents whose keys have the smallest hashes."""
    best = np.empty((0, 2), np.uint64)
    for ordinal, path in enumerate(groups.paths):
        row = 0
        for batch in tabular.batches(path, ["key"], _ROWS):
            hashes = minhash.fmix64(np.frombuffer(b"".join(batch["key"].to_pylist()), "<u8").reshape(-1, 2)[:, 1])
            best = np.concatenate([best, np.stack([hashes, ids_of(ordinal, row, batch.num_rows)], axis=1)])
            best = best[np.lexsort(best.T[::-1])[:_SAMPLE]]
            row += batch.num_rows
    return best[:, 1]


def _sample(batches: Iterable[Pairs], number: int) -> Pairs:
    """The distinct pairs with the smallest hashes, in order of these."""
    best = np.empty((0, 3), np.uint64)
    worst = np.uint64(2**64 - 1)
    more: list[U64] = []  # rows that may be among the best; sorting is dear, so it waits until they are many
    count = 0
    for pairs in batches:
        hashes = minhash.fmix64(minhash.fmix64(pairs[:, 0]) + pairs[:, 1])
        near = hashes <= worst
        more.append(np.column_stack([hashes[near], pairs[near]]))
        count += len(more[-1])
        if count >= number:
            best = np.unique(np.concatenate([best, *more]), axis=0)[:number]
            more, count = [], 0
            if len(best) == number:
                worst = best[-1, 0]
    return np.unique(np.concatenate([best, *more]), axis=0)[:number, 1:]


def _verified(paths: Sequence[str]) -> Iterator[Pairs]:
    return map(_columns, (batch for path in paths for batch in tabular.batches(path, ["a", "b"], _ROWS)))


def _candidates(paths: Sequence[str]) -> Iterator[Pairs]:
    return map(_columns, exchange.read(paths, 0, 1))  # the batches of all groups


def _columns(batch: pa.RecordBatch) -> Pairs:
    return np.column_stack([batch["a"].to_numpy(), batch["b"].to_numpy()])


def _among(pairs: Pairs, batches: Iterator[Pairs]) -> npt.NDArray[np.bool_]:
    """Which of these pairs come in the batches."""
    place = {pair: row for row, pair in enumerate(map(tuple, pairs.tolist()))}
    found = np.zeros(len(pairs), np.bool_)
    for batch in batches:
        near = batch[np.isin(batch[:, 0], pairs[:, 0])]
        found[[place[pair] for pair in map(tuple, near.tolist()) if pair in place]] = True
    return found


@dataclass(frozen=True, slots=True)
class _Read:
    url: str
    text: str


def _read(groups: Groups, ids: U64) -> Mapping[int, _Read]:
    """Addresses and texts of some documents, by id."""
    found: dict[int, _Read] = {}
    wanted = np.unique(ids)
    for ordinal, path in enumerate(groups.paths):
        own = wanted[parts_of(wanted) == ordinal]
        numbers = iter(own.tolist())
        for table in tabular.rows_at(path, own & np.uint64(0xFFFFFFFF), ["url", "text"]):
            for url, text in zip(table["url"].to_pylist(), table["text"].to_pylist(), strict=True):
                found[next(numbers)] = _Read(url, text[:_MOST_CHARACTERS])
    return found


def _texts(groups: Groups, ids: U64) -> list[str]:
    found = _read(groups, ids)
    return [found[number].text for number in ids.tolist()]


def _similarities(groups: Groups, pairs: Pairs) -> Iterator[tuple[str, str, float]]:
    found = _read(groups, pairs.reshape(-1))
    for a, b in pairs.tolist():
        one, other = found[a], found[b]
        yield one.url, other.url, jaccard(one.text, other.text)


def sentences(counts: Mapping[str, int]) -> list[str]:
    """What the stage's counts say, for people; nothing where nothing was measured."""
    shares = [
        f"{percent} %: {counts[f'found_{percent:02d}'] / number:.0%}"
        for percent in EDITS
        if (number := counts.get(f"planted_{percent:02d}", 0))
    ]
    found = (
        [f"Planted copies that were found, by share of their words replaced: {', '.join(shares)}."] if shares else []
    )
    for name, words in (("merged", "pairs that were merged are"), ("not_merged", "candidates that were not are no")):
        if number := counts.get(f"sampled_{name}", 0):
            right = counts.get(f"true_{name}", 0)
            found.append(f"{right:,} of {number:,} sampled {words} copies by all their words.")
    return found
