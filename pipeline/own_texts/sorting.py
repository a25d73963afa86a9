"""Stage `texts`: documents that are text already, sorted for stage `documents` (see merging.py).

What it writes are files of rounds, see engine/exchange.py, in ranges of keys that are small enough to be held: a part
of the documents is some ranges in a row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final

from webtext.pipeline.engine import damage, exchange
from webtext.pipeline.engine.stage import Part, PartOutput, Stage, numbered
from webtext.pipeline.files import storage
from webtext.pipeline.flow import TEXTS
from webtext.pipeline.own_texts.readers import UNCOMPRESSED, read_texts
from webtext.pipeline.own_texts.record import DamagedFileError, Text
from webtext.pipeline.own_texts.settings import TextFields
from webtext.schemas import tables
from webtext.schemas.records import Reason, Rejected

ENDING: Final = ".texts.arrow"

_RANGE_BYTES: Final = 128 * 2**20  # of text that a part holds at a time, about
_MAX_RANGES: Final = 2**20
_COMPRESSION: Final = 6  # of what does not look like plain text: a guess that only memory depends on
_GROUP_BYTES: Final = 64 * 2**20  # of input files that are read as one part
_GROUP_FILES: Final = 1000


@dataclass(frozen=True, slots=True)
class TextsPlan:
    """What the stage depends on, beside the files."""

    fields: TextFields
    base: str  # folder that the ids of plain text files begin behind
    parts: int  # of the stage `documents`
    share: int  # ranges of keys that one of them takes, one after the other

    @property
    def ranges(self) -> int:
        """How many ranges all keys are cut into."""
        return self.parts * self.share


def groups(files: Sequence[storage.Found]) -> list[list[str]]:
    """The input files as parts: many small ones are one part, a big one is a part of its own."""
    made: list[list[str]] = []
    room = 0
    for file in files:
        if not made or file.bytes > room or len(made[-1]) == _GROUP_FILES:
            made.append([])
            room = _GROUP_BYTES
        made[-1].append(file.path)
        room -= file.bytes
    return made


def share(files: Sequence[storage.Found], parts: int) -> int:
    """How many ranges of keys in each part keep a range at about 128 MiB of text."""
    total = sum(file.bytes * (1 if file.path.lower().endswith(UNCOMPRESSED) else _COMPRESSION) for file in files)
    return max(1, min(_MAX_RANGES // parts, -(-total // (parts * _RANGE_BYTES))))


def texts_stage(plan: TextsPlan, files: Sequence[storage.Found], work: str) -> Stage:
    """Texts that a person has, sorted into hash ranges of their URLs or ids."""
    return Stage(
        name=TEXTS,
        folder=storage.join(work, TEXTS),
        settings=asdict(plan),
        inputs=[found.line() for found in files],
        parts=numbered({"files": group} for group in groups(files)),
        run=partial(run_texts, plan),
        unit="records",
    )


def run_texts(plan: TextsPlan, part: Part, output: PartOutput) -> None:
    """Stage `texts`: the records of some files, sorted into ranges of keys. Inputs: the files."""
    with exchange.publish_rows(output, part.name + ENDING, tables.SORTED_TEXTS, plan.ranges) as rows:
        damaged: list[damage.Damaged] = []
        for path in part.inputs["files"]:
            for text in _records(path, plan, output, damaged):
                rows.add(
                    *(text.key, text.name, text.score, text.created_utc, text.title),
                    *(len(text.text), text.digest(), text.text),
                )
                output.passed += 1
    output.rows = output.passed
    damage.write(output, damaged)


def _records(path: str, plan: TextsPlan, output: PartOutput, damaged: list[damage.Damaged]) -> Iterator[Text]:
    """The texts of a file; what is none is rejected, and damage is noted."""
    before = output.taken
    try:
        for found in read_texts(path, path.removeprefix(plan.base), plan.fields):
            output.taken += 1
            if isinstance(found, Rejected):
                output.reject(found)
            else:
                output.counts["known_by_text"] += found.name.startswith("text:")
                yield found
    except DamagedFileError as error:
        read = output.taken - before - (not error.records)  # without the record that was cut
        damaged.append(damage.Damaged(path, max(0, read), error.why))
        output.taken += error.records
        output.counts["truncated_inputs"] += 1
        output.reject(Rejected(TEXTS, Reason.BAD_LINE, b"", "", str(error)), records=error.records)
