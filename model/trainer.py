"""Train GPT-2 on a corpus: one loop, read top to bottom.

A step is a pure function of the weights, the settings and the number of the step: the batch, the learning rate and the
dropout of step n need nothing that earlier steps left behind but weights and optimizer. So a run that is killed at any
moment and started again with the same command has the same losses; on a CPU with as many threads, bit for bit.
"""

import contextlib
import fcntl
import json
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import checkpoint as checkpoints
from model.checkpoint import Checkpoint, State
from model.data import Batches, Corpus, Windows
from model.gpt2 import GPT2, GPT2Config
from model.optim import adamw, learning_rate
from model.settings import FREE_TO_CHANGE, TrainSettings
from schemas import vocabulary

LOG: Final = "log.jsonl"

Metrics = dict[str, float]  # one line of the log

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    step: int  # updates done
    signal: int  # that stopped it, or 0 for a finished run
    metrics: Metrics  # the last line of the log; empty where there was nothing to do


def train(
    data: Path,
    run: Path,
    config: GPT2Config,
    settings: TrainSettings,
    show: Callable[[Metrics], None] = lambda metrics: None,
) -> Outcome:
    """Train on the corpus in `data`, into the folder `run`; goes on from the newest checkpoint there.

    SIGTERM and SIGINT save a checkpoint and end the run; a second one ends it at once. `show` gets each log line.

    Raises:
        ValueError: corpus, settings and run don't fit together, or the loss is no longer a number.
        OSError: a file can't be written; the last checkpoint stays.
    """
    if config.n_vocab < vocabulary.SIZE:
        raise ValueError(f"n_vocab is {config.n_vocab}, a corpus has GPT-2 ids: {vocabulary.SIZE} or more are needed")
    corpus = Corpus.open(data)
    batches = Batches(Windows(corpus, "train", config.n_ctx), settings.batch_tokens, settings.seed)
    val_batches = _validation(corpus, config, settings)
    device = choose_device(settings.device)
    dtype = _choose_dtype(settings.dtype, device)

    with _alone(run), _Signals() as signals:
        checkpoints.remove_unfinished(run)
        resumed = checkpoints.latest(run)
        if resumed is not None:
            _check_same(resumed, config, settings, corpus)
        arithmetic = _prepare_arithmetic(device, dtype, resumed)
        torch.manual_seed(settings.seed)
        model = GPT2(config)  # on the CPU, so that every device starts from the same weights
        model.to(device)
        optimizer = adamw(model, settings)
        step = 0
        if resumed is not None:
            checkpoints.restore(resumed, model, optimizer)
            step = resumed.state.step
        # Validation takes the plain model: other shapes would compile again.
        loss_of: Callable[[Tensor, Tensor], Tensor] = torch.compile(model.loss) if settings.compile else model.loss
        autocast = torch.autocast(device.type, dtype, enabled=dtype != torch.float32)

        metrics: Metrics = {}
        with _Log(run / LOG, step) as log:

            def save() -> None:
                log.flush_to_disk()  # first, so that the log has every step of a checkpoint
                whole = {"model": asdict(config), "train": asdict(settings)}
                state = State(step, whole, corpus.manifest.content_sha256(), arithmetic, metrics)
                checkpoints.save(run, state, model, optimizer, settings.keep)

            saved = step
            while step < settings.steps and not signals.caught:
                started = time.perf_counter()
                lr = learning_rate(step, settings)
                for group in optimizer.param_groups:
                    group["lr"] = lr

                # Gradient of the whole batch, one micro-batch after the other.
                loss = torch.zeros((), device=device)
                rows = torch.from_numpy(batches.batch(step))
                for micro, part in enumerate(torch.split(rows, settings.micro_batch)):
                    if signals.caught:
                        break
                    if config.dropout:
                        _seed_dropout(settings.seed, step, micro)
                    ids_BT = part.to(device, non_blocking=True)
                    with autocast:
                        part_loss = loss_of(ids_BT[:, :-1], ids_BT[:, 1:]) / settings.batch_tokens
                    part_loss.backward()  # type: ignore[no-untyped-call]
                    loss += part_loss.detach()
                if signals.caught:
                    break  # the weights are still those of the last whole step

                norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip or math.inf)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                step += 1
                metrics = {
                    "step": step,
                    "tokens": step * settings.batch_tokens,
                    "loss": loss.item(),
                    "lr": lr,
                    "grad_norm": norm.item(),
                }
                metrics["tokens_per_second"] = round(settings.batch_tokens / (time.perf_counter() - started), 1)
                if not math.isfinite(metrics["loss"] + metrics["grad_norm"]):
                    raise ValueError(
                        f"step {step}: loss {metrics['loss']}, gradient norm {metrics['grad_norm']}, "
                        f"learning rate {lr:.2e}, last checkpoint at {saved}. Lower lr or clip and start a new run"
                    )
                last = step == settings.steps
                if val_batches and (last or step % settings.eval_every == 0):
                    with autocast:
                        metrics["val_loss"] = evaluate(model, val_batches)
                log.write(metrics)
                show(metrics)
                if last or (settings.checkpoint_every and step % settings.checkpoint_every == 0):
                    save()
                    saved = step
            if step != saved:  # a signal
                save()
    return Outcome(step, signals.caught if step < settings.steps else 0, metrics)


@torch.no_grad()
def evaluate(model: GPT2, batches: list[NDArray[np.int64]]) -> float:
    """Mean cross-entropy in nats per token over `batches` of rows (B, T + 1)."""
    model.eval()
    total, tokens = 0.0, 0
    for batch in batches:
        ids_BT = torch.from_numpy(batch).to(model.wte.weight.device)
        total += model.loss(ids_BT[:, :-1], ids_BT[:, 1:]).item()
        tokens += ids_BT[:, 1:].numel()
    model.train()
    return total / tokens


def _validation(corpus: Corpus, config: GPT2Config, settings: TrainSettings) -> list[NDArray[np.int64]]:
    """The fixed validation set in batches, or none where it is switched off."""
    if not settings.eval_every:
        return []
    windows = Windows(corpus, "val", config.n_ctx)
    count = min(len(windows), settings.eval_windows or len(windows))
    if not count:
        raise ValueError(
            f"the validation split has {windows.tokens} tokens, one window takes {config.n_ctx + 1}: build the corpus "
            "with a larger val_fraction, lower n_ctx, or train without validation (--train.eval-every 0)"
        )
    return [
        windows.read(np.arange(first, min(first + settings.micro_batch, count)))
        for first in range(0, count, settings.micro_batch)
    ]


def choose_device(name: str) -> torch.device:
    """The PyTorch device `name`; auto is cuda where there is one. Raises ValueError if it can't be used."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} can't be used: {error}") from error
    return device


def _choose_dtype(name: str, device: torch.device) -> torch.dtype:
    bfloat16 = name == "bfloat16" or (name == "auto" and device.type == "cuda")
    return torch.bfloat16 if bfloat16 else torch.float32


def _prepare_arithmetic(device: torch.device, dtype: torch.dtype, resumed: Checkpoint | None) -> dict[str, Any]:
    """Fix what rounding depends on, and say what it is. A resumed run takes over the number of threads."""
    before = resumed.state.arithmetic if resumed else {}
    if device.type == "cpu":
        # Sums are split over the threads, so their number decides the last bits. Setting it, even to what it is, also
        # stops MKL from choosing another one by itself.
        torch.set_num_threads(before.get("threads", torch.get_num_threads()))
        torch.use_deterministic_algorithms(True)
        # On by default with the above: a pass over memory for each new tensor, to expose reads of what nobody wrote.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    else:
        torch.set_float32_matmul_precision("high")  # TensorFloat-32 for what autocast leaves in float32
    now = {
        "device": device.type,
        "dtype": str(dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    for name, value in before.items():
        if now.get(name) != value:
            _log.warning("%s was %s and is %s: the losses go on, not bit for bit", name, value, now.get(name))
    return now


def _seed_dropout(seed: int, step: int, micro: int) -> None:
    """Make the masks a function of what is being trained on, so that no random state needs to be kept."""
    (state,) = np.random.SeedSequence((seed, step, micro)).generate_state(1, np.uint64)
    torch.manual_seed(int(state))


def _check_same(resumed: Checkpoint, config: GPT2Config, settings: TrainSettings, corpus: Corpus) -> None:
    """Refuse to go on with another experiment."""
    advice = "Use the same value, or another folder for a new run"
    then = resumed.state
    for group, now in (("model", asdict(config)), ("train", asdict(settings))):
        before = then.config.get(group, {})
        for name in sorted(now.keys() | before.keys()):
            if now.get(name) != before.get(name) and f"{group}.{name}" not in FREE_TO_CHANGE:
                raise ValueError(
                    f"{group}.{name} is {now.get(name)!r}, "
                    f"the run in {resumed.path.parent} has {before.get(name)!r}. {advice}"
                )
    now_sha256 = corpus.manifest.content_sha256()
    if now_sha256 != then.corpus_sha256:
        raise ValueError(
            f"{corpus.folder} has content_sha256 {now_sha256}, the run in {resumed.path.parent} was trained on "
            f"{then.corpus_sha256}. {advice}"
        )


@contextlib.contextmanager
def _alone(run: Path) -> Iterator[None]:
    """Own the folder of the run: two trainers in one folder would destroy each other's files."""
    run.mkdir(parents=True, exist_ok=True)
    with (run / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"{run} is in use by another process; wait for it, or choose another folder") from error
        yield


class _Signals:
    """Remembers the first SIGTERM or SIGINT; the second does what it does without us."""

    def __init__(self) -> None:
        self.caught = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "_Signals":
        self._before = {number: signal.signal(number, self._catch) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _catch(self, number: int, _: FrameType | None) -> None:
        self.caught = number
        for known, handler in self._before.items():
            signal.signal(known, handler)
        _log.warning("%s: saving a checkpoint and leaving; again to leave at once", signal.Signals(number).name)


class _Log:
    """RUN/log.jsonl: one line for each step, in order, exactly once."""

    def __init__(self, path: Path, step: int) -> None:
        """Continue the log at `path` after `step`: later lines are of steps that no checkpoint holds."""
        kept = []
        if path.exists():
            for line in path.read_text().splitlines(keepends=True):
                if not line.endswith("\n") or json.loads(line)["step"] > step:
                    break  # cut by a kill, or not of this run's past
                kept.append(line)
        temporary = path.with_suffix(".tmp")
        temporary.write_text("".join(kept))
        temporary.rename(path)
        self._file = path.open("a")

    def write(self, metrics: Metrics) -> None:
        """Append one line; it outlives the process at once."""
        self._file.write(json.dumps(metrics) + "\n")
        self._file.flush()

    def flush_to_disk(self) -> None:
        """Make the log outlive the machine too."""
        os.fsync(self._file.fileno())

    def __enter__(self) -> "_Log":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
