"""The log, where time goes, and signals."""

import json
import os
import signal
import time

import pytest
import torch

from webtext.jobs.config import parse
from webtext.jobs.pretrain import PretrainConfig
from webtext.jobs.pretrain import run as pretrain
from webtext.model.data import Batches, Corpus, Windows
from webtext.model.gpt2 import GPT2, parameter_count
from webtext.model.log import Log, viewer
from webtext.model.settings import SIZES, GPT2Config
from webtext.model.signals import Signals, Stopped
from webtext.model.timing import KINDS, Clock, flops_per_token, matmul_ceiling


def steps(path):
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("step", "kept"), [(0, []), (2, [1, 2]), (9, [1, 2, 3])])
def test_a_log_goes_on_after_the_checkpoint(tmp_path, step, kept):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"step": 4')  # cut by a kill
    with Log(path, step) as log:
        assert log.last == (kept[-1] if kept else 0)
        log.write({"step": 77})
        log.flush_to_disk()
        assert steps(path) == [*kept, 77]


def test_viewers_that_are_not_installed_are_named(tmp_path):
    pytest.importorskip("torch")
    for name in ("tensorboard", "wandb"):
        try:
            __import__(name)
        except ImportError:
            with pytest.raises(ValueError, match=f"--log {name} needs its package: pip install {name}"):
                viewer(name, tmp_path, {})


def test_the_kinds_of_time_add_up_to_all_of_it():
    started = time.perf_counter()  # before the clock, however long this process waits for a core in between
    clock = Clock()
    with clock("step"):
        time.sleep(0.02)
        with clock("eval"):
            time.sleep(0.03)
    with pytest.raises(KeyError), clock("data"):
        raise KeyError
    seconds = clock.seconds()
    whole = seconds.pop("seconds")
    assert set(seconds) == {f"seconds_{kind}" for kind in KINDS}
    assert sum(seconds.values()) == pytest.approx(whole, abs=0.004)  # rounded to milliseconds
    assert 0.05 <= whole <= time.perf_counter() - started + 0.001
    assert seconds["seconds_eval"] >= 0.03
    assert 0.02 <= seconds["seconds_step"] <= whole - seconds["seconds_eval"] + 0.002


@pytest.mark.parametrize("config", [GPT2Config(n_layer=2, n_head=2, n_embd=32, n_ctx=16), *SIZES.values()])
def test_operations_of_a_token(config):
    with torch.device("meta"):
        parameters = parameter_count(GPT2(config))
    expected = 6 * parameters + 12 * config.n_layer * config.n_embd * config.n_ctx
    assert flops_per_token(config) == expected
    assert matmul_ceiling(torch.device("cpu"), torch.float32, 0.01) > 1e8


def test_work_that_can_be_given_up_ends_at_a_signal():
    with Signals() as signals:
        with pytest.raises(Stopped), signals.abandonable():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        assert signals.caught == signal.SIGTERM
        with pytest.raises(Stopped), signals.abandonable():  # no new one is begun
            raise AssertionError


def test_other_work_is_finished_first():
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.caught == signal.SIGINT
    with Signals(alone=False) as signals, signals.abandonable():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signals.caught == signal.SIGTERM


def test_replay_lists_the_documents_of_a_step(counting_corpus, tmp_path, capsys):
    args = [f"--data={counting_corpus}", f"--out={tmp_path}", "--model.n-ctx=16", "--train.batch-tokens=64"]
    config = parse(PretrainConfig, "pretrain", [*args, "--replay-step", "3", "--train.seed=5"], "webtext pretrain")
    assert pretrain(config) == 0
    head, names, *lines = capsys.readouterr().out.splitlines()
    batches = Batches(Windows(Corpus.open(counting_corpus), "train", 16), 64, 5)
    assert head.endswith(batches.digest(2))
    assert names == "row\ttokens\tshard\toffset\turl"
    rows = [line.split("\t") for line in lines]
    shards = {shard.name: shard.tokens for shard in batches.windows.shards}
    for row, tokens in enumerate(batches.batch(2).tolist()):
        mine = [line for line in rows if int(line[0]) == row]
        assert sum(int(line[1]) for line in mine) == 17
        # Every document but the first is there from its first token on.
        at = int(mine[0][1])
        for _, count, shard, offset, _ in mine[1:]:
            assert shards[shard][int(offset) : int(offset) + int(count)].tolist() == tokens[at : at + int(count)]
            at += int(count)
    with pytest.raises(ValueError, match=r"replay_step is 20000, allowed is 1 to train\.steps 19073"):
        pretrain(parse(PretrainConfig, "pretrain", [*args, "--replay-step=20000"], "webtext pretrain"))
