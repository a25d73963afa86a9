"""A plain trainer in the design that karpathy/nanoGPT published (model.py and train.py, 2022), written anew.

What ours is measured against. Like nanoGPT: one projection for q, k and v, PyTorch's attention, a tied head over 50,304
logits of which the last 47 mean nothing, the mean of the cross-entropy, random crops of one memory-mapped file, AdamW
in two groups, gradient clipping at 1.0. Unlike its flagship run, so that both compute the same function: biases, and
the tanh form of GELU.
"""

import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from webtext.model.gpt2 import GPT2Config

PADDED_VOCABULARY = 50_304  # nanoGPT train.py: "rounded up to 50304 for efficiency"


class Attention(nn.Module):
    """nanoGPT's CausalSelfAttention."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.n_head, self.n_embd = config.n_head, config.n_embd

    def forward(self, x: Tensor) -> Tensor:
        """Mix earlier positions."""
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(self.n_embd, dim=2)
        k = k.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        q = q.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        v = v.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=True)
        return self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C))


class MLP(nn.Module):
    """nanoGPT's MLP."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.gelu = nn.GELU(approximate="tanh")
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """Each position by itself."""
        return self.c_proj(self.gelu(self.c_fc(x)))


class Block(nn.Module):
    """nanoGPT's Block."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd)
        self.mlp = MLP(config)

    def forward(self, x: Tensor) -> Tensor:
        """Add both to the residual stream."""
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class PlainGPT(nn.Module):
    """nanoGPT's GPT. Its weights come from a model of ours: `load_ours`."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(PADDED_VOCABULARY, config.n_embd),
                "wpe": nn.Embedding(config.n_ctx, config.n_embd),
                "h": nn.ModuleList(Block(config) for _ in range(config.n_layer)),
                "ln_f": nn.LayerNorm(config.n_embd),
            }
        )
        self.lm_head = nn.Linear(config.n_embd, PADDED_VOCABULARY, bias=False)
        self.transformer.wte.weight = self.lm_head.weight

    def forward(self, idx: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and the mean loss in nats."""
        pos = torch.arange(0, idx.size(1), dtype=torch.long, device=idx.device)
        x = self.transformer.wte(idx) + self.transformer.wpe(pos)
        for block in self.transformer.h:
            x = block(x)
        logits = self.lm_head(self.transformer.ln_f(x))
        loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.reshape(-1), ignore_index=-1)
        return logits, loss

    def load_ours(self, ours: nn.Module) -> None:
        """Take over the weights of a `model.gpt2.GPT2`, whose names are the same."""
        state = {f"transformer.{name}": value for name, value in ours.state_dict().items()}
        self.load_state_dict(state | {"lm_head.weight": state["transformer.wte.weight"]})


def configure_optimizer(model: nn.Module, lr: float, weight_decay: float, device: str) -> torch.optim.AdamW:
    """As configure_optimizers of nanoGPT: fused on CUDA only."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    fused = "fused" in inspect.signature(torch.optim.AdamW).parameters and device == "cuda"
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), **({"fused": True} if fused else {}))


def get_batch(path: Path, batch_size: int, block_size: int, device: str) -> tuple[Tensor, Tensor]:
    """As get_batch of nanoGPT: random crops, and the file mapped anew each time, because of a leak of np.memmap."""
    data = np.memmap(path, dtype=np.uint16, mode="r")
    ix = torch.randint(len(data) - block_size, (batch_size,))
    x = torch.stack([torch.from_numpy(data[i : i + block_size].astype(np.int64)) for i in ix])
    y = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + block_size].astype(np.int64)) for i in ix])
    if device == "cuda":
        return x.pin_memory().to(device, non_blocking=True), y.pin_memory().to(device, non_blocking=True)
    return x.to(device), y.to(device)


def train_step(
    loss_of: Callable[[Tensor, Tensor], tuple[object, Tensor]],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Callable[[], tuple[Tensor, Tensor]],
    *,
    accumulation: int,
    autocast: torch.autocast,
) -> Tensor:
    """One update, as the loop of nanoGPT's train.py: the next batch is fetched while the GPU works. Mean loss."""
    X, Y = batches()
    total = torch.zeros((), device=X.device)
    for micro in range(accumulation):
        with autocast:
            _, loss = loss_of(X, Y)
            loss = loss / accumulation
        if micro + 1 < accumulation:
            X, Y = batches()
        loss.backward()
        total += loss.detach()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total
