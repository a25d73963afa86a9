"""AdamW with two groups, and the learning rate as a pure function of the step."""

import math

import torch
from torch import nn

from model.settings import TrainSettings

# Source: GPT-3 (arXiv 2005.14165, appendix B) for betas, eps and the cosine to 10 %; GPT-2's own were never published.
BETAS = (0.9, 0.95)
EPS = 1e-8


def adamw(model: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """The optimizer of `model`. Matrices and embeddings decay; biases and LayerNorm gains (one axis) do not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)  # one kernel for all tensors, where there is one
    return torch.optim.AdamW(groups, lr=settings.lr, betas=BETAS, eps=EPS, fused=fused)


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Learning rate of update `step`, counted from 0: linear warm-up to lr, then half a cosine to lr * min_lr_ratio."""
    if step < settings.warmup:
        return settings.lr * (step + 1) / settings.warmup
    lowest = settings.lr * settings.min_lr_ratio
    done = min(1.0, (step - settings.warmup) / max(1, settings.steps - 1 - settings.warmup))
    return lowest + 0.5 * (1 + math.cos(math.pi * done)) * (settings.lr - lowest)
