"""Kill a training run at random moments and compare its losses and weights with those of a run left alone, bit for bit.

    .venv/bin/python benchmarks/train_kills.py [--kills 20] [--seed 0]

Every other kill is SIGKILL, the others SIGTERM; every third waits until a checkpoint is being written. The moments of
the rest are drawn over the whole run, validation included. Dropout is on. Processes are forks of this one, which has
imported torch, so that they train most of their life. Exits with 1 if a loss or a weight differs.
"""

import argparse
import itertools
import json
import logging
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import token_corpus
import torch

from webtext.model import checkpoint
from webtext.model.curve import LOG
from webtext.model.settings import GPT2Config, TrainSettings
from webtext.model.trainer import train

CONFIG = GPT2Config(n_layer=2, n_head=2, n_embd=8, n_ctx=16, dropout=0.1)
SETTINGS = TrainSettings(
    steps=120, batch_tokens=64, micro_batch=3, lr=0.01, warmup=5, eval_every=6, eval_windows=12, checkpoint_every=5,
    device="cpu", optimizer="muon",
)  # fmt: skip


def start(corpus: Path, run: Path) -> multiprocessing.Process:
    """The run in a process of its own; the exit status says what stopped it."""
    process = multiprocessing.get_context("fork").Process(target=_train, args=(corpus, run))
    process.start()
    return process


def _train(corpus: Path, run: Path) -> None:
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    outcome = train(corpus, run, CONFIG, SETTINGS)
    os._exit(128 + outcome.signal if outcome.signal else 0)


def done(run: Path) -> int:
    """Steps in the log."""
    log = run / LOG
    return log.read_bytes().count(b"\n") if log.exists() else 0


def kill(corpus: Path, run: Path, number: int, moments: random.Random) -> str | None:
    """Start the run and stop it once; None if it ended before."""
    kind = signal.SIGKILL if number % 2 else signal.SIGTERM
    in_save = number % 3 == 0
    target = done(run) + moments.randrange(1, SETTINGS.steps // 8)
    delay = moments.uniform(0, 0.1)
    process = start(corpus, run)
    while process.is_alive():
        if any(run.glob("checkpoint-*.tmp-*")) if in_save else done(run) >= target:
            time.sleep(delay * (0.2 if in_save else 1.0))
            os.kill(process.pid or 0, kind)
            process.join()
            break
        time.sleep(0.0005)
    if process.exitcode == 0:
        return None
    where = "while saving" if any(run.glob("checkpoint-*.tmp-*")) else f"in step {done(run) + 1}"
    return f"{kind.name} {where}, exit status {process.exitcode}"


def result(run: Path) -> tuple[list[tuple[float, ...]], dict[str, torch.Tensor]]:
    """Losses of all steps, and the last weights."""
    lines = [json.loads(line) for line in (run / LOG).read_text().splitlines()]
    curve = [tuple(line.get(name, -1.0) for name in ("step", "loss", "val_loss", "grad_norm", "lr")) for line in lines]
    last = checkpoint.latest(run)
    assert last is not None
    return curve, checkpoint.load_model(last, torch.device("cpu")).state_dict()


def main() -> int:
    """Train once in peace and then with kills, as often as it takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        corpus = token_corpus.write(Path(temporary) / "corpus", 60_000)
        calm = Path(temporary) / "calm"
        start(corpus, calm).join()
        curve, weights = result(calm)
        print(f"undisturbed: {len(curve)} steps, last loss {curve[-1][1]:.4f}", flush=True)
        kills = wrong = number = 0
        while True:
            run = Path(temporary) / f"killed-{number}"
            while kills < options.kills and (what := kill(corpus, run, kills + 1, moments)) is not None:
                kills += 1
                print(f"kill {kills}: {what}", flush=True)
            start(corpus, run).join()
            found_curve, found = result(run)
            differ = sum(a != b for a, b in itertools.zip_longest(curve, found_curve))
            differ += sum(not torch.equal(found[name], weights[name]) for name in weights)
            number += 1
            print(f"run {number} ends: {len(found_curve)} steps, {len(found)} tensors, {differ} differ", flush=True)
            wrong += differ
            if kills >= options.kills:
                return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
