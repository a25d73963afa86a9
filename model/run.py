"""A run: what outlives its steps, and what is done between two of them: saving, validating, writing the log.

What a step does, and in which order all this happens, is said by the loop in `trainer.py`.
"""

import contextlib
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
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
from webtext.model.checkpoint import Checkpoint
from webtext.model.curve import LOG
from webtext.model.data import Batches, Corpus
from webtext.model.distributed import StepLoss, joined, spread, started_by_torchrun
from webtext.model.gpt2 import GPT2, GPT2Config
from webtext.model.log import Log, Metrics, as_json
from webtext.model.optim import learning_rate, optimizers
from webtext.model.run_folder import alone, changes
from webtext.model.settings import TrainSettings
from webtext.model.signals import Signals
from webtext.model.spikes import SpikeGuard
from webtext.model.state import State
from webtext.model.step import Gradient, evaluate
from webtext.model.timing import Clock, flops_per_token, matmul_ceiling

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a run learns from, and what it is validated on."""

    corpus: Corpus
    batches: Batches
    val_rows: NDArray[np.int64]  # (N, T + 1); none where validation is switched off


class Run:
    """What a run is, and what is done with it between two steps."""

    def __init__(  # noqa: PLR0917 - what makes a run
        self,
        folder: Path,
        dataset: Dataset,
        config: GPT2Config,
        settings: TrainSettings,
        clock: Clock,
        show: Callable[[Metrics], None],
        held: contextlib.ExitStack,
    ) -> None:
        """The run in `folder`, new or as its newest checkpoint has it; leaving `held` lets go of it.

        Raises:
            ValueError: another process trains in the folder, it holds another experiment, or the device can't be used.
        """
        self.folder, self.dataset, self.config, self.settings = folder, dataset, config, settings
        self.clock, self._show, self._held = clock, show, held
        self.ranks = held.enter_context(joined(choose_device(settings.device).type))
        held.enter_context(alone(folder, first=self.ranks.first))
        self.signals = held.enter_context(Signals(alone=self.ranks.world == 1, relayed=started_by_torchrun()))
        self.rows = dataset.batches.rows_of_rank(self.ranks.world)
        self._check_corpus()
        resumed = self._resumed()
        changed = changes(resumed, config, settings, dataset.corpus) if resumed else ()
        self._changes = resumed.state.changes + changed if resumed else ()
        self.step = resumed.state.step if resumed else 0  # updates done
        self.saved = self.step  # of the last checkpoint
        self.skipped = resumed.state.skipped if resumed else 0  # last steps in a row that were not finite
        self.metrics: Metrics = {}  # the last line of the log; empty before the first

        self.device = choose_device(settings.device, self.ranks.local)
        self.dtype = choose_dtype(settings.dtype, self.device)
        self.arithmetic = prepare_arithmetic(self.device, self.dtype, resumed.state.arithmetic if resumed else {})
        torch.manual_seed(settings.seed)
        self.model = GPT2(config)  # on the CPU, so that every device starts from the same weights
        self.model.to(self.device)
        self._loss_of = StepLoss(self.model, settings, choose_loss_chunk(settings, self.device))
        if settings.compile:
            self._loss_of.compile()
        module = spread(self._loss_of, self.ranks, settings, self.dtype)
        self.gradient = Gradient(module, config, settings, self.ranks, self.dtype)
        self.optimizers = optimizers(self.model, settings)
        self.guard = SpikeGuard(settings.spike_sigma, self.device)
        if resumed is not None:
            self.guard.figures.copy_(checkpoints.restore(resumed, self.model, self.optimizers))
        self.log = held.enter_context(Log(folder / LOG if self.ranks.first else None, self.step))
        self._owed: Metrics | None = None  # the line of this step, where a signal came during its validation
        if resumed is not None and dataset.val_rows.size and self.ranks.agree(self.log.last) < self.step:
            before = resumed.state.metrics
            self._owed = {name: math.nan if value is None else value for name, value in before.items()}

        self._pending: list[tuple[int, Tensor]] = []  # steps whose figures are still on the device
        self._timed = 0.0  # seconds of work on the steps before them
        self._ceiling = math.nan  # operations a second that MFU is of, for all ranks; NaN but on cuda

    def _check_corpus(self) -> None:
        """Read all of the corpus, once on each machine, before anything is learnt from it. Raises ValueError."""
        wrong = ""
        if self.ranks.local == 0:
            try:
                self.dataset.corpus.verify()
            except (OSError, ValueError) as error:
                wrong = str(error)
        if found := next(filter(None, self.ranks.gather(wrong)), ""):
            raise ValueError(found)

    def _resumed(self) -> Checkpoint | None:
        """The checkpoint to go on from."""
        if self.ranks.first:
            checkpoints.remove_unfinished(self.folder)
        return self.ranks.agree(checkpoints.latest(self.folder) if self.ranks.first else None)

    def warm_up(self) -> None:
        """Measure the machine, choose the attention kernels of this run, compile, and fit micro-batches into memory.

        Raises:
            Stopped: a signal came.
            ValueError: not even one window fits into memory.
        """
        settings, device = self.settings, self.device
        with self.clock("compile"), self.signals.abandonable():
            if device.type == "cuda":  # a CPU's moves with what else runs there, and MFU with it
                self._ceiling = self.ranks.world * matmul_ceiling(device, self.dtype)
            elif not settings.compile:
                return
            micro_batch = min(self.rows, settings.micro_batch)
            order = choose_attention(settings.attention, self.config, micro_batch, device, self.dtype)
            if settings.mask_documents:
                order = ["efficient", "math"]  # flash takes no mask; cuDNN's gradients with one can be NaN
            if device.type == "cuda":  # kept for the rest of the run
                self._held.enter_context(sdpa_kernel([BACKENDS[name] for name in order], set_priority=True))
            self.gradient.fit(self.rows)

    def count(self, loss: Tensor, norm: Tensor, skip: Tensor) -> None:
        """A step more is done. Its figures stay on the device until `report` asks for them."""
        self.step += 1
        self._pending.append((self.step, torch.stack((loss, norm, skip))))

    def report(self, *, validates: bool = False) -> None:
        """Write the lines of the pending steps, with the validation loss in the last if it `validates`.

        Raises:
            Stopped: a signal came during validation; the last line is not written.
            ValueError: too many losses in a row are no numbers.
        """
        lines = self._collect()
        if not lines:
            return
        self.metrics = lines.pop()
        for line in lines:
            self._write(line)
        if self.skipped >= self.settings.max_nonfinite:
            self._write(self.metrics)
            known = {*self.settings.skip_steps, *range(self.step - self.skipped + 1, self.step + 1)}
            raise ValueError(
                f"{self.skipped} steps in a row, up to step {self.step}, have no finite loss or gradient: loss "
                f"{self.metrics['loss']}, gradient norm {self.metrics['grad_norm']}. The last checkpoint is of step "
                f"{self.saved}: go on from it with a lower --train.lr or --train.clip, or, if it is their documents, "
                f"with --train.skip-steps {' '.join(map(str, sorted(known)))}"
            )
        if validates:
            self.metrics["val_loss"] = self._validate()
            self.metrics |= self.clock.seconds()
        self._write(self.metrics)

    def report_owed(self) -> None:
        """Write the line that a signal in the middle of its validation kept out of the log, if one did.

        Raises:
            Stopped: a signal came again.
        """
        if self._owed is not None:
            self.metrics = self._owed | {"val_loss": self._validate()}
            self._write(self.metrics)

    def save(self) -> None:
        """Write a checkpoint of the last step.

        Raises:
            ValueError: a weight is no longer finite; older checkpoints stay.
            OSError: it can't be written.
        """
        with self.clock("checkpoint"):
            local = (p.to_local() if isinstance(p, DTensor) else p for p in self.model.parameters())
            if self.ranks.any(not torch.stack([p.isfinite().all() for p in local]).all().item()):
                raise ValueError(
                    f"a weight is no longer finite after step {self.step}. The last checkpoint is of "
                    f"step {self.saved}: go on from it with a lower --train.lr"
                )
            self.log.flush_to_disk()  # first, so that the log has every step of a checkpoint
            state = State(
                self.step,
                self.config,
                self.settings,
                self.dataset.corpus.manifest.content_sha256(),
                self.arithmetic,
                as_json(self.metrics),
                self.skipped,
                self._changes,
            )
            checkpoints.save(self.folder, state, self.model, self.optimizers, self.guard.figures, self.ranks)
        self.saved = self.step

    def _collect(self) -> list[Metrics]:
        """The lines of the pending steps: the one moment when the host waits for the device."""
        if not self._pending:
            return []
        settings = self.settings
        with self.clock("step"):
            figures = torch.stack([figures for _, figures in self._pending]).tolist()
        spent = max(self.clock.of("data", "step") - self._timed, 1e-9)
        self._timed += spent
        speed = len(self._pending) * settings.batch_tokens / spent
        rates = {"tokens_per_second": round(speed, 1)}
        if not math.isnan(self._ceiling):
            rates["mfu"] = round(speed * flops_per_token(self.config) / self._ceiling, 4)
        lines = []
        for (number, _), (loss, norm, skipped) in zip(self._pending, figures, strict=True):
            line = {"step": number, "tokens": number * settings.batch_tokens, "loss": loss}
            line |= {"lr": learning_rate(number - 1, settings), "grad_norm": norm}
            line |= rates
            if math.isfinite(loss + norm):
                self.skipped = 0
            elif number not in settings.skip_steps:
                self.skipped += 1
            if skipped:
                line["skipped"] = 1
                if self.ranks.first:
                    found = self._documents(number)
                    _log.warning("step %d is skipped, loss %.4f, gradient norm %.4g: %s", number, loss, norm, found)
            lines.append(line)
        self._pending.clear()
        return lines

    def _validate(self) -> float:
        # Not compiled, which other shapes would ask for again. FSDP gathers weights in the call.
        plain = self._loss_of if isinstance(self._loss_of, FSDPModule) else self._loss_of.forward
        rows_NT, micro_batch = self.dataset.val_rows, self.gradient.micro_batch
        self.model.eval()
        with self.clock("eval"), self.signals.abandonable(), self.gradient.autocast():
            loss = evaluate(plain, rows_NT, micro_batch, self.device, self.ranks, self.signals)
        self.model.train()
        return loss

    def _write(self, line: Metrics) -> None:
        if self.ranks.first:
            self.log.write(line, [change for change in self._changes if line["step"] == change.step + 1])
            self._show(line)

    def _documents(self, step: int) -> str:
        """The documents of `step`, counted from 1, as far as a line of the log has room for them."""
        urls = list(dict.fromkeys(span.url for row in self.dataset.batches.spans_at(step - 1) for span in row))
        return f"{', '.join(urls[:10])}; {len(urls)} in all, --replay-step {step} lists them"
