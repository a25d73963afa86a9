"""Tokens per second, MFU and memory on one GPU: GPT-2 124M and 355M, with and without each optimisation.

    python benchmarks/gpu.py [--seconds 380] [--output gpu.md]

One command, under 8 minutes on an H100 or H200; nothing is downloaded, the tokens are made up. The ceiling is a matrix
product of this machine at the start. "plain" is a nanoGPT-style trainer; "webtext pretrain" is the trainer itself, with
its loader, log and checks; the other rows are our model in a bare loop, each with one change. Rows that no time is left
for say so. --dry-run runs every row in small on the CPU.
"""

import argparse
import contextlib
import gc
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import nanogpt
import token_corpus
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from webtext.model.data import Batches, Corpus, Windows
from webtext.model.gpt2 import GPT2
from webtext.model.settings import SIZES, GPT2Config, TrainSettings
from webtext.model.timing import flops_per_token, matmul_ceiling
from webtext.model.trainer import train

BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}


@dataclass(frozen=True)
class Variant:
    """One row: which of the optimisations are on."""

    name: str
    micro: int  # windows in one forward pass
    compile: bool = True
    bf16: bool = True
    fused: bool = True
    attention: str = "auto"  # what PyTorch prefers
    loss_chunk: int = 0  # tokens whose logits are in memory at once; 0 for all
    recompute: bool = False
    plain: bool = False
    trainer: bool = False
    optimizer: str = "adamw"


@dataclass(frozen=True)
class Machine:
    """What the rows run on, and in which size."""

    device: torch.device
    corpus: Path
    flat: Path
    folder: Path
    batch_tokens: int
    least_seconds: float  # of each measurement
    backend: str  # of torch.compile

    def wait(self) -> None:
        """Until the GPU has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()


@dataclass(frozen=True)
class Result:
    """What one row measured."""

    tokens_per_second: float
    peak_gib: float
    warm_up: float  # seconds to the second step, compilation included


def variants(micro: int) -> tuple[list[Variant], list[Variant]]:
    """The rows of one size: those that tell most, and the others.

    A compilation takes most of a row's time, so what can be told without is compared without.
    """
    every = Variant("all: compile, bf16, fused AdamW", micro)
    eager = replace(every, name="without compile", compile=False)
    first = [
        every,
        Variant("plain nanoGPT-style, its optimisations on", micro, plain=True),
        Variant("webtext pretrain", micro, trainer=True),
        eager,
    ]
    rest = [
        *(
            replace(eager, name=f"without compile, attention {name}", attention=name)
            for name in BACKENDS
            if name != "math"
        ),
        # It keeps the square of each head.
        replace(eager, name="without compile, attention math", attention="math", micro=micro // 4),
        replace(eager, name="without compile, loss in chunks of 8,192", loss_chunk=8192),
        replace(eager, name="without compile, activations recomputed", recompute=True),
        replace(eager, name="without compile, foreach AdamW in place of fused", fused=False),
        replace(eager, name="without compile, TF32 in place of bf16", bf16=False, micro=micro // 2),
        replace(every, name="all, attention cudnn", attention="cudnn"),
        replace(every, name=f"all, micro-batch {micro // 2}", micro=micro // 2),
        Variant("webtext pretrain, Muon", micro, trainer=True, optimizer="muon"),
        Variant("plain nanoGPT-style, its micro-batch 12", 12, plain=True),
        replace(every, name="all, TF32 in place of bf16", bf16=False, micro=micro // 2),
    ]
    return first, rest


def measure(variant: Variant, config: GPT2Config, machine: Machine) -> Result:
    """Run one row. Raises what PyTorch raises where memory or a kernel is missing."""
    if variant.trainer:
        return _measure_trainer(variant, config, machine)
    step = _plain_step(variant, config, machine) if variant.plain else _our_step(variant, config, machine)
    kernels = sdpa_kernel([BACKENDS[variant.attention]]) if variant.attention != "auto" else contextlib.nullcontext()
    with kernels:
        started = time.perf_counter()
        for _ in range(2):  # compilation, and the heap at its final size
            step()
        machine.wait()
        warm_up = time.perf_counter() - started
        steps, started = 0, time.perf_counter()
        while not steps or time.perf_counter() - started < machine.least_seconds:
            step()
            machine.wait()
            steps += 1
        seconds = time.perf_counter() - started
    tokens = _micro_steps(variant, config, machine) * variant.micro * config.n_ctx
    return Result(steps * tokens / seconds, _peak_gib(machine), warm_up)


def _micro_steps(variant: Variant, config: GPT2Config, machine: Machine) -> int:
    return max(1, machine.batch_tokens // (variant.micro * config.n_ctx))


def _autocast(variant: Variant, machine: Machine) -> torch.autocast:
    return torch.autocast(machine.device.type, torch.bfloat16, enabled=variant.bf16)


def _our_step(variant: Variant, config: GPT2Config, machine: Machine) -> Callable[[], object]:
    """A step of our model on our batches, without the trainer around it."""
    model = GPT2(config).to(machine.device)
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=6e-4, betas=(0.9, 0.95), fused=variant.fused or None,  # None: PyTorch's default, foreach
    )  # fmt: skip
    options = {"chunk": variant.loss_chunk, "recompute": variant.recompute}
    summed = torch.compile(model.loss, backend=machine.backend) if variant.compile else model.loss
    micro_steps = _micro_steps(variant, config, machine)
    tokens = variant.micro * config.n_ctx
    windows = Windows(Corpus.open(machine.corpus), "train", config.n_ctx)
    batches = Batches(windows, micro_steps * tokens, seed=0)
    pin = machine.device.type == "cuda"

    def parts() -> Iterator[tuple[Tensor, Tensor]]:
        for number in itertools.count():
            for part in torch.split(torch.from_numpy(batches.batch(number)), variant.micro):
                ids_BT = (part.pin_memory() if pin else part).to(machine.device, non_blocking=True)
                yield ids_BT[:, :-1], ids_BT[:, 1:]

    upcoming = parts()
    return lambda: nanogpt.train_step(
        lambda X, Y: (None, summed(X, Y, **options) / tokens), model, optimizer, lambda: next(upcoming),
        accumulation=micro_steps, autocast=_autocast(variant, machine),
    )  # fmt: skip


def _plain_step(variant: Variant, config: GPT2Config, machine: Machine) -> Callable[[], object]:
    model = nanogpt.PlainGPT(config)
    model.load_ours(GPT2(config))
    model.to(machine.device)
    optimizer = nanogpt.configure_optimizer(model, 6e-4, 0.1, machine.device.type)
    compiled = torch.compile(model, backend=machine.backend)
    micro_steps = _micro_steps(variant, config, machine)
    return lambda: nanogpt.train_step(
        compiled, model, optimizer,
        lambda: nanogpt.get_batch(machine.flat, variant.micro, config.n_ctx, machine.device.type),
        accumulation=micro_steps, autocast=_autocast(variant, machine),
    )  # fmt: skip


def _measure_trainer(variant: Variant, config: GPT2Config, machine: Machine) -> Result:
    """The trainer itself. Its time runs from one of its log lines to the last."""
    tokens = _micro_steps(variant, config, machine) * variant.micro * config.n_ctx
    steps, skipped = (12, 4) if machine.device.type == "cuda" else (4, 2)
    settings = TrainSettings(
        steps=steps, batch_tokens=tokens, micro_batch=variant.micro, eval_every=0, checkpoint_every=0,
        device=machine.device.type, dtype="bfloat16", compile=machine.backend == "inductor", log_every=1,
        optimizer=variant.optimizer,
    )  # fmt: skip
    moments = [(0, time.perf_counter())]
    with tempfile.TemporaryDirectory(dir=machine.folder) as run:
        train(
            machine.corpus, Path(run), config, settings, lambda m: moments.append((int(m["step"]), time.perf_counter()))
        )
    torch.use_deterministic_algorithms(False)  # which the trainer asks for on a CPU
    first, last = next(moment for moment in moments if moment[0] >= skipped), moments[-1]
    seconds = last[1] - first[1]
    return Result((last[0] - first[0]) * tokens / seconds, _peak_gib(machine), first[1] - moments[0][1])


def _peak_gib(machine: Machine) -> float:
    return torch.cuda.max_memory_allocated() / 2**30 if machine.device.type == "cuda" else 0.0


@contextlib.contextmanager
def _fresh(machine: Machine) -> Iterator[None]:
    """Nothing of the row before: no compiled code, no memory, no peak."""
    torch.compiler.reset()
    gc.collect()
    if machine.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    torch.manual_seed(1337)
    yield


def row(variant: Variant, config: GPT2Config, machine: Machine, ceiling: float, deadline: float) -> str:
    """One line of the table; what fails or is not reached says so in it."""
    if time.monotonic() > deadline:
        return f"| {variant.name} | {variant.micro} | | | | no time left |"
    try:
        with _fresh(machine):
            result = measure(variant, config, machine)
    except torch.OutOfMemoryError:
        return f"| {variant.name} | {variant.micro} | | | | out of memory |"
    except RuntimeError as error:  # no kernel for these shapes, a compiler that fails: the other rows still count
        return f"| {variant.name} | {variant.micro} | | | | {_one_line(error)} |"
    mfu = result.tokens_per_second * flops_per_token(config) / ceiling
    return (
        f"| {variant.name} | {variant.micro} | {result.tokens_per_second:,.0f} | {mfu:.1%} | {result.peak_gib:.1f} "
        f"| {result.warm_up:.0f} s |"
    )


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()).replace("|", "/") or type(error).__name__
    return f"failed: {text[:80]}"


def run(sizes: dict[str, tuple[GPT2Config, int]], machine: Machine, seconds: float, tell: Callable[[str], None]) -> str:
    """Measure, telling each row as it is known. Returns the tables."""
    deadline = time.monotonic() + seconds
    ceiling = matmul_ceiling(machine.device, torch.bfloat16, 1.0 if machine.device.type == "cuda" else 0.05)
    name = torch.cuda.get_device_name() if machine.device.type == "cuda" else "CPU, a dry run: the figures mean nothing"
    head = (
        f"{name}; PyTorch {torch.__version__}; a bfloat16 matrix product reaches {ceiling / 1e12:.3g} TFLOP/s, "
        f"which is 100 % MFU; batches of about {machine.batch_tokens:,} tokens."
    )
    tell(head)
    rows: dict[str, list[str]] = {size: [] for size in sizes}
    for part in (0, 1):  # what tells most, of every size, comes before the rest of any
        for size, (config, micro) in sizes.items():
            for variant in variants(micro)[part]:
                rows[size].append(row(variant, config, machine, ceiling, deadline))
                tell(f"{size} {rows[size][-1]}")
    heading = "| what | micro-batch | tokens/s | MFU | peak GiB | warm-up |\n|---|---|---|---|---|---|"
    tables = [
        f"### {size}: {flops_per_token(config) / 1e6:,.1f} MFLOP a token\n\n{heading}\n" + "\n".join(rows[size])
        for size, (config, _) in sizes.items()
    ]
    return "\n\n".join([head, *tables]) + "\n"


def main(argv: list[str] | None = None) -> None:
    """Print the tables, and write them to a file if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=380, help="no new row is begun after this time")
    parser.add_argument("--output", type=Path, help="file for the tables too")
    parser.add_argument("--dry-run", action="store_true", help="every row, on the CPU, in shapes that show nothing")
    options = parser.parse_args(argv)
    if not options.dry_run and not torch.cuda.is_available():
        parser.error("no CUDA device; --dry-run shows on the CPU that everything works")
    torch.set_float32_matmul_precision("high")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = token_corpus.write(folder / "corpus", 20_000 if options.dry_run else 20_000_000)
        flat = token_corpus.flat(corpus, folder / "train.bin")
        if options.dry_run:
            machine = Machine(torch.device("cpu"), corpus, flat, folder, 64, 0.0, "eager")
            sizes = {"small": (GPT2Config(n_layer=1, n_head=1, n_embd=8, n_ctx=8), 4)}
        else:
            machine = Machine(torch.device("cuda"), corpus, flat, folder, 524_288, 3.0, "inductor")
            sizes = {"gpt2-124m": (SIZES["gpt2-124m"], 64), "gpt2-355m": (SIZES["gpt2-355m"], 32)}
        tables = run(sizes, machine, options.seconds, lambda line: print(line, file=sys.stderr, flush=True))
    print(tables)
    if options.output:
        options.output.write_text(tables)


if __name__ == "__main__":
    main()
