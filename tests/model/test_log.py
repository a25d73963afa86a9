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
from webtext.model.curve import read
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


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        ('{"step": 2, "lo\n', "line 2: no JSON"),
        ("[2]\n", "line 2: .* is no JSON object"),
        ('{"loss": 2.5}\n', "line 2: step is None after 1: mend the line, or move the log away"),
        ('{"step": "2"}\n', "line 2: step is '2' after 1"),
        ('{"step": 1}\n', "line 2: step is 1 after 1"),
        ("\0\0\0\n", "line 2: no JSON"),
        ("\udcff\n", "is not UTF-8"),
        ("[" * 100_000 + "\n", "line 2: no JSON"),
    ],
)
def test_damaged_lines_are_named_and_the_log_stays(tmp_path, damaged, message):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n' + damaged + '{"step": 3}\n', errors="surrogateescape")
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"log\.jsonl.*{message}"):
        Log(path, 3)
    assert path.read_bytes() == before


def test_lines_that_are_lost_are_told(tmp_path, caplog):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n')
    with Log(path, 3):
        assert "log.jsonl ends after step 1, the checkpoint is of step 3: lines are lost" in caplog.text


def test_a_pipe_is_no_log(tmp_path):
    os.mkfifo(tmp_path / "log.jsonl")
    with pytest.raises(ValueError, match="is a pipe"):
        Log(tmp_path / "log.jsonl", 3)
    with pytest.raises(ValueError, match="is a pipe"):
        read(tmp_path)


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


def test_a_rank_of_torchrun_hears_the_same_signal_twice():
    """From whoever stops the job, and from torchrun's agent: the second must not end what the first one asked for."""
    with Signals(alone=False, relayed=True) as signals:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        assert signals.caught == signal.SIGTERM
    with Signals(relayed=True) as signals:
        with pytest.raises(Stopped), signals.abandonable():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        os.kill(os.getpid(), signal.SIGTERM)  # while the checkpoint is written
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
