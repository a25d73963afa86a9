"""Our training step beside a plain nanoGPT-style one, on the CPU: equal shapes, first weights, data and threads.

    .venv/bin/python benchmarks/train_step.py [--data CORPUS] [--threads 2]

Ours is `model.trainer.train` itself, loader, log and checks included. It calls back after a step; there the other takes
its turn, so that both see the same machine. Steps are timed in CPU time of the process and by the clock, ratios are
medians over neighbouring steps. Before, the losses of both models are compared at equal weights on equal tokens.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import nanogpt
import token_corpus
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from webtext.model.data import Batches, Corpus, Windows
from webtext.model.gpt2 import GPT2
from webtext.model.optim import learning_rate
from webtext.model.settings import GPT2Config, TrainSettings
from webtext.model.trainer import train

# Shape, tokens of a batch, windows in one forward pass of ours.
SHAPES = {
    "tiny": (GPT2Config(n_layer=4, n_head=4, n_embd=128, n_ctx=128), 1024, 8),
    "narrow": (GPT2Config(n_layer=12, n_head=3, n_embd=192, n_ctx=256), 1024, 4),  # 124M's depth and heads of 64
    "test": (GPT2Config(n_layer=1, n_head=1, n_embd=8, n_ctx=8), 32, 2),
}


@dataclass
class Times:
    """Seconds of each step."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


class Plain:
    """The other contestant, one step at a time."""

    def __init__(self, config: GPT2Config, settings: TrainSettings, flat: Path, micro: int) -> None:
        self.settings, self.flat, self.micro, self.config = settings, flat, micro, config
        self.model = nanogpt.PlainGPT(config)
        self.optimizer = nanogpt.configure_optimizer(self.model, settings.lr, settings.weight_decay, "cpu")
        self.accumulation = settings.batch_tokens // config.n_ctx // micro
        self.autocast = torch.autocast("cpu", torch.bfloat16, enabled=False)
        self.steps = 0

    def step(self) -> float:
        """One update; its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.steps, self.settings)
        self.steps += 1
        loss = nanogpt.train_step(
            self.model, self.model, self.optimizer,
            lambda: nanogpt.get_batch(self.flat, self.micro, self.config.n_ctx, "cpu"),
            accumulation=self.accumulation, autocast=self.autocast,
        )  # fmt: skip
        return loss.item()


def loss_difference(corpus: Path, config: GPT2Config, seed: int) -> float:
    """Largest difference of the two models' losses of single tokens, at equal weights, over the ids that exist."""
    torch.manual_seed(seed)
    mine, theirs = GPT2(config), nanogpt.PlainGPT(config)
    theirs.load_ours(mine)
    windows = Windows(Corpus.open(corpus), "train", config.n_ctx)
    ids_BT = torch.from_numpy(Batches(windows, 2 * config.n_ctx, seed).batch(0))
    with torch.no_grad():
        logits_BTP, _ = theirs(ids_BT[:, :-1], ids_BT[:, 1:])
        differences = _losses(mine(ids_BT[:, :-1]), ids_BT) - _losses(logits_BTP[..., : config.n_vocab], ids_BT)
    return differences.abs().max().item()


def _losses(logits_BTV: Tensor, ids_BT: Tensor) -> Tensor:
    return F.cross_entropy(logits_BTV.flatten(0, 1), ids_BT[:, 1:].flatten(), reduction="none")


def compare(files: tuple[Path, Path], folder: Path, shape: str, *, steps: int, threads: int, micro: int) -> str:
    """One row of the table. `micro` is the other's: windows in one forward pass, 0 for the whole batch."""
    corpus, flat = files
    config, batch_tokens, our_micro = SHAPES[shape]
    settings = TrainSettings(
        steps=steps + 1, batch_tokens=batch_tokens, micro_batch=our_micro, lr=1e-3, warmup=10,
        eval_every=0, checkpoint_every=0, device="cpu",
    )  # fmt: skip
    torch.set_num_threads(threads)
    difference = loss_difference(corpus, config, settings.seed)
    plain = Plain(config, settings, flat, micro or batch_tokens // config.n_ctx)
    torch.manual_seed(settings.seed)
    plain.model.load_ours(GPT2(config))
    mine, theirs = Times(), Times()
    last = (0, 0.0, 0.0)  # steps, CPU and clock when ours went on

    def turn(metrics: dict[str, float]) -> None:
        nonlocal last
        cpu, wall = time.process_time() - last[1], time.perf_counter() - last[2]
        done = int(metrics["step"]) - last[0]  # a trainer may report every few steps
        before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(False)
        start = time.process_time(), time.perf_counter()
        for _ in range(done):
            loss = plain.step()
        if last[0]:  # the first steps also load code and grow the heap
            _add(mine, cpu / done, wall / done, metrics["loss"])
            _add(theirs, (time.process_time() - start[0]) / done, (time.perf_counter() - start[1]) / done, loss)
        torch.use_deterministic_algorithms(before)
        last = int(metrics["step"]), time.process_time(), time.perf_counter()

    train(corpus, folder / f"run-{shape}", config, replace(settings), turn)
    cells = [
        f"{shape} ({config.n_layer} x {config.n_embd}, {config.n_ctx})",
        f"{batch_tokens / statistics.median(mine.cpu):,.0f}",
        f"{batch_tokens / statistics.median(theirs.cpu):,.0f}",
        f"{_ratio(theirs.cpu, mine.cpu):.2f}",
        f"{_ratio(theirs.wall, mine.wall):.2f}",
        f"{mine.losses[-1]:.3f} / {theirs.losses[-1]:.3f}",
        f"{difference:.1e}",
    ]
    return f"| {' | '.join(cells)} |"


def _add(times: Times, cpu: float, wall: float, loss: float) -> None:
    times.cpu.append(cpu)
    times.wall.append(wall)
    times.losses.append(loss)


def _ratio(theirs: list[float], mine: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(theirs, mine, strict=True))


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a corpus; without it one of made-up tokens is written")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["tiny", "narrow"])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--micro", type=int, default=0, help="windows in a forward pass of the other; 0: whole batch")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = options.data or token_corpus.write(folder / "corpus", 2_000_000)
        flat = token_corpus.flat(corpus, folder / "train.bin")
        print(f"{options.steps} steps, {options.threads} threads, float32; tokens per second of CPU time\n")
        print(
            "| shape | ours | plain | ratio, CPU | ratio, clock | last loss, ours / plain | differ at equal weights |"
        )
        print("|---|---|---|---|---|---|---|")
        for shape in options.shapes:
            row = compare(
                (corpus, flat), folder, shape, steps=options.steps, threads=options.threads, micro=options.micro
            )
            print(row, flush=True)


if __name__ == "__main__":
    main()
