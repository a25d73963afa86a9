"""Inputs that are cut or damaged: what was read of each, kept beside a part's receipt and told when the build ends."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from webtext.pipeline.engine.stage import PartOutput, paths_of, read_receipt
from webtext.pipeline.files import storage, tabular
from webtext.schemas import tables
from webtext.schemas.manifest import RECEIPT, StageManifest

INPUTS: Final = "damaged_inputs"
"""Name of the list in what the manifest of a corpus says of its build."""

_TABLE: Final = "damaged"
_ENDING: Final = f".{_TABLE}.parquet"
_WHY: Final = 300  # characters
_TOLD: Final = 50  # inputs that a terminal names

ADVICE: Final = (
    "download a damaged input again, compare its size and sha256 with what its publisher states, "
    "then give the same command again: what hangs on it is done anew"
)


@dataclass(frozen=True, slots=True, order=True)
class Damaged:
    """One input file of which not everything could be read."""

    path: str
    read: int  # records that could be
    why: str

    def __str__(self) -> str:
        """What is wrong, in words."""
        records = "record was" if self.read == 1 else "records were"
        return f"{self.path} is damaged: {self.why}; {self.read:,} {records} read of it"


def write(output: PartOutput, damaged: Iterable[Damaged]) -> None:
    """Keep what a part found; no table where that is nothing."""
    rows = list(damaged)
    if rows:
        with output.table(_TABLE, tables.DAMAGED) as table:
            for row in rows:
                table.add(row.path, row.read, row.why[:_WHY])


def of_build(build: Mapping[str, Any]) -> list[Damaged]:
    """Out of what a manifest says of its build, which is free-form: another version may have written it."""
    entries = build.get(INPUTS)
    found = []
    for entry in entries if isinstance(entries, list) else []:
        fields: Mapping[Any, Any] = entry if isinstance(entry, Mapping) else {}
        path, read, why = (fields.get(name) for name in ("path", "read", "why"))
        if isinstance(path, str) and isinstance(read, int) and isinstance(why, str):
            found.append(Damaged(path, read, why))
    return found


def sentences(damaged: Sequence[Damaged]) -> Iterator[str]:
    """A line for each input, with what to do at the end."""
    for one in damaged[:_TOLD]:
        yield str(one)
    if damaged[_TOLD:]:
        yield f"and {len(damaged) - _TOLD:,} more damaged inputs, which the manifest names"
    if damaged:
        yield ADVICE


def of_stage(work: str, manifest: StageManifest) -> list[Damaged]:
    """What the parts of a stage found, in order of the paths."""
    return _read(paths_of(work, manifest, _ENDING))


def known(work: str, stage: str) -> list[Damaged]:
    """What those parts of a stage found that have finished, also if the stage has not."""
    folder = storage.join(work, stage)
    files: list[str] = []
    for name in storage.listing(folder):
        if name.endswith(RECEIPT) and (receipt := read_receipt(folder, name.removesuffix(RECEIPT))):
            files += [storage.join(folder, file.name) for file in receipt.files if file.name.endswith(_ENDING)]
    return _read(files)


def _read(paths: Iterable[str]) -> list[Damaged]:
    tables_ = (tabular.read_columns(path, tables.DAMAGED.names) for path in paths)
    return sorted(Damaged(**row) for table in tables_ for row in table.to_pylist())
