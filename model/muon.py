"""Muon: momentum whose matrix is made orthogonal before it moves the weights.

Source: Keller Jordan, "Muon: An optimizer for hidden layers in neural networks" (2024,
kellerjordan.github.io/posts/muon) and github.com/KellerJordan/Muon: Nesterov momentum 0.95, five Newton-Schulz steps,
update scaled by sqrt(max(1, rows / columns)); queries, keys and values are orthogonalised one by one, as its text
recommends. Beyond it, weights decay as AdamW's do.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

MOMENTUM: Final = 0.95
# Of x -> a x + b x^3 + c x^5, tuned by the source so that singular values from 0 to 1 end near 1 in five steps.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalised(matrices_SRC: Tensor, steps: int = 5) -> Tensor:
    """Each matrix with its singular values brought to about 1 (0.7 to 1.2), its singular vectors kept.

    Shape suffixes: S matrices, R rows, C columns.
    """
    # bfloat16 is enough, says the source, and on a GPU much faster; CPUs without it emulate it slowly.
    dtype = torch.bfloat16 if matrices_SRC.device.type == "cuda" else torch.float32
    x_SRC = matrices_SRC.to(dtype)
    wide = x_SRC.shape[1] <= x_SRC.shape[2]
    x = x_SRC if wide else x_SRC.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = _A * x + (_B * square + _C * square @ square) @ x
    result: Tensor = (x if wide else x.mT).to(matrices_SRC.dtype)
    return result


class Muon(torch.optim.Optimizer):
    """Muon for matrices (R, C), some of which are stacks of square ones: (3 C, C) for queries, keys and values.

    `found_inf`, a tensor of 1.0 to skip this step, works as in PyTorch's fused optimizers. Every rank of DDP has the
    same gradients and computes the same update; matrices that FSDP cut are gathered for it.
    """

    found_inf: Tensor | None = None

    def __init__(self, params: Iterable[nn.Parameter], lr: float, decay: float) -> None:
        """`decay` is the weight decay per unit of lr."""
        super().__init__(list(params), {"lr": lr, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of all matrices; those of one shape go through the same kernels."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in by_shape.items():
                self._step_alike(shape, parameters, group["lr"], group["decay"])

    def _step_alike(self, shape: torch.Size, parameters: list[nn.Parameter], lr: float, decay: float) -> None:
        rows, columns = shape
        parts = 3 if rows == 3 * columns else 1
        steered = []
        for parameter in parameters:
            gradient = cast(Tensor, parameter.grad)
            state: dict[str, Any] = self.state[parameter]
            before = state.setdefault("momentum", torch.zeros_like(parameter))
            now = MOMENTUM * before + gradient
            steered.append(_whole(gradient + MOMENTUM * now))
            before.copy_(now if self.found_inf is None else torch.where(_skipped(self.found_inf), before, now))
        stack_SRC = torch.stack(steered).view(-1, rows // parts, columns)
        update = orthogonalised(stack_SRC).view(len(parameters), rows, columns)
        update *= -lr * math.sqrt(max(1.0, rows / parts / columns))
        kept: Tensor | float = 1 - lr * decay
        if self.found_inf is not None:
            skipped = _skipped(self.found_inf)
            update = torch.where(skipped, 0.0, update)
            kept = torch.where(skipped, 1.0, 1 - lr * decay)
        for parameter, change in zip(parameters, update.unbind(0), strict=True):
            parameter.mul_(kept).add_(_cut_as(change, parameter))


def _skipped(found_inf: Tensor) -> Tensor:
    return found_inf > 0


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _cut_as(tensor: Tensor, parameter: Tensor) -> Tensor:
    """This rank's part of `tensor`, which all ranks have, where `parameter` is cut."""
    if isinstance(parameter, DTensor):
        return distribute_tensor(tensor, parameter.device_mesh, parameter.placements, src_data_rank=None)
    return tensor
