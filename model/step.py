"""What one step computes on one rank: the gradient of its share of the batch, and validation.

Weights stay float32. Under autocast a step casts them to bfloat16 once: one context spans all micro-batches, and
autocast keeps its copies until it is left. A second set of bfloat16 weights would save nothing more, and would add up
the micro-batches' gradients in bfloat16. A compiled step casts in each micro-batch instead, fused with the reads.
"""

import contextlib
import logging
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from webtext.model.arithmetic import seed_dropout
from webtext.model.distributed import Ranks, gradients_exchanged
from webtext.model.settings import GPT2Config, TrainSettings
from webtext.model.signals import Signals, Stopped

_log = logging.getLogger(__name__)


class Gradient:
    """Makes the gradient of a step: of the mean loss of the global batch, however ranks and micro-batches cut it."""

    def __init__(
        self, module: nn.Module, config: GPT2Config, settings: TrainSettings, ranks: Ranks, dtype: torch.dtype
    ) -> None:
        self._module, self._config, self._settings, self._ranks = module, config, settings, ranks
        self.device = next(module.parameters()).device
        self._dtype = dtype
        self.micro_batch = settings.micro_batch

    def __call__(self, step: int, rows_BT: Tensor) -> Tensor:
        """Add to the gradients those of this rank's rows of batch `step`; returns the loss of the whole batch.

        The loss, nats per token, stays on the device.
        """
        loss = torch.zeros((), device=self.device)
        parts = torch.split(rows_BT, self.micro_batch)
        with self.autocast():
            for micro, part_BT in enumerate(parts):
                if self._config.dropout:
                    seed_dropout(self._settings.seed, step, micro, self._ranks.rank)
                last = micro == len(parts) - 1
                loss += self._backward(part_BT.to(self.device, non_blocking=True), exchange=last)
        whole: Tensor = self._ranks.sum_(loss) / self._ranks.world
        return whole

    def _backward(self, part_BT: Tensor, *, exchange: bool) -> Tensor:
        # DDP and FSDP take the mean over ranks; the batch's mean is their sum.
        share = self._ranks.world / self._settings.batch_tokens
        with gradients_exchanged(self._module, exchange):
            loss: Tensor = self._module(part_BT) * share
            with torch.autocast(self.device.type, enabled=False):
                loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """The arithmetic of the forward pass."""
        return torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32)

    def fit(self, rows: int) -> None:
        """Compile, and halve the micro-batch until it fits into the GPU's memory, by trying on zeros.

        Raises:
            ValueError: not even one window fits.
        """
        sharded = self._settings.parallel == "fsdp" and self._ranks.world > 1
        while True:
            micro = min(self.micro_batch, rows)
            full = False
            try:
                with self.autocast():
                    zeros_BT = torch.zeros((micro, self._config.n_ctx + 1), dtype=torch.long, device=self.device)
                    self._backward(zeros_BT, exchange=sharded)
            except torch.OutOfMemoryError:
                full = True
            for parameter in self._module.parameters():
                parameter.grad = None
            if not (self._ranks.any(full) if not sharded else full):
                return
            if micro == 1 or sharded:
                raise ValueError(
                    f"{micro} windows of {self._config.n_ctx} tokens don't fit into memory: use --train.recompute, a "
                    "smaller --train.loss-chunk, --train.micro-batch or, on several GPUs, --train.parallel fsdp"
                )
            self.micro_batch = micro // 2
            torch.cuda.empty_cache()
            _log.warning("out of memory with %d windows at once; trying %d", micro, self.micro_batch)


@torch.no_grad()
def evaluate(  # noqa: PLR0917
    loss_of: Callable[[Tensor], Tensor],
    rows_NT: NDArray[np.int64],
    micro_batch: int,
    device: torch.device,
    ranks: Ranks,
    signals: Signals,
) -> float:
    """Mean cross-entropy in nats per token over `rows_NT` (N, T + 1), which the ranks share.

    Raises:
        Stopped: a signal came.
    """
    total = torch.zeros((), dtype=torch.float64 if device.type != "mps" else torch.float32, device=device)
    rounds = -(-rows_NT.shape[0] // (micro_batch * ranks.world))
    for first in range(rounds):
        if ranks.world > 1 and ranks.any(bool(signals.caught)):
            raise Stopped
        start = (first * ranks.world + ranks.rank) * micro_batch
        part_NT = rows_NT[start : start + micro_batch]
        # FSDP needs every rank in every forward pass: one that has no rows left takes any, and doesn't count them.
        counts = bool(part_NT.shape[0])
        part_BT = torch.from_numpy(part_NT if counts else rows_NT[:1]).to(device)
        loss = loss_of(part_BT)
        if counts:
            total += loss
    mean: float = ranks.sum_(total).item() / (rows_NT.shape[0] * (rows_NT.shape[1] - 1))
    return mean
