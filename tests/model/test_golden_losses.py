"""The losses of two short runs stay what they were: a change of the mathematics is seen on the day it is made.

After a change that is meant to move them: `pytest tests/model/test_golden_losses.py --update-golden`, and review the
diff of golden_losses.json.
"""

import json
from pathlib import Path

import pytest
import torch

from webtext.model.curve import LOG
from webtext.model.settings import GPT2Config, TrainSettings
from webtext.model.trainer import train

REFRESH = "pytest tests/model/test_golden_losses.py --update-golden"
GOLDEN = Path(__file__).with_name("golden_losses.json")
CONFIG = GPT2Config(n_layer=2, n_head=2, n_embd=64, n_ctx=32)
# Share of a loss that rounding may move it by. Measured over the 30 steps: 8 threads, AVX2 in place of AVX-512, no
# vector instructions and MKL's SSE4.2 move a loss by 6e-6 at most, MKL's compatible mode with 3 threads by 1.5e-5.
# Changes of the mathematics, in one of the two runs at least: gradients clipped at 1.01 move one by 1e-4; the exact
# GELU, twice the epsilon of LayerNorm, a second beta of 0.951, decay 0.11, min_lr_ratio 0.101 and queries 1 % larger by
# 7e-4 or more. Only PyTorch 2.13.0 was measured. A version with other random numbers would have other first weights,
# seen in step 1: then the losses are to be written anew.
TOLERANCE = 4e-5


def losses(corpus, run, optimizer):
    """In nats per token: of each step, and of the validation windows after every tenth."""
    settings = TrainSettings(
        steps=30, batch_tokens=32 * 8, micro_batch=4, optimizer=optimizer, lr=1e-2, muon_lr=5e-2, warmup=5,
        eval_every=10, eval_windows=8, checkpoint_every=0, device="cpu", dtype="float32",
    )  # fmt: skip
    train(corpus, run, CONFIG, settings)
    log = [json.loads(line) for line in (run / LOG).read_text().splitlines()]
    return [{name: round(line[name], 6) for name in ("step", "loss", "val_loss") if name in line} for line in log]


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def written(golden):
    """As JSON with a line for each step, so that a diff shows the steps that moved."""
    runs = (
        f'"{name}": [\n' + ",\n".join(f"  {json.dumps(line)}" for line in lines) + "\n]"
        for name, lines in golden.items()
    )
    return "{\n" + ",\n".join(runs) + "\n}\n"


def first_difference(found, golden):
    """In words; empty where there is none."""
    for ours, theirs in zip(found, golden, strict=True):
        for name, value in theirs.items():
            if ours[name] != pytest.approx(value, rel=TOLERANCE):
                return (
                    f"step {theirs['step']}: {name} is {ours[name]:.6f} and was {value:.6f}, which rounding does not "
                    f"explain; if the mathematics is meant to change, run `{REFRESH}` and review the diff"
                )
    return ""


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_losses_are_those_of_earlier_commits(counting_corpus, tmp_path, one_thread, request, optimizer):
    found = losses(counting_corpus, tmp_path, optimizer)
    golden = json.loads(GOLDEN.read_text())
    if request.config.getoption("--update-golden"):
        golden[optimizer] = found
        GOLDEN.write_text(written(golden))
    assert first_difference(found, golden[optimizer]) == ""


def test_the_first_difference_is_named():
    golden = json.loads(GOLDEN.read_text())["adamw"]
    moved = [
        {name: v * (1 + 2 * TOLERANCE) if name == "val_loss" else v for name, v in line.items()} for line in golden
    ]
    assert first_difference(golden, golden) == ""
    then, now = golden[9]["val_loss"], moved[9]["val_loss"]
    told = first_difference(moved, golden)
    assert told.startswith(f"step 10: val_loss is {now:.6f} and was {then:.6f}, ")
    assert REFRESH in told
