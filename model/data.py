"""Batches from a corpus folder: memory-mapped shards, windows in a random order that is a pure function of the step.

Only `manifest.json` says what is in a corpus. Each shard is one stream of tokens, documents closed by end-of-text;
window i of a shard is its tokens i*T .. i*T + T: T inputs and, one further, T targets. So every token but a shard's
first is a target once. What is left at the end of a shard, too short for a window, is not used: less than T tokens.

The order of an epoch is a keyed permutation that is computed, not stored, so the state of the loader is the step and
nothing else. A batch does not depend on how many processes share it: rank r of w takes its rows r, r+w, r+2w, ...
`loader.py` reads batches ahead of the training loop.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from webtext.model.shard import open_shard
from webtext.schemas import vocabulary
from webtext.schemas.manifest import CORPUS_MANIFEST, CorpusManifest, ManifestError, file_sha256, read_local

_ROUNDS: Final = (
    8  # of the Feistel network; 4 are enough in theory, with ideal round functions (Luby and Rackoff, 1988)
)


_BLOCK: Final = 512  # rows whose windows are worked out at once: a few rows cost as much as all of these


@dataclass(frozen=True, slots=True)
class Span:
    """The part of one document that lies in one window."""

    key: bytes
    url: str
    shard: str
    offset: int  # of the document's first token in the shard's stream
    tokens: int  # of the document that are inputs or targets of the window


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus whose shards are there, with the sizes in its manifest. `verify` checks every byte of them."""

    folder: Path
    manifest: CorpusManifest

    @classmethod
    def open(cls, folder: Path) -> "Corpus":
        """Read the manifest of `folder`.

        Raises:
            ValueError: no corpus, a damaged manifest, a missing shard or one of another size.
        """
        path = folder / CORPUS_MANIFEST
        try:
            manifest = CorpusManifest.from_json(read_local(path))
        except FileNotFoundError as error:
            raise ValueError(f"{path} is missing: give the folder that `webtext build` wrote as OUT/corpus") from error
        except ManifestError as error:
            raise ValueError(f"{path}: {error}. Build the corpus again, or copy it again") from error
        for shard in manifest.shards:
            file = folder / shard.name
            size = file.stat().st_size if file.is_file() else None
            if size != shard.bytes:
                found = "is missing" if size is None else f"has {size} bytes"
                raise ValueError(
                    f"{file} {found}, the manifest says {shard.bytes} bytes: copy or build the corpus again"
                )
        return cls(folder, manifest)

    def verify(self) -> None:
        """Compare the shards with their digests, a few at once. Raises ValueError for a damaged one."""
        paths = [self.folder / shard.name for shard in self.manifest.shards]
        with ThreadPoolExecutor(4) as pool:
            for shard, path, found in zip(self.manifest.shards, paths, pool.map(file_sha256, paths), strict=True):
                if found != shard.sha256:
                    raise ValueError(
                        f"{path} has sha256 {found}, the manifest says {shard.sha256}: it is damaged, copy or build "
                        "the corpus again"
                    )


class Windows:
    """The windows of one split, numbered from 0 through its shards in order of their names."""

    def __init__(self, corpus: Corpus, split: str, length: int) -> None:
        """Map the shards of `split` ("train" or "val"); windows have `length` tokens and one more to predict.

        Raises:
            ValueError: a shard is not what the manifest says.
        """
        listed = sorted((s for s in corpus.manifest.shards if s.split == split), key=lambda s: s.name)
        self.split = split
        self.length = length
        self.shards = [open_shard(corpus.folder, shard) for shard in listed]
        sizes = np.array([shard.tokens.size for shard in self.shards], np.int64)
        counts = np.maximum(sizes - 1, 0) // length
        self.tokens = int(sizes.sum())
        self._ends = np.cumsum(counts)  # windows up to and with each shard

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._ends.size else 0

    def read(self, windows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens of `windows` as rows (N, length + 1). One copy a row, which also widens to int64."""
        out = np.empty((windows.size, self.length + 1), np.int64)
        for row, (shard, start) in enumerate(zip(*self._place(windows), strict=True)):
            out[row] = self.shards[shard].tokens[start : start + self.length + 1]
        if out.size and out.max() >= vocabulary.SIZE:
            row = int(out.max(axis=1).argmax())
            name = self.shards[self._place(windows)[0][row]].name
            raise ValueError(
                f"{name} has token {out.max()}, GPT-2 ids end at {vocabulary.SIZE - 1}: run `webtext verify`"
            )
        return out

    def spans_of(self, window: int) -> list[Span]:
        """The documents with a token in `window`, in order. The window's last token is a target only."""
        (shard_index,), (start,) = self._place(np.array([window]))
        shard, end = self.shards[shard_index], start + self.length + 1
        first, last = np.searchsorted(shard.ends, [start, end - 1], side="right").tolist()
        spans = []
        for document, row in enumerate(shard.table.select(["key", "url"]).slice(first, last - first + 1).to_pylist()):
            begins = int(shard.ends[first + document - 1]) if first + document else 0
            stops = int(shard.ends[first + document])
            tokens = min(stops, end) - max(begins, start)
            spans.append(Span(row["key"], row["url"], shard.name, begins, tokens))
        return spans

    def _place(self, windows: NDArray[np.int64]) -> tuple[list[int], list[int]]:
        """Shard of each window, and the token in it where the window starts."""
        if windows.size and not 0 <= windows.min() <= windows.max() < len(self):
            raise IndexError(f"window {windows.min()}..{windows.max()} of the {len(self)} of split {self.split!r}")
        shards = np.searchsorted(self._ends, windows, side="right")
        firsts = np.concatenate((np.zeros(1, np.int64), self._ends))[shards]
        return shards.tolist(), ((windows - firsts) * self.length).tolist()


class Batches:
    """The endless sequence of training batches. Its only state is the step that the caller counts."""

    def __init__(self, windows: Windows, batch_tokens: int, seed: int) -> None:
        """Batches of `batch_tokens` tokens, over all ranks.

        Raises:
            ValueError: the batch is no whole number of windows, or the split has fewer windows than one batch.
        """
        length = windows.length
        if batch_tokens < length or batch_tokens % length:
            near = max(1, round(batch_tokens / length)) * length
            raise ValueError(f"batch_tokens is {batch_tokens}, not a multiple of n_ctx {length}; the nearest is {near}")
        if not len(windows):
            raise ValueError(
                f"split {windows.split!r} has {windows.tokens} tokens in {len(windows.shards)} shards, too few for "
                f"a window of {length + 1}: build a larger corpus, or lower n_ctx"
            )
        self.windows = windows
        self.rows = batch_tokens // length
        if self.rows > len(windows):
            raise ValueError(
                f"a batch of {batch_tokens} tokens is {self.rows} windows, split {windows.split!r} has {len(windows)}: "
                f"some would be twice in one batch. Lower batch_tokens to {len(windows) * length} or less"
            )
        self.seed = seed
        self._newest = (-1, np.empty(0, np.int64))  # the block that was worked out last, as the next step begins in it

    def windows_at(self, step: int) -> NDArray[np.int64]:
        """Window of each row of batch `step`: every window once an epoch, in another order each epoch."""
        start, end = step * self.rows, (step + 1) * self.rows
        first = start // _BLOCK
        blocks = np.concatenate([self._block(number) for number in range(first, (end - 1) // _BLOCK + 1)])
        return blocks[start - first * _BLOCK : end - first * _BLOCK]

    def _block(self, number: int) -> NDArray[np.int64]:
        if self._newest[0] != number:
            self._newest = (number, self._permuted(number * _BLOCK, (number + 1) * _BLOCK))
        return self._newest[1]

    def _permuted(self, start: int, end: int) -> NDArray[np.int64]:
        count = len(self.windows)
        epochs, places = np.divmod(np.arange(start, end), count)
        for epoch in np.unique(epochs):
            now = epochs == epoch
            places[now] = permute(places[now], count, f"{self.seed}/{epoch}")
        return places

    def batch(self, step: int, rank: int = 0, world: int = 1) -> NDArray[np.int64]:
        """Rows (B, T + 1) of batch `step` that are due to `rank` of `world` processes.

        Raises:
            ValueError: the ranks would get unequal numbers of rows, which their averaged gradients can't make up for.
        """
        self.rows_of_rank(world)
        return self.windows.read(self.windows_at(step)[rank::world])

    def rows_of_rank(self, world: int) -> int:
        """Rows of a batch for each of `world` ranks. Raises ValueError if some would get more than others."""
        if self.rows % world:
            fits = [n for n in range(1, self.rows + 1) if self.rows % n == 0 and n <= 2 * world]
            raise ValueError(
                f"a batch of {self.rows} windows can't be shared evenly by {world} ranks: "
                f"start {' or '.join(map(str, fits))} of them, or change batch_tokens"
            )
        return self.rows // world

    def spans_at(self, step: int) -> list[list[Span]]:
        """The documents of each row of batch `step`."""
        return [self.windows.spans_of(int(window)) for window in self.windows_at(step)]

    def digest(self, step: int) -> str:
        """sha256 of the tokens of the whole batch `step`, in order, as little-endian uint16."""
        return hashlib.sha256(self.batch(step).astype("<u2").tobytes()).hexdigest()


def permute(index: NDArray[np.int64], n: int, key: str) -> NDArray[np.int64]:
    """Where the permutation of 0..n-1 that `key` names sends each of `index`.

    A Feistel network permutes the numbers of an even number of bits; a number that it sends to n or above is sent on
    until it falls below n ("cycle walking"): fewer than four passes on average, as no more than 4 n numbers take part.

    Source: Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002.
    """
    half = np.uint64(max(1, -(-(n - 1).bit_length() // 2)))
    keys = np.frombuffer(hashlib.blake2b(key.encode(), digest_size=8 * _ROUNDS).digest(), "<u8")
    out = _feistel(index.astype(np.uint64), half, keys)
    while (outside := np.flatnonzero(out >= n)).size:
        out[outside] = _feistel(out[outside], half, keys)
    return out.astype(np.int64)


def _feistel(x: NDArray[np.uint64], half: np.uint64, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A permutation of the numbers of 2 * half bits."""
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = x >> half, x & mask
    for key in keys:
        left, right = right, left ^ (_mix(right + key) & mask)
    return (left << half) | right


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Each bit of the result depends on each bit of x: the finalizer of splitmix64 (Steele, Lea and Flood, 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
