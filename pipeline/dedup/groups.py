"""Documents and who is in charge of them while copies are looked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from webtext.pipeline.engine.stage import paths_of
from webtext.pipeline.flow import DOCUMENTS_TABLE
from webtext.schemas.manifest import StageManifest

U64 = npt.NDArray[np.uint64]


def ids_of(part: int, first: int, count: int) -> U64:
    """The ids of so many documents of a part from row `first` on: ordinal of the part << 32 | row, so in key order."""
    return np.arange(first, first + count, dtype=np.uint64) + np.uint64(part << 32)


def parts_of(ids: U64) -> npt.NDArray[np.int64]:
    """Ordinals of the documents parts that have these documents."""
    return (ids >> np.uint64(32)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much one part of these stages is meant to hold. Decides memory and time, and nothing of the result."""

    documents: int = 10_000  # of a group, about: its sketches take 160 MB at the very most, and 20 MB as a rule
    lines: int = 1_000_000  # of a part of `repeats`: 16 MB


DEFAULT = Sizes()


@dataclass(frozen=True, slots=True)
class Groups:
    """Runs of documents parts."""

    paths: tuple[str, ...]  # of all documents parts
    documents: int  # in all of them
    count: int

    @classmethod
    def of_stage(cls, work: str, documents: StageManifest, sizes: Sizes = DEFAULT) -> Self:
        """The groups of the documents that a stage has written."""
        return cls.plan(paths_of(work, documents, DOCUMENTS_TABLE), documents.tally.rows, sizes)

    @classmethod
    def plan(cls, paths: Sequence[str], documents: int, sizes: Sizes = DEFAULT) -> Self:
        """As many groups as hold so many documents each, at most one per part."""
        return cls(tuple(paths), documents, max(1, min(len(paths), -(-documents // sizes.documents))))

    def __getitem__(self, ordinal: int) -> list[tuple[int, str]]:
        """The documents parts of a group, by ordinal."""
        start, end = self._start(ordinal), self._start(ordinal + 1)
        return list(enumerate(self.paths[start:end], start))

    def _start(self, ordinal: int) -> int:
        return len(self.paths) * ordinal // self.count

    def of(self, ids: U64) -> npt.NDArray[np.int64]:
        """Ordinal of the group of each document."""
        starts = np.array([self._start(ordinal) for ordinal in range(self.count)])
        return np.searchsorted(starts, parts_of(ids), side="right") - 1
