"""Training end to end: the loss falls, and a run that is killed anywhere ends as if it had not been."""

import fcntl
import json
import math
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from forged_checkpoints import change_state, change_tensors
from processes import started
from safetensors.torch import load_file

from webtext.jobs.sample import SampleConfig
from webtext.jobs.sample import run as sample
from webtext.model import checkpoint
from webtext.model.data import Batches, Corpus, Windows
from webtext.model.settings import GPT2Config, TrainSettings
from webtext.model.trainer import LOG, train

CONFIG = GPT2Config(n_layer=1, n_head=2, n_embd=16, n_ctx=16)
SETTINGS = TrainSettings(
    steps=12,
    batch_tokens=128,
    micro_batch=4,
    lr=1e-2,
    warmup=2,
    eval_every=5,
    eval_windows=6,
    checkpoint_every=4,
    device="cpu",
)


def log_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / LOG).read_text().splitlines()]


def without_time(log):
    timed = ("tokens_per_second", "mfu", "seconds")
    return [{name: value for name, value in line.items() if not name.startswith(timed)} for line in log]


@pytest.fixture(scope="module")
def finished(counting_corpus, tmp_path_factory):
    run = tmp_path_factory.mktemp("finished")
    train(counting_corpus, run, CONFIG, SETTINGS)
    return run


def test_log_has_each_step_once(finished):
    log = log_of(finished)
    assert [line["step"] for line in log] == list(range(1, 13))
    assert [line["tokens"] for line in log] == [128 * step for step in range(1, 13)]
    assert [line["step"] for line in log if "val_loss" in line] == [5, 10, 12]
    assert not any("mfu" in line for line in log)  # of a ceiling that moves with the load of a CPU
    assert log[0]["loss"] == pytest.approx(10.82, abs=0.05)  # ln 50,257
    assert [path.name for path in sorted(finished.glob("checkpoint-*"))] == [
        "checkpoint-00000008",
        "checkpoint-00000012",
    ]


def test_the_loss_falls(counting_corpus, tmp_path):
    settings = replace(SETTINGS, steps=60, micro_batch=8, lr=3e-2, eval_every=30, checkpoint_every=0)
    outcome = train(counting_corpus, tmp_path, CONFIG, settings)
    assert (outcome.step, outcome.signal) == (60, 0)
    # Documents count upwards in 50 tokens: guessing among those 50 costs ln 50 = 3.9.
    assert outcome.metrics["loss"] < 3.0
    assert outcome.metrics["val_loss"] < 3.0


def test_a_finished_run_has_nothing_to_do(finished, counting_corpus):
    before = (finished / LOG).read_bytes()
    outcome = train(counting_corpus, finished, CONFIG, SETTINGS)
    assert (outcome.step, outcome.metrics) == (12, {})
    assert (finished / LOG).read_bytes() == before


@pytest.mark.parametrize("micro_batch", [1, 3, 8])
def test_micro_batches_change_rounding_only(finished, counting_corpus, tmp_path, micro_batch):
    train(counting_corpus, tmp_path, CONFIG, replace(SETTINGS, micro_batch=micro_batch))
    for ours, theirs in zip(log_of(tmp_path), log_of(finished), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-3)
        if "val_loss" in theirs:
            assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-4)


@pytest.mark.parametrize("seconds", [0.0, 0.05])
def test_a_signal_during_validation_costs_no_line(counting_corpus, tmp_path, seconds):
    settings = replace(SETTINGS, steps=8, eval_every=6, eval_windows=0, micro_batch=1)

    def stop_soon(line):
        if line["step"] == 5:  # the next one is validated, which takes far longer than a step
            threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM)).start()

    outcome = train(counting_corpus, tmp_path / "stopped", CONFIG, settings, stop_soon)
    assert outcome.signal == signal.SIGTERM
    assert checkpoint.latest(tmp_path / "stopped").state.step == outcome.step
    print(outcome, len(log_of(tmp_path / "stopped")))
    train(counting_corpus, tmp_path / "stopped", CONFIG, settings)
    train(counting_corpus, tmp_path / "calm", CONFIG, settings)
    assert_equal_runs(tmp_path / "stopped", tmp_path / "calm")


def test_a_step_whose_loss_stands_out_is_skipped_and_its_documents_named(make_corpus, tmp_path, caplog):
    corpus = make_corpus([[*([[*range(40)]] * 60), [50_000 - 91 * i for i in range(40)], *([[*range(40)]] * 30)]])
    windows = Windows(Corpus.open(corpus), "train", 16)
    batches = Batches(windows, 16, SETTINGS.seed)
    strange = {w for w in range(len(windows)) if (windows.read(np.array([w])) < 50_000 - 91 * 40).sum() == 0}
    bad = [step for step in range(64, 2 * len(windows)) if int(batches.windows_at(step)[0]) in strange]
    assert bad
    settings = replace(SETTINGS, steps=bad[0] + 2, batch_tokens=16, spike_sigma=1.5, eval_every=0, checkpoint_every=0)
    train(corpus, tmp_path, CONFIG, settings)
    skipped = [line["step"] for line in log_of(tmp_path) if "skipped" in line]
    assert skipped[-1] == bad[0] + 1
    planted = "http://example.com/train/0/60"  # a part of it in a window can be enough
    assert all(planted in {span.url for span in batches.spans_at(step - 1)[0]} for step in skipped)
    assert caplog.text.count(planted) == len(skipped)
    assert f"--replay-step {bad[0] + 1} lists them" in caplog.text


HUGE = 50_000  # a token whose logit is so low that the loss of predicting it has no finite gradient


@pytest.fixture
def fragile(make_corpus, tmp_path):
    """A run of 4 steps, a corpus, and its steps from the fifth on that have to predict HUGE."""
    counting = [[(start + i) % 50 for i in range(31)] for start in range(90)]
    corpus = make_corpus([[*counting[:45], [HUGE] * 40, *counting[45:]]])
    settings = replace(SETTINGS, steps=24, eval_every=0)

    def stop(line):
        if line["step"] == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    train(corpus, tmp_path, CONFIG, settings, stop)
    folder = tmp_path / "checkpoint-00000004"
    weights = load_file(folder / checkpoint.MODEL)
    weights["ln_f.bias"][0], weights["wte.weight"][HUGE, 0] = 8.0, -1e37
    change_tensors(folder / checkpoint.MODEL, weights)
    change_state(folder)
    batches = Batches(Windows(Corpus.open(corpus), "train", 16), 128, settings.seed)
    bad = [step + 1 for step in range(4, 24) if (batches.batch(step)[:, 1:] == HUGE).any()]
    assert 1 < len(bad) < 10
    return corpus, settings, bad


def test_steps_without_a_finite_gradient_are_skipped_and_the_run_goes_on(fragile, tmp_path, caplog):
    corpus, settings, bad = fragile
    outcome = train(corpus, tmp_path, CONFIG, settings)
    assert outcome.step == 24
    assert [line["step"] for line in log_of(tmp_path) if "skipped" in line] == bad
    assert caplog.text.count("http://example.com/train/0/45") >= len(bad)
    assert [line["step"] for line in log_of(tmp_path) if line["grad_norm"] is None] == bad
    assert math.isfinite(log_of(tmp_path)[-2]["loss"])


def test_too_many_in_a_row_end_the_run_unless_they_are_passed(fragile, tmp_path):
    corpus, settings, bad = fragile
    settings = replace(settings, max_nonfinite=1)
    with pytest.raises(ValueError, match=rf"1 steps in a row, up to step {bad[0]}, .*--train\.skip-steps {bad[0]}$"):
        train(corpus, tmp_path, CONFIG, settings)
    assert train(corpus, tmp_path, CONFIG, replace(settings, skip_steps=tuple(bad))).step == 24
    assert [line["step"] for line in log_of(tmp_path) if "skipped" in line] == bad


def test_skipped_steps_in_a_row_are_counted_over_a_stop(fragile, tmp_path):
    corpus, settings, bad = fragile

    def stop(line):
        if line["step"] == bad[0]:
            os.kill(os.getpid(), signal.SIGTERM)

    train(corpus, tmp_path, CONFIG, settings, stop)
    assert checkpoint.latest(tmp_path).state.skipped == 1
    assert checkpoint.latest(tmp_path).state.metrics["grad_norm"] is None
    assert train(corpus, tmp_path, CONFIG, settings).step == 24


def test_a_disk_that_fills_up_keeps_the_last_checkpoint(counting_corpus, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(line):
        if line["step"] == 6:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))

    try:
        with pytest.raises(OSError, match=r"checkpoint of step 8 can't be written: .*; older ones are kept"):
            train(counting_corpus, tmp_path, CONFIG, SETTINGS, fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert checkpoint.latest(tmp_path).state.step == 4
    train(counting_corpus, tmp_path, CONFIG, SETTINGS)


def test_time_adds_up(finished):
    for line in log_of(finished):
        if "val_loss" in line:
            kinds = [value for name, value in line.items() if name.startswith("seconds_")]
            assert sum(kinds) == pytest.approx(line["seconds"], abs=0.005)
            assert min(line["seconds_step"], line["seconds_eval"]) > 0


class TestRefuses:
    """What does not fit together, by name."""

    @pytest.mark.parametrize(
        ("config", "settings", "message"),
        [
            (CONFIG, replace(SETTINGS, weight_decay=0.5), r"train\.weight_decay is 0\.5, the run in .* has 0\.1"),
            (CONFIG, replace(SETTINGS, steps=11), r"train\.steps may only grow: it is 11, the run in .* has 12"),
            (CONFIG, replace(SETTINGS, optimizer="muon"), r"train\.optimizer is 'muon'"),
            (CONFIG, replace(SETTINGS, batch_tokens=256), r"train\.batch_tokens is 256"),
            (CONFIG, replace(SETTINGS, seed=1), r"train\.seed is 1"),
            (replace(CONFIG, n_layer=2), SETTINGS, r"model\.n_layer is 2"),
        ],
    )
    def test_another_configuration(self, finished, counting_corpus, config, settings, message):
        with pytest.raises(ValueError, match=message):
            train(counting_corpus, finished, config, settings)

    def test_an_edited_corpus(self, finished, make_corpus):
        other = make_corpus([[[1, 2, 3] * 200]], [[[1, 2, 3] * 20]])
        with pytest.raises(ValueError, match=r"content_sha256 .* was trained on"):
            train(other, finished, CONFIG, SETTINGS)

    def test_a_run_that_another_process_trains(self, counting_corpus, tmp_path):
        with (tmp_path / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(ValueError, match="is in use by another process"):
                train(counting_corpus, tmp_path, CONFIG, SETTINGS)

    def test_a_pipe_in_place_of_the_lock_is_not_waited_for(self, counting_corpus, tmp_path):
        os.mkfifo(tmp_path / ".lock")
        assert train(counting_corpus, tmp_path, CONFIG, replace(SETTINGS, steps=1)).step == 1

    def test_a_validation_split_without_a_window(self, make_corpus, tmp_path):
        corpus = make_corpus([[[1, 2, 3] * 200]], [[[1, 2, 3]]])
        with pytest.raises(ValueError, match=r"has 4 tokens, one window takes 17: .*--train\.eval-every 0"):
            train(corpus, tmp_path, CONFIG, SETTINGS)
        outcome = train(corpus, tmp_path, CONFIG, replace(SETTINGS, eval_every=0, steps=1))
        assert "val_loss" not in outcome.metrics

    def test_a_vocabulary_that_is_too_small(self, counting_corpus, tmp_path):
        with pytest.raises(ValueError, match="n_vocab is 50256"):
            train(counting_corpus, tmp_path, replace(CONFIG, n_vocab=50_256), SETTINGS)

    @pytest.mark.parametrize("name", ["gpu", "", "meta", "vulkan", "hpu", "xpu", "cuda:99"])
    def test_an_unknown_device(self, counting_corpus, tmp_path, name):
        with pytest.raises(ValueError, match=f"device '{name}' can't be used, try cpu or cuda: [^\n]+$"):
            train(counting_corpus, tmp_path, CONFIG, replace(SETTINGS, device=name))

    def test_losses_that_are_no_numbers_for_good(self, counting_corpus, tmp_path):
        settings = replace(SETTINGS, lr=1e30, warmup=0, clip=0.0, max_nonfinite=3, checkpoint_every=1)
        with pytest.raises(ValueError, match=r"3 steps in a row, up to step 4, .* checkpoint is of step 1: .*lr"):
            train(counting_corpus, tmp_path, CONFIG, settings)
        log = log_of(tmp_path)
        assert [line.get("skipped") for line in log] == [None, 1, 1, 1]
        assert log[-1]["loss"] is None or log[-1]["grad_norm"] is None
        assert "NaN" not in (tmp_path / LOG).read_text()
        assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-00000001"]

    def test_weights_that_are_no_numbers(self, counting_corpus, tmp_path):
        settings = replace(SETTINGS, lr=1e39, warmup=0, checkpoint_every=1)
        with pytest.raises(ValueError, match=r"a weight is no longer finite after step 1\. The last .* step 0"):
            train(counting_corpus, tmp_path, CONFIG, settings)
        assert not list(tmp_path.glob("checkpoint-*"))


def test_a_run_can_be_sampled(finished, tmp_path, capsys):
    config = SampleConfig(finished, "Once upon", num=2, max_tokens=20, device="cpu")
    assert sample(config) == 0
    first = capsys.readouterr().out
    assert first.count("Once upon") == 2
    assert sample(config) == 0
    assert capsys.readouterr().out == first
    assert sample(replace(config, prompt="")) == 0
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ValueError, match="has no checkpoint: give the folder that `webtext pretrain"):
            sample(replace(config, model=folder))


def test_what_may_change_changes_and_is_recorded(counting_corpus, tmp_path):
    train(counting_corpus, tmp_path, CONFIG, SETTINGS)
    before = log_of(tmp_path)
    other = {
        "steps": 16, "lr": 5e-3, "min_lr_ratio": 0.5, "clip": 1e-9, "spike_sigma": 3.0, "eval_every": 2,
        "eval_windows": 2, "keep": 1, "checkpoint_every": 3, "micro_batch": 8, "max_nonfinite": 5, "skip_steps": (14,),
    }  # fmt: skip
    settings = replace(SETTINGS, **other)

    def stop(line):
        if line["step"] == 14:
            os.kill(os.getpid(), signal.SIGTERM)

    train(counting_corpus, tmp_path, CONFIG, settings, stop)
    state = checkpoint.latest(tmp_path).state
    assert state.train == settings
    assert {(c.step, c.setting) for c in state.changes} == {(12, f"train.{name}") for name in other}
    assert (12, "train.lr", 1e-2, 5e-3) in [(c.step, c.setting, c.before, c.after) for c in state.changes]
    train(counting_corpus, tmp_path, CONFIG, replace(settings, keep=2))
    log = log_of(tmp_path)
    assert log[:12] == before
    expected = {f"train.{name}": [getattr(SETTINGS, name), value] for name, value in other.items()}
    assert log[12]["changed"] == expected | {"train.skip_steps": [[], [14]]}
    assert log[14]["changed"] == {"train.keep": [1, 2]}
    assert [line["step"] for line in log if "changed" in line] == [13, 15]
    assert [line["step"] for line in log[12:] if "val_loss" in line] == [14, 16]
    assert [line["step"] for line in log if "skipped" in line] == [14]
    assert log[15]["lr"] == pytest.approx(5e-3 * 0.5)  # the end of the new cosine


class Command:
    """`webtext pretrain` in a process of its own. Dropout is on, so that its random masks have to be resumed too."""

    STEPS = 40

    def __init__(self, corpus: Path, run: Path):
        self.run = run
        flags = {
            "data": corpus, "out": run, "model.n-layer": 2, "model.n-head": 2, "model.n-embd": 8, "model.n-ctx": 8,
            "model.dropout": 0.1, "train.steps": self.STEPS, "train.batch-tokens": 32, "train.micro-batch": 3,
            "train.warmup": 5, "train.lr": 0.01, "train.eval-every": 9, "train.eval-windows": 4,
            "train.checkpoint-every": 7, "train.device": "cpu",
        }  # fmt: skip
        self.args = [
            sys.executable,
            "-m",
            "webtext.jobs.cli",
            "pretrain",
            *(f"--{name}={flags[name]}" for name in flags),
        ]

    def start(self) -> AbstractContextManager[subprocess.Popen[bytes]]:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return started(self.args, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop_at(self, step: int, number: signal.Signals) -> int:
        """Start, send the signal once the log has the step; returns the exit status."""
        log = self.run / LOG
        return self.stop_when(lambda: log.exists() and log.read_bytes().count(b"\n") >= step, number)

    def stop_when(self, time_has_come: Callable[[], bool], number: signal.Signals) -> int:
        with self.start() as process:
            while process.poll() is None:
                if time_has_come():
                    process.send_signal(number)
                    break
                time.sleep(0.0005)
            return process.wait()

    def finish(self) -> None:
        with self.start() as process:
            assert process.wait() == 0


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load_model(checkpoint.latest(run), torch.device("cpu")).state_dict()


def assert_equal_runs(run: Path, other: Path):
    assert without_time(log_of(run)) == without_time(log_of(other))
    ours, theirs = weights(run), weights(other)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_run_that_is_stopped_and_killed_ends_bit_for_bit_the_same(counting_corpus, tmp_path):
    command = Command(counting_corpus, tmp_path / "run")
    for number, after in ((signal.SIGTERM, 1), (signal.SIGINT, 15)):
        assert command.stop_at(after, number) == 128 + number
        step = checkpoint.latest(command.run).state.step
        assert after <= step < Command.STEPS
        assert log_of(command.run)[-1]["step"] == step
    step = random.randrange(16, Command.STEPS - 10)
    print(f"kill at {step}")  # pytest shows it when the test fails
    # A test that is held up may look when the run is over: then there is nothing to kill, and nothing to repeat.
    assert command.stop_at(step, signal.SIGKILL) in (-signal.SIGKILL, 0)
    saving = f"checkpoint-*.tmp-*/{checkpoint.MODEL}"
    assert command.stop_when(lambda: any(command.run.glob(saving)), signal.SIGKILL) in (-signal.SIGKILL, 0)
    command.finish()
    uninterrupted = Command(counting_corpus, tmp_path / "uninterrupted")
    uninterrupted.finish()
    assert_equal_runs(command.run, uninterrupted.run)
