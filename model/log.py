"""RUN/log.jsonl, the record of a run, and other programs that show it."""

import atexit
import hashlib
import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

LOG: Final = "log.jsonl"

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
        """
        kept = []
        self.last = 0  # step of the last line
        self._file = None
        if path is None:
            return
        if path.exists():
            for line in path.read_text().splitlines(keepends=True):
                if not line.endswith("\n") or json.loads(line)["step"] > step:
                    break  # cut by a kill, or not of this run's past
                kept.append(line)
                self.last = json.loads(line)["step"]
        temporary = path.with_suffix(".tmp")
        temporary.write_text("".join(kept))
        temporary.rename(path)
        self._file = path.open("a")

    def write(self, metrics: Metrics) -> None:
        """Append one line; it outlives the process at once."""
        if self._file is not None:
            self._file.write(json.dumps(as_json(metrics)) + "\n")
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
