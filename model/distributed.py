"""Many processes that take one step together: torchrun's ranks, DDP, FSDP2.

Each rank takes its rows of the global batch (`data.py`), and gradients are summed, so the number of ranks changes
nothing but rounding. A run without torchrun has one rank, and none of this talks to anybody.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel

from webtext.model.gpt2 import GPT2
from webtext.model.settings import TrainSettings

VALIDATION_CHUNK: Final = 8192  # tokens

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ranks:
    """Who we are among the processes of this run."""

    rank: int = 0
    world: int = 1
    local: int = 0  # among those of this machine: the number of our GPU

    @property
    def first(self) -> bool:
        """Is this the rank that logs and writes?"""
        return self.rank == 0

    def sum_(self, tensor: Tensor) -> Tensor:
        """The sum of `tensor` over all ranks, in place, without waiting for a GPU."""
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def any(self, flag: bool) -> bool:
        """Is `flag` set on any rank? All ranks get the same answer."""
        return bool(self.sum_(torch.tensor(int(flag))).item()) if self.world > 1 else flag

    def gather(self, value: T) -> list[T]:
        """The values of all ranks, in their order, on every rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def agree(self, value: T) -> T:
        """The value of the first rank, on every rank."""
        return self.gather(value)[0]


def started_by_torchrun() -> bool:
    """Is this process a rank, of one or many, that has an agent?"""
    return "WORLD_SIZE" in os.environ


@contextlib.contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the processes that torchrun started, if it did; `device` is a type, such as cuda.

    Raises:
        ValueError: the environment is half of torchrun's.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    try:
        ranks = Ranks(int(os.environ["RANK"]), world, int(os.environ["LOCAL_RANK"]))
    except KeyError as error:
        raise ValueError(f"WORLD_SIZE is {world} but {error} is not set: start with torchrun") from error
    if device == "cuda":
        torch.cuda.set_device(ranks.local)
    # Two backends: what the host asks of the others must not wait for the GPU.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
    try:
        yield ranks
    finally:
        dist.destroy_process_group()


class StepLoss(nn.Module):
    """The summed loss of rows (B, T + 1): what is compiled, and what DDP and FSDP wrap."""

    def __init__(self, model: GPT2, settings: TrainSettings, chunk: int) -> None:
        super().__init__()
        self.model = model
        self._chunk = chunk
        self._mask_documents = settings.mask_documents
        self._recompute = settings.recompute

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Sum of the cross-entropies of predicting each row's tokens but the first."""
        # Validation is not compiled, so nothing would fuse its float32 logits: 13 GB for 64 windows of 1,024.
        chunk = self._chunk if self.model.training else self._chunk or VALIDATION_CHUNK
        return self.model.loss(
            ids_BT[:, :-1],
            ids_BT[:, 1:],
            chunk=chunk,
            mask_documents=self._mask_documents,
            recompute=self._recompute,
        )


def spread(loss_of: StepLoss, ranks: Ranks, settings: TrainSettings, dtype: torch.dtype) -> nn.Module:
    """`loss_of` over all ranks, whose gradients will be the mean of theirs. Call it before making optimizers."""
    if ranks.world == 1:
        return loss_of
    device = loss_of.model.wte.weight.device
    if settings.parallel == "ddp":
        ids = [device.index] if device.type == "cuda" else None
        return DistributedDataParallel(loss_of, device_ids=ids, broadcast_buffers=False, gradient_as_bucket_view=True)
    mesh = init_device_mesh(device.type, (ranks.world,))
    # Weights are cast when they are gathered, once for all micro-batches' use of them; sums stay in float32.
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for block in loss_of.model.h:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(loss_of, mesh=mesh, mp_policy=policy)  # in place
    return loss_of


@contextlib.contextmanager
def gradients_exchanged(module: nn.Module, now: bool) -> Iterator[None]:
    """Let ranks exchange gradients in the backward pass inside only if `now`, which the last micro-batch says."""
    if isinstance(module, DistributedDataParallel) and not now:
        with module.no_sync():
            yield
        return
    if isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(now)
    yield
