"""`webtext pretrain`: train GPT-2 on a corpus."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from model.settings import GPT2Config, TrainSettings


@dataclass(frozen=True)
class PretrainConfig:
    """Train GPT-2 on a corpus. A run that was stopped, by a signal or a power cut, continues with the same command."""

    data: Path
    """Folder of the corpus, with its manifest.json."""
    out: Path
    """Folder of the run: checkpoints and log.jsonl."""
    model: GPT2Config = field(default_factory=GPT2Config)
    """Shape of the model."""
    train: TrainSettings = field(default_factory=TrainSettings)
    """How to train it."""


def run(config: PretrainConfig) -> int:
    """Train, or go on training. Returns 0, or 128 + the signal that stopped the run."""
    from model.trainer import train  # torch, which --help must not wait for

    with _progress(config.train.steps) as show:
        outcome = train(config.data, config.out, config.model, config.train, show)
    if outcome.signal:
        print(f"stopped after step {outcome.step} of {config.train.steps}; the same command continues")
        return 128 + outcome.signal
    losses = "".join(f", {name} {value:.4f}" for name, value in outcome.metrics.items() if name.endswith("loss"))
    print(f"{config.out}: {outcome.step} steps done{losses}")
    return 0


@contextmanager
def _progress(steps: int) -> Iterator[Callable[[dict[str, float]], None]]:
    """A progress bar with the time left, and a line for each validation, on standard error."""
    columns = (
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("starting", total=steps)
        before: int | None = None

        def show(metrics: dict[str, float]) -> None:
            nonlocal before
            if before is None and (before := int(metrics["step"]) - 1):
                progress.console.print(f"continuing after step {before}", highlight=False)
            text = f"loss {metrics['loss']:.4f}  {metrics['tokens_per_second']:,.0f} tokens/s"
            progress.update(task, completed=int(metrics["step"]), description=text)
            if "val_loss" in metrics:
                line = f"step {metrics['step']}: loss {metrics['loss']:.4f}, val_loss {metrics['val_loss']:.4f}"
                progress.console.print(line, highlight=False)

        yield show
