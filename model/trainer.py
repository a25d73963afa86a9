"""Train GPT-2 on a corpus: one loop, read top to bottom.

A step is a pure function of the weights, the settings and the number of the step: the batch, the learning rate and the
dropout of step n need nothing that earlier steps left behind but weights, optimizer and the losses that spikes are told
by. So a run that is killed at any moment and started again with the same command has the same losses; on a CPU with as
many threads, bit for bit. Under torchrun each rank runs this loop on its rows of the batch.
"""

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.distributed.tensor import DTensor

from webtext.model.arithmetic import choose_device
from webtext.model.curve import LOG
from webtext.model.data import Batches, Corpus, Windows
from webtext.model.gpt2 import GPT2Config
from webtext.model.loader import Loader
from webtext.model.log import Metrics
from webtext.model.optim import step_all
from webtext.model.run import Dataset, Run
from webtext.model.settings import TrainSettings
from webtext.model.signals import Stopped
from webtext.model.timing import Clock
from webtext.schemas import vocabulary

__all__ = ["LOG", "Metrics", "Outcome", "choose_device", "train"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    step: int  # updates done
    signal: int  # that stopped it, or 0 for a finished run
    metrics: Metrics  # the last line of the log; empty where there was nothing to do
    seconds: dict[str, float] = field(default_factory=dict)  # of this start of the run, by kind of work


def train(
    data: Path,
    folder: Path,
    config: GPT2Config,
    settings: TrainSettings,
    show: Callable[[Metrics], None] = lambda metrics: None,
) -> Outcome:
    """Train on the corpus in `data`, into `folder`; goes on from the newest checkpoint there.

    SIGTERM and SIGINT save a checkpoint and end the run; a second one ends it at once. `show` gets each log line.

    Raises:
        ValueError: corpus, settings and run don't fit together, or too many losses in a row are no numbers.
        OSError: a file can't be written; the last checkpoint stays.
    """
    clock = Clock()
    if config.n_vocab < vocabulary.SIZE:
        raise ValueError(f"n_vocab is {config.n_vocab}, a corpus has GPT-2 ids: {vocabulary.SIZE} or more are needed")
    corpus = Corpus.open(data)
    batches = Batches(Windows(corpus, "train", config.n_ctx), settings.batch_tokens, settings.seed)
    dataset = Dataset(corpus, batches, _validation(corpus, config, settings))

    with contextlib.ExitStack() as held:
        run = Run(folder, dataset, config, settings, clock, show, held)
        ranks, signals = run.ranks, run.signals
        on_gpu = run.device.type == "cuda"
        report_every = settings.log_every if on_gpu else 1
        try:
            run.warm_up()
            run.report_owed()
            pin_for = run.device if on_gpu else None
            loader = held.enter_context(Loader(batches, run.step, ranks.rank, ranks.world, pin_for=pin_for))
            while run.step < settings.steps and not ranks.any(bool(signals.caught)):
                with clock("data"), signals.abandonable():
                    rows_BT = loader.next()
                with clock("step"):
                    with signals.abandonable():
                        loss = run.gradient(run.step, rows_BT)
                    norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), settings.clip or math.inf)
                    norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
                    known = run.step + 1 in settings.skip_steps
                    skip = run.guard.judge(run.step, loss, norm, known=known)
                    step_all(run.optimizers, run.step, settings, skip)
                run.count(loss, norm, skip)

                last = run.step == settings.steps
                validates = dataset.val_rows.size > 0 and (last or run.step % (settings.eval_every or 1) == 0)
                saves = last or (settings.checkpoint_every and run.step % settings.checkpoint_every == 0)
                if validates or saves or run.step % report_every == 0:
                    run.report(validates=validates)
                if saves and (last or not run.skipped):  # weights that may be lost push out no good ones
                    run.save()
        except Stopped:
            pass  # gradients or a validation are given up; the weights are those of the last whole step
        run.report()
        if run.step != run.saved:  # a signal
            run.save()
        stopped = max(ranks.gather(signals.caught))
        return Outcome(run.step, stopped if run.step < settings.steps else 0, run.metrics, clock.seconds())


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
