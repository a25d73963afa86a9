"""What a stage is: parts in, files and receipts out. No Beam here; beam_stage.py runs a stage on an engine.

A stage is complete when each of its parts has a receipt. A receipt is the last file that a part writes and lists the
others with their sizes, so a part counts as done only if receipt and files are there. A shuffle stage differs in one
point: before its parts run, every source emits packed bytes per part (see packed.py), and the part receives them.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from webtext.pipeline.files import storage
from webtext.pipeline.files.tabular import TableWriter
from webtext.schemas import tables
from webtext.schemas.manifest import (
    RECEIPT,
    STAGE_MANIFEST,
    File,
    ManifestError,
    Receipt,
    StageManifest,
    Tally,
    add_up,
    digest_of,
    file_sha256,
)
from webtext.schemas.records import Reason, Rejected

REJECTED = "rejected.parquet"
_LOG = logging.getLogger(__name__)
_DETAIL = 300  # characters kept of the detail of a rejection
URL_KEPT = 2048
"""Characters kept of the URL of a rejection."""


class StageError(RuntimeError):
    """A stage that can't be completed: the message says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Part:
    """The unit of work and of restart."""

    name: str  # the stem of its files; depends on the stage and the ordinal only
    ordinal: int
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # paths, by what they hold


@dataclass(frozen=True, slots=True)
class Shuffle:
    """How a shuffle stage runs: what each source sends to each part, and what the part makes of that."""

    sources: tuple[Part, ...]
    emit: Callable[[Part, frozenset[int]], list[tuple[int, bytes]]]
    """(source, ordinals of the parts that are wanted) -> (ordinal of the part, packed columns). Pure."""
    run: Callable[[Part, "PartOutput", Sequence[bytes]], None]
    """(part, output, packed columns that came for it, in no set order) -> files and ledger in `output`."""
    bytes: int
    """What all sources send to all parts, about."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of the recipe. `run` and `emit` are pure but for the files that PartOutput writes, and can be pickled."""

    name: str
    folder: str  # of its receipts and manifest
    settings: Mapping[str, Any]  # what of the configuration its result depends on
    inputs: Sequence[str]  # fingerprints of what it reads
    parts: tuple[Part, ...]
    run: Callable[[Part, "PartOutput"], None] | Shuffle
    """(part, output) -> files and ledger in `output`."""
    unit: str  # what its ledger counts, in the plural, for people
    expects: Mapping[str, int] = field(default_factory=dict)
    """Ledger figures known beforehand ("taken", or the name of a count): a difference is a lost record."""
    data_folder: str = ""  # of its files, if not `folder`
    live: Callable[[float], str] | None = None
    """Time in seconds since 1970 -> what the parts that run on this machine say of themselves, for people."""
    tidy: Callable[["Stage"], None] | None = None
    """Removes what parts keep for a restart, once the stage is complete."""

    @property
    def fingerprint(self) -> str:
        """Equal for equal settings and inputs only."""
        return digest_of([self.name, self.settings, list(self.inputs), len(self.parts)])

    @property
    def shuffle(self) -> Shuffle | None:
        """The shuffle, where it is a stage that has one."""
        return self.run if isinstance(self.run, Shuffle) else None

    @property
    def files(self) -> str:
        """The folder that its file names are relative to."""
        return self.data_folder or self.folder


def numbered(inputs: Iterable[Mapping[str, Sequence[str]]]) -> tuple[Part, ...]:
    """Parts 00000, 00001, ... with these inputs each."""
    return tuple(
        Part(f"{n:05d}", n, {name: tuple(paths) for name, paths in own.items()}) for n, own in enumerate(inputs)
    )


def paths_of(work: str, manifest: StageManifest, ending: str, *, filled: bool = False) -> list[str]:
    """Paths of the files of a stage whose names end so, in order of the names; `filled`: only of those with rows."""
    files = (file for file in manifest.named(ending) if file.rows or not filled)
    return [storage.join(work, manifest.stage, file.name) for file in files]


class PartOutput:
    """Where a part's files and figures go. The figures become the ledger of its receipt."""

    def __init__(self, stage: Stage, part: Part) -> None:
        self._stage = stage
        self._part = part
        self._files: list[File] = []
        self._sums: dict[str, str] = {}
        self._tables = ExitStack()
        self._rejected: TableWriter | None = None
        self._reasons: Counter[Reason] = Counter()
        self.taken = 0
        self.passed = 0
        self.rows = 0
        self.counts: Counter[str] = Counter()

    @contextmanager
    def file(self, name: str) -> Iterator[storage.HashingSink]:
        """Publish one file of the stage. Whoever writes a table states its `rows`."""
        with storage.publish(storage.join(self._stage.files, name)) as sink:
            yield sink
        self._files.append(File(name, sink.size, sink.sha256, sink.rows))
        self._sums[name] = sink.sums

    @contextmanager
    def table(self, ending: str, schema: pa.Schema) -> Iterator[TableWriter]:
        """Publish the Parquet table `<part>.<ending>.parquet`."""
        name = f"{self._part.name}.{ending}.parquet"
        with self.file(name) as sink:
            writer = TableWriter(sink, schema)
            yield writer
            writer.close()
            sink.rows = writer.rows

    def reject(self, row: Rejected, records: int = 1) -> None:
        """Write one row of the rejected table. It stands for so many records of this stage's ledger (0: none)."""
        if self._rejected is None:
            self._rejected = self._tables.enter_context(self.table("rejected", tables.REJECTED))
        self._rejected.add(row.stage, str(row.reason), row.key, row.url[:URL_KEPT], row.detail[:_DETAIL])
        self._reasons[row.reason] += records

    def run(self, blocks: Sequence[bytes] = ()) -> Receipt:
        """Run the part to its receipt; `blocks` is what a shuffle brought for it.

        Raises:
            StageError: the ledger of this part is not closed.
        """
        stage, part = self._stage, self._part
        with self._tables:
            if isinstance(stage.run, Shuffle):
                stage.run.run(part, self, blocks)
            else:
                stage.run(part, self)
        pa.default_memory_pool().release_unused()  # Arrow keeps what it freed: some 80 MiB of a worker for nothing
        rejected = {str(reason): self._reasons[reason] for reason in Reason if self._reasons[reason]}
        tally = Tally(self.taken, self.passed, self.rows, rejected, dict(sorted(self.counts.items())))
        if tally.balance():
            raise StageError(
                f"stage {stage.name}, part {part.name}: took {tally.taken} {stage.unit} but accounts for "
                f"{tally.passed} passed + {sum(rejected.values())} rejected"
            )
        receipt = Receipt(stage.name, part.name, stage.fingerprint, tally, tuple(self._files), self._sums)
        storage.publish_bytes(storage.join(stage.folder, part.name + RECEIPT), receipt.to_json())
        return receipt


# What an engine calls, in a worker process that never needs to import Beam. Each takes one element and returns a list.


def run_part(stage: Stage, part: Part) -> list[str]:
    """Run one part to its receipt, whatever came before: the result is the same each time. Returns its name."""
    PartOutput(stage, part).run()
    return [part.name]


def emit_blocks(shuffle: Shuffle, wanted: frozenset[int], source: Part) -> list[tuple[int, bytes]]:
    """What one source sends to the parts that are wanted."""
    return shuffle.emit(source, wanted)


def run_shuffled_part(stage: Stage, element: tuple[int, Iterable[bytes]]) -> list[str]:
    """Run one part of a shuffle stage on what the sources sent to it. Returns its name."""
    ordinal, blocks = element
    part = stage.parts[ordinal]
    PartOutput(stage, part).run(list(blocks))
    return [part.name]


def read_receipt(folder: str, part: str) -> Receipt | None:
    """The receipt of a part that has one; None if it is damaged, of which only this is known: the part is to be redone.

    Raises:
        OSError: it can't be read.
    """
    try:
        return Receipt.from_json(storage.read_bytes(storage.join(folder, part + RECEIPT)))
    except ManifestError:
        return None


def receipts_of(stage: Stage) -> dict[str, Receipt]:
    """Receipts, by part, of the parts that are done: same fingerprint, all files there in their size.

    Files that no stage reads any more, those of a corpus, are read here if they are local, and must be as written. The
    others are held against their receipts by who reads them.
    """
    names = storage.listing(stage.folder)
    sizes: dict[str, dict[str, int]] = {}  # by folder, listed once each
    done: dict[str, Receipt] = {}
    for part in stage.parts:
        if part.name + RECEIPT not in names:
            continue
        receipt = read_receipt(stage.folder, part.name)
        if receipt is None:
            continue
        for folder in {_folder(stage, file) for file in receipt.files} - sizes.keys():
            sizes[folder] = storage.listing(folder)
        whole = all(sizes[_folder(stage, f)].get(f.name.rsplit("/", 1)[-1]) == f.bytes for f in receipt.files)
        if receipt.fingerprint == stage.fingerprint and whole and (not stage.data_folder or _intact(stage, receipt)):
            done[part.name] = receipt
    return done


def _intact(stage: Stage, receipt: Receipt) -> bool:
    for file in receipt.files:
        path = storage.join(stage.files, file.name)
        if storage.is_local(path) and file_sha256(Path(path)) != file.sha256:
            _LOG.warning("%s is damaged: its part is done again", path)
            return False
    return True


def _folder(stage: Stage, file: File) -> str:
    return storage.join(stage.files, *file.name.split("/")[:-1])


def complete(stage: Stage) -> StageManifest:
    """Check the ledger of a stage whose parts have all run, and publish its manifest.

    Raises:
        StageError: a part has no receipt, or the ledger differs from what is expected.
    """
    receipts = receipts_of(stage)
    missing = [part.name for part in stage.parts if part.name not in receipts]
    if missing:
        raise StageError(
            f"stage {stage.name}: {len(missing)} of {len(stage.parts)} parts are not done (first: {missing[0]}); "
            "run the same command again to do only those"
        )
    tally = add_up(receipts[part.name].tally for part in stage.parts)
    for name, expected in stage.expects.items():
        got = tally.taken if name == "taken" else tally.counts.get(name, 0)
        if got != expected:
            # The parts may hold less than they should: withdraw them all, or a restart would trust them.
            storage.delete([storage.join(stage.folder, part.name + RECEIPT) for part in stage.parts])
            raise StageError(
                f"stage {stage.name}: {name} is {got}, the stages before say {expected}: the engine lost or doubled "
                "records; the stage will be redone when the same command runs again"
            )
    for folder in {stage.folder} | {_folder(stage, file) for receipt in receipts.values() for file in receipt.files}:
        storage.clean_up(folder)
    unsummed = tuple(replace(receipts[part.name], sums={}) for part in stage.parts)
    manifest = StageManifest(stage.name, stage.fingerprint, unsummed)
    storage.publish_bytes(storage.join(stage.folder, STAGE_MANIFEST), manifest.to_json())
    _tidy(stage)
    return manifest


def _tidy(stage: Stage) -> None:
    if stage.tidy is not None:
        stage.tidy(stage)


def completed(stage: Stage) -> StageManifest | None:
    """The manifest of this very stage if it was completed before and its files are still there."""
    path = storage.join(stage.folder, STAGE_MANIFEST)
    if not storage.exists(path):
        return None
    try:
        manifest = StageManifest.from_json(storage.read_bytes(path))
    except ManifestError:
        return None
    if manifest.fingerprint != stage.fingerprint or len(receipts_of(stage)) != len(stage.parts):
        return None
    _tidy(stage)
    return manifest
