"""`webtext pretrain`: train GPT-2 on a corpus."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from os import environ
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from webtext.jobs.terminal import say
from webtext.model.settings import GPT2Config, TrainSettings
from webtext.schemas.visible import visible


@dataclass(frozen=True)
class PretrainConfig:
    """Train GPT-2 on a corpus. A run that was stopped, by a signal or a power cut, continues with the same command.

    Several GPUs: torchrun --standalone --nproc-per-node 8 -m webtext.jobs.cli pretrain FLAGS.
    """

    data: Path
    """Folder of the corpus, with its manifest.json."""
    out: Path
    """Folder of the run: checkpoints and log.jsonl."""
    log: Literal["jsonl", "tensorboard", "wandb", "tensorboard,wandb"] = "jsonl"
    """Who gets the log beside log.jsonl, which is always written."""
    replay_step: int = 0
    """Train nothing: list the documents of this step, counted from 1, and the sha256 of its tokens. 0 to train."""
    model: GPT2Config = field(default_factory=GPT2Config)
    """Shape of the model."""
    train: TrainSettings = field(default_factory=TrainSettings)
    """How to train it."""


def run(config: PretrainConfig) -> int:
    """Train, or go on training. Returns 0, or 128 + the signal that stopped the run."""
    if config.replay_step:
        return _replay(config)
    from webtext.model.log import Viewer, together, viewer  # torch, which --help must not wait for
    from webtext.model.trainer import train

    first = environ.get("RANK", "0") == "0"
    names: list[Viewer] = [name for name in ("tensorboard", "wandb") if name in config.log.split(",") and first]
    viewers = [
        viewer(name, config.out, {"model": asdict(config.model), "train": asdict(config.train)}) for name in names
    ]
    with _progress(config.train.steps) if first else nullcontext(lambda metrics: None) as show:
        outcome = train(config.data, config.out, config.model, config.train, together([show, *viewers]))
    if first:
        _tell(config, outcome.step, outcome.signal, outcome.metrics, outcome.seconds)
    return 128 + outcome.signal if outcome.signal else 0


def _tell(config: PretrainConfig, step: int, signal: int, metrics: dict[str, float], seconds: dict[str, float]) -> None:
    if signal:
        say(f"stopped after step {step} of {config.train.steps}; the same command continues")
    else:
        losses = "".join(f", {name} {value:.4f}" for name, value in metrics.items() if name.endswith("loss"))
        say(f"{config.out}: {step} steps done{losses}")
    whole = seconds["seconds"]
    kinds = {name.removeprefix("seconds_"): value for name, value in seconds.items() if name != "seconds"}
    shares = ", ".join(f"{kind} {value / whole:.1%}" for kind, value in kinds.items() if value)
    print(f"{whole:.1f} s: {shares}")
    if metrics:
        share = f", {metrics['mfu']:.1%} of the measured matmul ceiling" if "mfu" in metrics else ""
        print(f"{metrics['tokens_per_second']:,.0f} tokens/s{share}")


def _replay(config: PretrainConfig) -> int:
    """Print what the batch of a step is made of, as tab-separated lines."""
    from webtext.model.data import Batches, Corpus, Windows

    if not 1 <= config.replay_step <= config.train.steps:
        raise ValueError(f"replay_step is {config.replay_step}, allowed is 1 to train.steps {config.train.steps}")
    corpus = Corpus.open(config.data)
    corpus.verify()
    windows = Windows(corpus, "train", config.model.n_ctx)
    batches = Batches(windows, config.train.batch_tokens, config.train.seed)
    step = config.replay_step - 1
    print(f"# step {config.replay_step}: {batches.rows} windows, sha256 of their tokens {batches.digest(step)}")
    print("row\ttokens\tshard\toffset\turl")
    for row, spans in enumerate(batches.spans_at(step)):
        for span in spans:
            say(f"{row}\t{span.tokens}\t{visible(span.shard)}\t{span.offset}\t{visible(span.url)}", keep="\t")
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
