"""Hostile checkpoints and corpora through the commands: a right run, or one line that says what is wrong.

    .venv/bin/python benchmarks/train_mutations.py [--checkpoints 300] [--corpora 100] [--seed 0] [--guard]

Each mutation is read by `webtext pretrain`, and a checkpoint by `webtext sample` before that, each in a process of its
own. What was changed under digests that were kept must be noticed, or the run must end with the weights of an untouched
one, bit for bit. `--guard` puts glibc's checks of its heap under all of it: a write beyond a block of memory ends the
process. Exits with 1 for a crash, a traceback, a process that hangs or a silent change.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

import token_corpus
import torch
import torch._dynamo  # which AdamW imports when it is first used, for seconds

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

import run_mutations

from webtext.jobs import config, pretrain, sample
from webtext.jobs.cli import main as webtext
from webtext.model import checkpoint, generate, log, trainer

IMPORTED: Final = (config, pretrain, sample, generate, log, trainer)  # once, for all forks

LIMIT: Final = 120  # seconds of one command
GUARD: Final = {"LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_CHECK_": "3"}


def flags(corpus: Path, run: Path) -> list[str]:
    """A run of 6 steps of a small model, with a checkpoint after every other one."""
    values = {
        "data": corpus, "out": run, "model.n-layer": 1, "model.n-head": 1, "model.n-embd": 8, "model.n-ctx": 8,
        "train.steps": 6, "train.keep": 3, "train.batch-tokens": 16, "train.warmup": 2, "train.lr": 0.01,
        "train.eval-every": 4, "train.eval-windows": 2, "train.checkpoint-every": 2, "train.device": "cpu",
    }  # fmt: skip
    return ["pretrain", *(f"--{name}={value}" for name, value in values.items())]


def started(args: list[str], folder: Path) -> tuple[int, str]:
    """A command in a fork of this process: its status, below 0 for a signal, and what it wrote."""
    output = folder / "output"
    pid = os.fork()
    if not pid:
        status = 99
        try:
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            status = webtext(args)
            sys.stdout.flush()
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    deadline = time.monotonic() + LIMIT
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), output.read_text(errors="replace")
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def verdict(status: int, output: str) -> str:
    """`right`, or `one line`, or what is wrong."""
    lines = output.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    if status == 0 and not errors and "Traceback" not in output:
        return "right"
    if status == 1 and len(errors) == 1 and lines[-1] == errors[0] and "Traceback" not in output:
        return "one line"
    return f"status {status}: {output[-1500:]}"


def weights(run: Path) -> dict[str, torch.Tensor]:
    """Of the newest checkpoint."""
    newest = checkpoint.latest(run)
    assert newest is not None
    return checkpoint.load_model(newest, torch.device("cpu")).state_dict()


def same(run: Path, expected: dict[str, torch.Tensor]) -> bool:
    """Did the run end with these weights?"""
    found = weights(run)
    return all(torch.equal(found[name], expected[name]) for name in expected)


def try_checkpoint(base: Path, corpus: Path, expected: dict[str, torch.Tensor], seed: str, folder: Path) -> list[str]:
    """Sample from a mutated run, then go on with it. Returns what was done, and the verdicts."""
    run = folder / "run"
    shutil.copytree(base, run)
    what, strict = run_mutations.mutated_checkpoint(run, seed)
    sampling = ["sample", f"--model={run}", "--num=2", "--max-tokens=12", "--device=cpu"]
    verdicts = [verdict(*started(args, folder)) for args in (sampling, flags(corpus, run))]
    if verdicts[1] == "right" and strict and not same(run, expected):
        verdicts[1] = "a silent change"
    return [what, *verdicts]


def try_corpus(corpus: Path, expected: dict[str, torch.Tensor], seed: str, folder: Path) -> list[str]:
    """Train on a mutated corpus. Returns what was done, and the verdict."""
    shutil.copytree(corpus, folder / "corpus")
    what, strict = run_mutations.mutated_corpus(folder / "corpus", seed)
    told = verdict(*started(flags(folder / "corpus", folder / "run"), folder))
    if told == "right" and strict and not same(folder / "run", expected):
        told = "a silent change"
    return [what, told]


def main(argv: list[str] | None = None) -> int:
    """Print what became of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=int, default=300)
    parser.add_argument("--corpora", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guard", action="store_true")
    options = parser.parse_args(argv)
    if options.guard and os.environ.get("MALLOC_CHECK_") is None:
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | GUARD)  # noqa: S606 - this command again
    torch.set_num_threads(1)
    counts: Counter[tuple[str, str]] = Counter()
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        corpus = token_corpus.write(place / "corpus", 6000, shards=2)
        base = place / "base"
        assert started(flags(corpus, base), place)[0] == 0
        expected = weights(base)
        shutil.rmtree(base / "checkpoint-00000006")  # as if it had been killed before
        kinds = ("checkpoint",) * options.checkpoints + ("corpus",) * options.corpora
        for number, kind in enumerate(kinds):
            folder = place / "one"
            folder.mkdir()
            seed = f"{options.seed}/{kind}/{number}"
            if kind == "checkpoint":
                what, *verdicts = try_checkpoint(base, corpus, expected, seed, folder)
            else:
                what, *verdicts = try_corpus(corpus, expected, seed, folder)
            for command, told in zip(("sample", "pretrain")[-len(verdicts) :], verdicts, strict=True):
                fine = told in {"right", "one line"}
                wrong += not fine
                counts[f"{kind}, {command}", told if fine else "WRONG"] += 1
                if not fine:
                    print(f"{seed}, {what}, {command}: {told}", flush=True)
            shutil.rmtree(folder)
    for (what, told), count in sorted(counts.items()):
        print(f"{what}: {count} {told}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
