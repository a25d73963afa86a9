"""The loss curve of a run, out of its log.jsonl. No torch: a curve can be drawn where no model could be trained."""

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

LOG: Final = "log.jsonl"
LONGEST_LINE: Final = 1 << 20  # characters; a line of ours has some hundreds

Point = tuple[float, float]  # tokens seen, loss in nats per token


@dataclass(frozen=True, slots=True)
class Curve:
    """What one run logged, in order of its tokens."""

    name: str
    train: tuple[Point, ...]
    val: tuple[Point, ...]


def lines(run: Path) -> Iterator[dict[str, Any]]:
    """The lines of a run's log: its folder, or a log file. A last line that a kill has cut is left out.

    Raises:
        ValueError: no log, or a line that is none of a log.
    """
    path = _log_of(run)
    try:
        for number, line in enumerate(whole_lines(path), 1):
            yield parsed(line, path, number)
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing: give the folder that `webtext pretrain --out` wrote to") from error


def whole_lines(path: Path) -> Iterator[str]:
    """The lines of a log with their ends, but for a last one that a kill has cut.

    Raises:
        ValueError: a line is no text, or too long; or the log is a pipe, which may never end.
        OSError: it can't be read.
    """
    if path.name == LOG and path.is_fifo():
        raise ValueError(f"{path} is a pipe: this is no log of a run")
    try:
        with path.open(encoding="utf-8", newline="\n") as stream:
            for number in itertools.count(1):
                line = stream.readline(LONGEST_LINE)
                if not line.endswith("\n"):
                    if len(line) >= LONGEST_LINE:
                        raise ValueError(f"{path}, line {number}: longer than {LONGEST_LINE:,} characters")
                    return
                yield line
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: this is no log of a run") from error


def _log_of(run: Path) -> Path:
    return run / LOG if run.is_dir() else run


def read(run: Path) -> Curve:
    """The curve of a run. Raises as `lines` does, and ValueError for a log without a loss."""
    train: dict[float, float] = {}
    val: dict[float, float] = {}
    for metrics in lines(run):
        _take(metrics, train, val)
    if not train and not val:
        raise ValueError(f"{_log_of(run)} has no line with tokens and a loss yet")
    name = run.resolve().name if run.is_dir() else run.stem
    return Curve(name, tuple(sorted(train.items())), tuple(sorted(val.items())))


def smooth(points: tuple[Point, ...], weight: float) -> tuple[Point, ...]:
    """Exponential moving average: the share `weight` stays of what was before. Its start is not drawn towards 0.

    Source: the bias correction of Adam (Kingma and Ba, 2015), as TensorBoard smooths.
    """
    mean, out = 0.0, []
    for number, (tokens, loss) in enumerate(points, 1):
        mean = weight * mean + (1 - weight) * loss
        out.append((tokens, mean / (1 - weight**number)))
    return tuple(out)


def thin(points: tuple[Point, ...], most: int) -> tuple[Point, ...]:
    """At most `most` points: the means of equally long runs of points, so that a long run makes no large file."""
    size = -(-len(points) // most)
    if size <= 1:
        return points
    groups = [points[first : first + size] for first in range(0, len(points), size)]
    return tuple((sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups)


def parsed(line: str, path: Path, number: int) -> dict[str, Any]:
    """One line of a log. Raises ValueError if it is none."""
    try:
        metrics = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}, line {number}: no JSON ({line[:60]!r}); this is no log of a run") from error
    if not isinstance(metrics, dict):
        raise ValueError(f"{path}, line {number}: {line[:60]!r} is no JSON object; this is no log of a run")
    return metrics


def _take(metrics: dict[str, Any], train: dict[float, float], val: dict[float, float]) -> None:
    """Keep the losses of a line. Of two lines of one step, the later counts: a run that was resumed says it again."""
    tokens = _number(metrics.get("tokens"))
    if tokens is None:
        return
    for name, points in (("loss", train), ("val_loss", val)):
        if (loss := _number(metrics.get(name))) is not None:
            points[tokens] = loss


def _number(value: object) -> float | None:
    """The value if it is a finite number that fits a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
