"""state.json of a checkpoint: what a run has to know to go on exactly, beside the tensors."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from webtext.model.settings import GPT2Config, TrainSettings
from webtext.schemas.manifest import check_digest, digest_of, read_local, read_object

FORMAT: Final = "webtext-checkpoint/3"
MOST_BYTES: Final = 16 * 2**20  # a larger state is refused unread
MOST_THREADS: Final = 4096


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that a run went on with, other than before."""

    step: int  # updates done when it changed
    setting: str  # such as train.lr
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class State:
    """What a run has to know to go on exactly, beside the tensors.

    There is no random state and no loader state: dropout and the order of the windows are functions of seed and step.
    """

    step: int  # updates done
    model: GPT2Config
    train: TrainSettings  # of the last step
    corpus_sha256: str  # of the content part of the corpus manifest
    arithmetic: dict[str, str | int]  # device, dtype, threads and PyTorch version: equal losses need equal ones
    metrics: dict[str, float | None]  # of the last step, for readers; None for what is no finite number
    skipped: int = 0  # steps in a row, up to the last, whose loss or gradient was not finite
    changes: tuple[Change, ...] = ()
    files: dict[str, str] = field(default_factory=dict)  # sha256 of each file of tensors

    def __post_init__(self) -> None:
        for name in ("step", "skipped"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, allowed is 0 or more")
        threads = self.arithmetic.get("threads", 1)
        if not isinstance(threads, int) or not 1 <= threads <= MOST_THREADS:
            raise ValueError(f"threads is {threads!r}, allowed is 1 to {MOST_THREADS}")

    def to_json(self) -> bytes:
        """Indented JSON with its own digest."""
        state = json.loads(json.dumps(asdict(self)))  # what a reader will see, for the digest
        return json.dumps({"format": FORMAT, "sha256": digest_of(state), "state": state}, indent=1).encode() + b"\n"

    @classmethod
    def read(cls, path: Path) -> Self:
        """The state in the file `path`.

        Raises:
            ValueError: it is none of this version, it was edited, or a value is of another type or out of its range.
            OSError: it can't be read.
        """
        whole = read_object(read_local(path, MOST_BYTES))
        if whole.get("format") != FORMAT:
            raise ValueError(f"{path.name} has format {whole.get('format')!r}, this version reads {FORMAT!r}")
        check_digest(path.name, whole.get("state"), whole.get("sha256"))
        try:
            return msgspec.convert(whole.get("state"), cls)
        except msgspec.ValidationError as error:
            raise ValueError(f"{path.name}: {error}") from error
