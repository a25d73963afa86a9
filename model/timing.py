"""Where the time of a run goes, and how much of the machine's arithmetic it uses."""

import contextlib
import time
from collections.abc import Iterator
from typing import Final, Literal, get_args

import torch

from webtext.model.settings import GPT2Config

Kind = Literal["data", "step", "eval", "checkpoint", "compile", "other"]
KINDS: Final = get_args(Kind)


class Clock:
    """Each moment belongs to one kind of work, so the kinds add up to the time that has passed."""

    def __init__(self) -> None:
        self.started = self._since = time.perf_counter()
        self._kind: Kind = "other"
        self._spent: dict[Kind, float] = dict.fromkeys(KINDS, 0.0)

    @contextlib.contextmanager
    def __call__(self, kind: Kind) -> Iterator[None]:
        """Inside is time of `kind`, and of no other: the outer kind waits."""
        outer = self._switch(kind)
        try:
            yield
        finally:
            self._switch(outer)

    def of(self, *kinds: Kind) -> float:
        """Seconds so far of `kinds`."""
        self._switch(self._kind)
        return sum(self._spent[kind] for kind in kinds)

    def seconds(self) -> dict[str, float]:
        """Seconds so far as seconds_KIND, and their sum as seconds."""
        self._switch(self._kind)
        spent = {f"seconds_{kind}": round(seconds, 3) for kind, seconds in self._spent.items()}
        return {"seconds": round(self._since - self.started, 3), **spent}

    def _switch(self, kind: Kind) -> Kind:
        now = time.perf_counter()
        self._spent[self._kind] += now - self._since
        before, self._kind, self._since = self._kind, kind, now
        return before


def flops_per_token(config: GPT2Config) -> int:
    """Operations of a training step for one token: 6 for each parameter, 12 L C T for attention.

    Source: PaLM (arXiv 2204.02311, appendix B), as nanoGPT counts. Causal attention does half of its part.
    """
    c, t = config.n_embd, config.n_ctx
    parameters = (config.n_vocab + t) * c + config.n_layer * (12 * c * c + 13 * c) + 2 * c
    return 6 * parameters + 12 * config.n_layer * c * t


def matmul_ceiling(device: torch.device, dtype: torch.dtype, seconds: float = 0.1) -> float:
    """Operations a second of a large matrix product, the best of what fits into `seconds`: the ceiling that MFU is of.

    A data sheet's figure is reached by no real product, and tables of them age.
    """
    n = 8192 if device.type == "cuda" else 512
    # Some pattern: zeros need less power, and so run faster than any real data.
    a = (torch.arange(n * n, device=device, dtype=torch.float32).remainder_(997) - 498).div_(498).view(n, n).to(dtype)
    _timed(a)
    best, end = _timed(a), time.perf_counter() + seconds
    while time.perf_counter() < end:
        best = min(best, _timed(a))
    return 2 * n**3 / best


def _timed(a: torch.Tensor) -> float:
    """Seconds of one product."""
    started = time.perf_counter()
    _ = a @ a
    if a.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started
