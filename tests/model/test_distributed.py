"""Several processes train as one: the same batches, the same losses, checkpoints that any number of them read."""

import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import children, finished, started, wait_for

from webtext.model import checkpoint
from webtext.model.checkpoint import MODEL
from webtext.model.curve import LOG
from webtext.model.settings import GPT2Config, TrainSettings
from webtext.model.trainer import train

CONFIG = GPT2Config(n_layer=2, n_head=2, n_embd=16, n_ctx=16)
COMMON = {
    "steps": 4, "batch_tokens": 16 * 24, "lr": 1e-2, "warmup": 2, "eval_every": 2, "eval_windows": 7,
    "checkpoint_every": 2, "device": "cpu",
}  # fmt: skip

# What each rank runs: train(), and a record of the rows that it was given.
RANK = """
import hashlib, json, os, sys
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
from webtext.model import loader, trainer
from webtext.model.settings import GPT2Config, TrainSettings
data, run, config, settings, stop = json.loads(sys.argv[1])
rank = os.environ["RANK"]
class Recorded(loader.Loader):
    def next(self):
        rows = super().next()
        with open(f"{run}/rows-{rank}", "ab") as file:
            file.write(rows.numpy().astype("<u2").tobytes())
        return rows
trainer.Loader = Recorded
Path(run).mkdir(exist_ok=True)
def show(line):
    assert rank == "0"
    if line["step"] == stop:
        os.kill(os.getpid(), 15)  # this rank only: the others have to hear of it from it
trainer.train(Path(data), Path(run), GPT2Config(**config), TrainSettings(**settings), show)
"""


# The same as torchrun does, but PyTorch, whose import takes seconds, is imported once for all ranks. Their store has a
# process of its own: it has a thread, and a rank that is forked beside a thread may find a lock that nobody opens.
FORK = """
import os, runpy, signal, sys, traceback
import torch
from webtext.model import trainer
ranks, script = int(sys.argv[1]), sys.argv[2]
reader, writer = os.pipe()
server = os.fork()
if not server:
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    os.write(writer, str(store.port).encode())
    signal.pause()
os.environ |= {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": os.read(reader, 9).decode()}
os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"  # the first rank starts none of its own
running = {}
for rank in range(ranks):
    if pid := os.fork():
        running[pid] = rank
        continue
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    sys.argv = sys.argv[2:]
    try:
        runpy.run_path(script, run_name="__main__")
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
failed = 0
while running and not failed:
    pid, failed = os.wait()
    running.pop(pid, None)
for pid in (server, *running):
    os.kill(pid, signal.SIGKILL)
sys.exit(1 if failed else 0)
"""
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")


def command(
    ranks: int, data: Path, run: Path, settings: TrainSettings, stop: int = 0, by: Sequence[str] = ("-c", FORK)
) -> list[str]:
    arguments = json.dumps([str(data), str(run), asdict(CONFIG), asdict(settings), stop])
    script = run.parent / "rank.py"
    script.write_text(RANK)
    return [sys.executable, *by, str(ranks), str(script), arguments]


def start(*args: Any, **options: Any) -> int:
    done = finished(command(*args, **options), env=ENVIRONMENT, text=True, limit=280)
    print(done.stderr[-3000:])  # pytest shows it when the test fails
    return done.returncode


def losses(run: Path) -> list[list[float]]:
    lines = [json.loads(line) for line in (run / LOG).read_text().splitlines()]
    return [[line["loss"], line["grad_norm"], line.get("val_loss", 0.0)] for line in lines]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load_model(checkpoint.latest(run), torch.device("cpu")).state_dict()


@pytest.fixture(scope="module")
def alone(counting_corpus, tmp_path_factory):
    """One process, one pass of 24 windows."""
    run = tmp_path_factory.mktemp("alone") / "run"
    train(counting_corpus, run, CONFIG, TrainSettings(micro_batch=24, **COMMON))
    return run


@pytest.mark.parametrize(
    ("ranks", "micro_batch", "by"),
    [(1, 3, ()), (2, 3, TORCHRUN), (4, 3, ("-c", FORK)), (3, 8, ("-c", FORK))],
    ids=["1-3", "2-3 torchrun", "4-3", "3-8"],
)
def test_ranks_and_accumulation_change_rounding_only(alone, counting_corpus, tmp_path, ranks, micro_batch, by):
    """1 x 8, 2 x 4 and 4 x 2 passes of 3 windows; 3 x 1 of 8."""
    run = tmp_path / "run"
    settings = TrainSettings(micro_batch=micro_batch, **COMMON)
    if ranks == 1:
        train(counting_corpus, run, CONFIG, settings)
    else:
        assert start(ranks, counting_corpus, run, settings, by=by) == 0
        from webtext.model.data import Batches, Corpus, Windows

        batches = Batches(Windows(Corpus.open(counting_corpus), "train", 16), 16 * 24, settings.seed)
        for rank in range(ranks):
            expected = b"".join(batches.batch(step)[rank::ranks].astype("<u2").tobytes() for step in range(4))
            assert (run / f"rows-{rank}").read_bytes() == expected
    for ours, theirs in zip(losses(run), losses(alone), strict=True):
        assert ours[0] == pytest.approx(theirs[0], rel=1e-6)
        assert ours[1] == pytest.approx(theirs[1], rel=1e-4)
        assert ours[2] == pytest.approx(theirs[2], rel=1e-6)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_fsdp_is_ddp_and_its_checkpoints_are_anybodys(counting_corpus, tmp_path, optimizer):
    settings = {"micro_batch": 6, "optimizer": optimizer, "recompute": True, **COMMON}
    one, two = tmp_path / "one", tmp_path / "two"
    train(counting_corpus, one, CONFIG, TrainSettings(**settings))
    # Begun alone, gone on with on two ranks until a signal to one of them, finished alone.
    stop = train(counting_corpus, two, CONFIG, TrainSettings(**settings), lambda line: os.kill(os.getpid(), 15))
    assert (stop.step, stop.signal) == (1, 15)
    sharded = TrainSettings(parallel="fsdp", **settings)
    assert start(2, counting_corpus, two, sharded, stop=3) == 0
    stopped = checkpoint.latest(two)
    assert stopped.state.step in {3, 4}
    assert (stopped.path / "model-00001-of-00002.safetensors").exists()
    train(counting_corpus, two, CONFIG, TrainSettings(**settings))
    for ours, theirs in zip(losses(two), losses(one), strict=True):
        # Newton-Schulz turns last bits of small singular values into larger ones.
        assert ours == pytest.approx(theirs, rel=1e-3 if optimizer == "muon" else 1e-4)
    again = weights(one)
    assert all(
        torch.allclose(tensor, again[name], rtol=1e-3, atol=1e-5 if optimizer == "adamw" else 1e-3)
        for name, tensor in weights(two).items()
    )
    # A part that is missing is damage.
    (stopped.path / checkpoint.part_name(MODEL, 1, 2)).unlink()
    with pytest.raises(ValueError, match=r"of model\.safetensors there are .*00001-of-00002"):
        checkpoint.opened(stopped.path)


def test_a_signal_to_every_process_of_a_job_saves_a_checkpoint(counting_corpus, tmp_path):
    """As systemd and scancel send it: to the ranks and to torchrun's agent, which sends it to the ranks again."""
    run = tmp_path / "run"
    settings = TrainSettings(micro_batch=12, **COMMON | {"steps": 5000, "checkpoint_every": 0, "eval_every": 0})
    with started(command(2, counting_corpus, run, settings, by=TORCHRUN), env=ENVIRONMENT) as process:
        wait_for(
            lambda: process.poll() is not None or ((run / LOG).exists() and (run / LOG).read_text().count("\n") > 2)
        )
        os.killpg(process.pid, signal.SIGTERM)
        for rank in children(process.pid):  # again, whenever the agent's own comes
            with suppress(ProcessLookupError):
                os.kill(rank, signal.SIGTERM)
        assert process.wait() != 0
    saved = checkpoint.latest(run)
    assert saved is not None
    assert saved.state.step == len(losses(run))


def test_ranks_that_do_not_divide_the_batch_are_refused(counting_corpus, tmp_path, monkeypatch):
    from webtext.model.data import Batches, Corpus, Windows

    batches = Batches(Windows(Corpus.open(counting_corpus), "train", 16), 16 * 24, 0)
    with pytest.raises(ValueError, match="24 windows can't be shared evenly by 5 ranks"):
        batches.rows_of_rank(5)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="WORLD_SIZE is 2 but 'RANK' is not set: start with torchrun"):
        train(counting_corpus, tmp_path, CONFIG, TrainSettings(**COMMON))
