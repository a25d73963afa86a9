"""AdamW with two groups, Muon beside it if asked for, and the learning rate as a pure function of the step."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from webtext.model.muon import Muon
from webtext.model.settings import TrainSettings

# Source: GPT-3 (arXiv 2005.14165, appendix B) for betas, eps and the cosine to 10 %; GPT-2's own were never published.
BETAS = (0.9, 0.95)
EPS = 1e-8


def adamw(model: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW for all of `model`. Matrices and embeddings decay; biases and LayerNorm gains (one axis) do not."""
    return _adamw([p for p in model.parameters() if p.requires_grad], settings)


def optimizers(model: nn.Module, settings: TrainSettings) -> list[torch.optim.Optimizer]:
    """What updates the weights of `model`, each parameter in one of them."""
    if settings.optimizer == "adamw":
        return [adamw(model, settings)]
    named = dict(model.named_parameters())
    hidden = {name for name, p in named.items() if is_hidden(name, p.shape)}
    # Decay by AdamW's rate, so that the choice of the optimizer does not change it.
    decay = settings.weight_decay * settings.lr / settings.muon_lr if settings.muon_lr else 0.0
    return [
        Muon([named[name] for name in named if name in hidden], settings.muon_lr, decay),
        _adamw([named[name] for name in named if name not in hidden], settings),
    ]


def is_hidden(name: str, shape: Sequence[int]) -> bool:
    """Is this parameter a matrix of the blocks, which are Muon's where it is asked for?"""
    return len(shape) == 2 and name.startswith("h.")


def moment_shapes(name: str, shape: tuple[int, ...], settings: TrainSettings) -> dict[str, tuple[int, ...]]:
    """What the optimizer keeps of a parameter, by PyTorch's names."""
    if settings.optimizer == "muon" and is_hidden(name, shape):
        return {"momentum": shape}
    return {"step": (), "exp_avg": shape, "exp_avg_sq": shape}


def _adamw(parameters: list[nn.Parameter], settings: TrainSettings) -> torch.optim.AdamW:
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)  # one kernel for all tensors, where there is one
    return torch.optim.AdamW(groups, lr=settings.lr, betas=BETAS, eps=EPS, fused=fused)


def step_all(updates: list[torch.optim.Optimizer], step: int, settings: TrainSettings, skip: Tensor) -> None:
    """Update `step` of the weights, counted from 0, then drop the gradients. Nothing moves where `skip` is 1.

    `skip` stays on the device: the kernels of fused AdamW and Muon read it there, so the host need not wait for it.
    """
    rate = schedule(step, settings)
    for optimizer in updates:
        peak = settings.muon_lr if isinstance(optimizer, Muon) else settings.lr
        for group in optimizer.param_groups:
            group["lr"] = peak * rate
        if isinstance(optimizer, Muon) or optimizer.defaults["fused"]:
            # PyTorch's protocol between GradScaler and fused optimizers.
            optimizer.grad_scale, optimizer.found_inf = None, skip  # type: ignore[attr-defined]
            optimizer.step()
        elif not skip.item():  # other devices
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Learning rate of update `step`, counted from 0: linear warm-up to lr, then half a cosine to lr * min_lr_ratio."""
    return settings.lr * schedule(step, settings)


def schedule(step: int, settings: TrainSettings) -> float:
    """The learning rate of update `step` as a share of the highest."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    done = min(1.0, (step - settings.warmup) / max(1, settings.steps - 1 - settings.warmup))
    return settings.min_lr_ratio + 0.5 * (1 + math.cos(math.pi * done)) * (1 - settings.min_lr_ratio)
