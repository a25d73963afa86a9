"""RUN/log.jsonl, the record of a run, and other programs that show it."""

import atexit
import hashlib
import json
import logging
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from webtext.model.curve import parsed, whole_lines
from webtext.model.state import Change

MENDING: Final = "mend the line, or move the log away and the run begins another"

_log = logging.getLogger(__name__)

Metrics = dict[str, float]  # one line of the log
Viewer = Literal["tensorboard", "wandb"]


def as_json(metrics: Metrics) -> dict[str, float | None]:
    """The figures as JSON has them: null for those that are not finite."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


class Log:
    """One line for each step, in order, exactly once."""

    def __init__(self, path: Path | None, step: int) -> None:
        """Continue the log at `path` after `step`: later lines are of steps that no checkpoint holds.

        Without a path, for ranks but the first, nothing is written.

        Raises:
            ValueError: a line that is to be kept is damaged.
            OSError: the log can't be read or written.
        """
        kept = []
        self.last = 0  # step of the last line
        self._file = None
        if path is None:
            return
        if path.exists():
            for number, line in enumerate(whole_lines(path), 1):
                last = parsed(line, path, number).get("step")
                if not isinstance(last, int) or last <= self.last:
                    raise ValueError(f"{path}, line {number}: step is {last!r} after {self.last}: {MENDING}")
                if last > step:
                    break  # not of this run's past
                kept.append(line)
                self.last = last
        if self.last < step - 1:  # the line of the step itself may still be owed
            _log.warning("%s ends after step %d, the checkpoint is of step %d: lines are lost", path, self.last, step)
        temporary = path.with_suffix(".tmp")
        temporary.write_text("".join(kept), encoding="utf-8")
        temporary.rename(path)
        self._file = path.open("a")

    def write(self, metrics: Metrics, changes: Sequence[Change] = ()) -> None:
        """Append one line, with the settings that changed before it; it outlives the process at once."""
        if self._file is not None:
            changed = {"changed": {one.setting: [one.before, one.after] for one in changes}} if changes else {}
            self._file.write(json.dumps(as_json(metrics) | changed) + "\n")
            self._file.flush()

    def flush_to_disk(self) -> None:
        """Make the log outlive the machine too."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def viewer(name: Viewer, run: Path, config: dict[str, Any]) -> Callable[[Metrics], None]:
    """A function that hands a line of the log to TensorBoard's files in `run`, or to Weights & Biases.

    Raises:
        ValueError: its package is not installed.
    """
    try:
        return _tensorboard(run) if name == "tensorboard" else _wandb(run, config)
    except ImportError as error:
        raise ValueError(
            f"--log {name} needs its package: pip install {name}. log.jsonl is written anyway ({error})"
        ) from error


def _tensorboard(run: Path) -> Callable[[Metrics], None]:
    from torch.utils.tensorboard import SummaryWriter

    writer: SummaryWriter | None = None

    def show(metrics: Metrics) -> None:
        nonlocal writer
        if writer is None:  # what a killed run showed of later steps is taken back
            writer = SummaryWriter(str(run / "tensorboard"), purge_step=int(metrics["step"]))
            atexit.register(writer.close)
        for key, value in metrics.items():
            if key != "step":
                writer.add_scalar(key, value, int(metrics["step"]))

    return show


def _wandb(run: Path, config: dict[str, Any]) -> Callable[[Metrics], None]:
    import wandb  # type: ignore[import-not-found,unused-ignore]

    # The folder identifies the run, so that going on goes on there too.
    name = hashlib.sha256(os.fsencode(run.resolve())).hexdigest()[:16]
    session = wandb.init(project="webtext", id=name, name=run.name, resume="allow", dir=run, config=config)
    return lambda metrics: session.log(metrics, step=int(metrics["step"]))


def together(shows: Sequence[Callable[[Metrics], None]]) -> Callable[[Metrics], None]:
    """One function that calls all of `shows`."""

    def show(metrics: Metrics) -> None:
        for one in shows:
            one(metrics)

    return show
