"""What rounding depends on: device, type, threads, kernels."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody knows
from torch.nn.attention import SDPBackend, sdpa_kernel

from webtext.model.settings import GPT2Config, TrainSettings

BACKENDS: Final = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
# Largest error of a backend, as a share of the largest value, that rounding to bfloat16 (2^-9) explains over a row.
_TOLERANCE: Final = 2e-2

_log = logging.getLogger(__name__)


def choose_device(name: str, local: int = 0) -> torch.device:
    """The PyTorch device `name`; auto is cuda where there is one, number `local`. Raises ValueError if it can't be."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device("cuda", local) if name == "cuda" and torch.cuda.is_available() else torch.device(name)
        torch.zeros(1, device=device).item()  # which meta, a device without memory, can't
    except (RuntimeError, AssertionError, ImportError) as error:
        told = str(error).partition("\n")[0]
        raise ValueError(f"device {name!r} can't be used, try cpu or cuda: {told}") from error
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The type of the forward pass."""
    bfloat16 = name == "bfloat16" or (name == "auto" and device.type == "cuda")
    return torch.bfloat16 if bfloat16 else torch.float32


def choose_loss_chunk(settings: TrainSettings, device: torch.device) -> int:
    """Tokens whose logits are in memory at once, or 0 for all."""
    if settings.loss_chunk:
        return settings.loss_chunk
    if settings.compile:
        return 0  # the compiler fuses softmax and loss, so the logits are written once, in the forward type
    return 256 if device.type == "cpu" else 8192


def prepare_arithmetic(device: torch.device, dtype: torch.dtype, before: Mapping[str, Any]) -> dict[str, Any]:
    """Fix what rounding depends on, and say what it is. A resumed run takes over the number of threads `before`."""
    if device.type == "cpu":
        # Sums are split over the threads, so their number decides the last bits. Setting it, even to what it is, also
        # stops MKL from choosing another one by itself.
        torch.set_num_threads(before.get("threads", torch.get_num_threads()))
        torch.use_deterministic_algorithms(True)
        # On by default with the above: a pass over memory for each new tensor, to expose reads of what nobody wrote.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    else:
        torch.set_float32_matmul_precision("high")  # TensorFloat-32 for what autocast leaves in float32
    now = {
        "device": device.type,
        "dtype": str(dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    for name in now.keys() & before.keys():
        if now[name] != before[name]:
            _log.warning("%s was %s and is %s: the losses go on, not bit for bit", name, before[name], now[name])
    return now


def seed_dropout(seed: int, step: int, micro: int, rank: int) -> None:
    """Make the masks a function of what is being trained on, so that no random state needs to be kept."""
    (state,) = np.random.SeedSequence((seed, step, micro, rank)).generate_state(1, np.uint64)
    torch.manual_seed(int(state))


def choose_attention(name: str, config: GPT2Config, rows: int, device: torch.device, dtype: torch.dtype) -> list[str]:
    """Attention kernels to allow, best first: on cuda those that agree with math on these shapes, by measured speed.

    Args:
        name: one of BACKENDS, or auto.
        config: shape of the model.
        rows: windows of a micro-batch.
        device: where the model is.
        dtype: type of the forward pass.
    """
    if name != "auto":
        return [name]
    if device.type != "cuda":
        return list(BACKENDS)
    generator = torch.Generator(device).manual_seed(0)
    shape = (3, rows, config.n_head, config.n_ctx, config.n_embd // config.n_head)
    small = torch.randn((3, 2, *shape[2:]), generator=generator, device=device, dtype=dtype)
    exact = _attend("math", small.float())
    seconds: dict[str, float] = {}
    for backend in ("flash", "cudnn", "efficient"):
        try:
            found = _attend(backend, small)
            error = max(((a.float() - b).abs().max() / b.abs().max()).item() for a, b in zip(found, exact, strict=True))
            if not error < _TOLERANCE:  # NaN too
                _log.warning("attention by %s is off by %.1e of the largest value: not used", backend, error)
                continue
            large = torch.randn(shape, generator=generator, device=device, dtype=dtype)
            seconds[backend] = _seconds(lambda backend=backend, large=large: _attend(backend, large))  # type: ignore[misc]
        except RuntimeError as unsupported:
            _log.info("attention by %s: %s", backend, unsupported)
    order = sorted(seconds, key=seconds.__getitem__)
    _log.info("attention: %s", ", ".join(f"{backend} {seconds[backend] * 1e3:.2f} ms" for backend in order) or "math")
    return [*order, "math"]


def _attend(backend: str, qkv: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Causal attention and its gradients."""
    qkv = qkv.detach().requires_grad_()
    with sdpa_kernel(BACKENDS[backend]):
        y = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], is_causal=True)
        (gradient,) = torch.autograd.grad(y, qkv, torch.ones_like(y))
    return y.detach(), gradient


def _seconds(work: Callable[[], object], times: int = 5) -> float:
    """Shortest of a few runs on cuda."""
    work()
    best = float("inf")
    for _ in range(times):
        torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return best
