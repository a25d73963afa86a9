"""Train GPT-2 on a corpus: one loop, read top to bottom.

A step is a pure function of the weights, the settings and the number of the step: the batch, the learning rate and the
dropout of step n need nothing that earlier steps left behind but weights, optimizer and the losses that spikes are told
by. So a run that is killed at any moment and started again with the same command has the same losses; on a CPU with as
many threads, bit for bit. Under torchrun each rank runs this loop on its rows of the batch.
"""

import contextlib
import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.nn.attention import sdpa_kernel

from webtext.model import checkpoint as checkpoints
from webtext.model.arithmetic import (
    BACKENDS,
    choose_attention,
    choose_device,
    choose_dtype,
    choose_loss_chunk,
    prepare_arithmetic,
)
from webtext.model.checkpoint import State
from webtext.model.data import Batches, Corpus, Windows
from webtext.model.distributed import StepLoss, joined, spread
from webtext.model.gpt2 import GPT2, GPT2Config
from webtext.model.loader import Loader
from webtext.model.log import LOG, Log, Metrics
from webtext.model.optim import learning_rate, optimizers, step_all
from webtext.model.run import alone, check_same
from webtext.model.settings import TrainSettings
from webtext.model.signals import Signals, Stopped
from webtext.model.spikes import SpikeGuard
from webtext.model.step import Gradient, evaluate
from webtext.model.timing import Clock, flops_per_token, matmul_ceiling
from webtext.schemas import vocabulary

__all__ = ["LOG", "Metrics", "Outcome", "choose_device", "train"]

GUARD = "losses/guard"  # name of the spike guard's state in a checkpoint

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    step: int  # updates done
    signal: int  # that stopped it, or 0 for a finished run
    metrics: Metrics  # the last line of the log; empty where there was nothing to do
    seconds: dict[str, float] = field(default_factory=dict)  # of this start of the run, by kind of work


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
    clock = Clock()
    if config.n_vocab < vocabulary.SIZE:
        raise ValueError(f"n_vocab is {config.n_vocab}, a corpus has GPT-2 ids: {vocabulary.SIZE} or more are needed")
    corpus = Corpus.open(data)
    batches = Batches(Windows(corpus, "train", config.n_ctx), settings.batch_tokens, settings.seed)
    val_rows = _validation(corpus, config, settings)
    kind = choose_device(settings.device).type

    with contextlib.ExitStack() as stack:
        ranks = stack.enter_context(joined(kind))
        stack.enter_context(alone(run, first=ranks.first))
        signals = stack.enter_context(Signals(alone=ranks.world == 1))
        rows_of_rank = batches.rows_of_rank(ranks.world)
        if ranks.first:
            checkpoints.remove_unfinished(run)
        resumed = ranks.agree(checkpoints.latest(run) if ranks.first else None)
        if resumed is not None:
            check_same(resumed, config, settings, corpus)
        step = saved = resumed.state.step if resumed else 0

        device = choose_device(settings.device, ranks.local)
        dtype = choose_dtype(settings.dtype, device)
        arithmetic = prepare_arithmetic(device, dtype, resumed.state.arithmetic if resumed else {})
        torch.manual_seed(settings.seed)
        model = GPT2(config)  # on the CPU, so that every device starts from the same weights
        model.to(device)
        loss_of = StepLoss(model, settings, choose_loss_chunk(settings, device))
        if settings.compile:
            loss_of.compile()
        module = spread(loss_of, ranks, settings, dtype)
        gradient = Gradient(module, config, settings, ranks, dtype)
        updates = optimizers(model, settings)
        guard = SpikeGuard(settings.spike_sigma, device)
        metrics: Metrics = {}
        if resumed is not None:
            guard.losses.copy_(checkpoints.restore(resumed, model, updates)[GUARD])
        log = stack.enter_context(Log(run / LOG if ranks.first else None, step))

        def save() -> None:
            with clock("checkpoint"):
                log.flush_to_disk()  # first, so that the log has every step of a checkpoint
                whole = {"model": asdict(config), "train": asdict(settings)}
                state = State(step, whole, corpus.manifest.content_sha256(), arithmetic, metrics)
                checkpoints.save(run, state, model, updates, settings.keep, {GUARD: guard.losses}, ranks)

        def validate() -> float:
            # Not compiled, which other shapes would ask for again. FSDP gathers weights in the call.
            plain = loss_of if isinstance(loss_of, FSDPModule) else loss_of.forward
            model.eval()
            with clock("eval"), signals.abandonable(), gradient.autocast():
                loss = evaluate(plain, val_rows, gradient.micro_batch, device, ranks, signals)
            model.train()
            return loss

        def write(lines: list[Metrics]) -> None:
            for line in lines if ranks.first else []:
                log.write(line)
                show(line)

        pending: list[tuple[int, Tensor]] = []  # steps whose figures are still on the device
        working = clock.of("data", "step")

        def collect() -> list[Metrics]:
            """The lines of the pending steps: the one moment when the host waits for the device."""
            nonlocal working
            if not pending:
                return []
            with clock("step"):
                figures = torch.stack([figures for _, figures in pending]).tolist()
            spent = max(clock.of("data", "step") - working, 1e-9)
            working += spent
            speed = len(pending) * settings.batch_tokens / spent
            lines = []
            for (number, _), (loss, norm, skipped) in zip(pending, figures, strict=True):
                line = {"step": number, "tokens": number * settings.batch_tokens, "loss": loss}
                line |= {"lr": learning_rate(number - 1, settings), "grad_norm": norm}
                line |= {"tokens_per_second": round(speed, 1), "mfu": round(speed * flops / ceiling, 4)}
                if not math.isfinite(loss + norm):
                    raise ValueError(
                        f"step {number}: loss {loss}, gradient norm {norm}, learning rate {line['lr']:.2e}, "
                        f"last checkpoint at {saved}. Lower lr or clip and start a new run"
                    )
                if skipped:
                    line["skipped"] = 1
                    if ranks.first:
                        _log.warning("step %d is skipped, loss %.4f: %s", number, loss, _documents(batches, number))
                lines.append(line)
            pending.clear()
            return lines

        every = settings.log_every if device.type == "cuda" else 1
        flops = flops_per_token(config)
        try:
            with clock("compile"), signals.abandonable():
                ceiling = ranks.world * matmul_ceiling(device, dtype)
                if device.type == "cuda" or settings.compile:
                    order = choose_attention(
                        settings.attention, config, min(rows_of_rank, settings.micro_batch), device, dtype
                    )
                    if settings.mask_documents:
                        order = ["efficient", "math"]  # flash takes no mask; cuDNN's gradients with one can be NaN
                    if device.type == "cuda":  # kept for the rest of the run
                        stack.enter_context(sdpa_kernel([BACKENDS[name] for name in order], set_priority=True))
                    gradient.fit(rows_of_rank)
            if resumed is not None and val_rows.size and ranks.agree(log.last) < step:
                # A signal came during the validation of this step, so its line is not written yet.
                metrics = dict(resumed.state.metrics) | {"val_loss": validate()}
                write([metrics])
            loader = stack.enter_context(
                Loader(batches, step, ranks.rank, ranks.world, pin_for=device if device.type == "cuda" else None)
            )
            while step < settings.steps and not ranks.any(bool(signals.caught)):
                with clock("data"), signals.abandonable():
                    rows_BT = loader.next()
                with clock("step"):
                    with signals.abandonable():
                        loss = gradient(step, rows_BT)
                    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip or math.inf)
                    norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
                    skip = guard.judge(step, loss)
                    step_all(updates, step, settings, skip)
                step += 1
                pending.append((step, torch.stack((loss, norm, skip))))

                last = step == settings.steps
                evaluates = val_rows.size > 0 and (last or step % (settings.eval_every or 1) == 0)
                saves = last or (settings.checkpoint_every and step % settings.checkpoint_every == 0)
                if evaluates or saves or step % every == 0:
                    lines = collect()
                    metrics = lines.pop()
                    write(lines)
                    if evaluates:
                        metrics["val_loss"] = validate()
                        metrics |= clock.seconds()
                    write([metrics])
                if saves:
                    save()
                    saved = step
        except Stopped:
            pass  # gradients or a validation are given up; the weights are those of the last whole step
        if pending:
            lines = collect()
            metrics = lines[-1]
            write(lines)
        if step != saved:  # a signal
            save()
        stopped = max(ranks.gather(signals.caught))
        seconds = clock.seconds()
        return Outcome(step, stopped if step < settings.steps else 0, metrics, seconds)


def _documents(batches: Batches, step: int) -> str:
    """The documents of `step`, counted from 1, as far as a line of the log has room for them."""
    urls = list(dict.fromkeys(span.url for row in batches.spans_at(step - 1) for span in row))
    return f"{', '.join(urls[:10])}; {len(urls)} in all, --replay-step {step} lists them"


def _validation(corpus: Corpus, config: GPT2Config, settings: TrainSettings) -> NDArray[np.int64]:
    """The fixed validation set as rows (N, T + 1), none where it is switched off."""
    if not settings.eval_every:
        return np.empty((0, config.n_ctx + 1), np.int64)
    windows = Windows(corpus, "val", config.n_ctx)
    count = min(len(windows), settings.eval_windows or len(windows))
    if not count:
        raise ValueError(
            f"the validation split has {windows.tokens} tokens, one window takes {config.n_ctx + 1}: build the corpus "
            "with a larger val_fraction, lower n_ctx, or train without validation (--train.eval-every 0)"
        )
    return windows.read(np.arange(count))
