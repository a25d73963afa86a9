"""Checkpoints are whole or not there."""

import logging
import os
import resource
import shutil
from dataclasses import asdict

import pytest
import torch

from webtext.model import checkpoint
from webtext.model.checkpoint import MODEL, OPTIMIZER, STATE, State
from webtext.model.gpt2 import GPT2, GPT2Config
from webtext.model.optim import adamw
from webtext.model.settings import TrainSettings

CONFIG = GPT2Config(n_layer=1, n_head=1, n_embd=8, n_ctx=8, n_vocab=20)


class Run:
    """A model that takes one step between two checkpoints."""

    def __init__(self, folder):
        torch.manual_seed(0)
        self.folder = folder
        self.model = GPT2(CONFIG)
        self.optimizer = adamw(self.model, TrainSettings(lr=0.01))
        self.optimizers = [self.optimizer]

    def advance(self, step):
        ids = torch.randint(20, (2, 9), generator=torch.Generator().manual_seed(step))
        self.optimizer.zero_grad()
        self.model.loss(ids[:, :-1], ids[:, 1:]).backward()
        self.optimizer.step()

    def save(self, step, keep=9):
        self.advance(step)
        config = {"model": asdict(CONFIG), "train": {}}
        state = State(step, config, "ab" * 32, {"threads": 1}, {"loss": 1.5})
        return checkpoint.save(
            self.folder, state, self.model, self.optimizers, keep, {"losses/guard": torch.tensor([1.5])}
        )


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_restored_training_goes_on_bit_for_bit(run, tmp_path):
    run.save(1)
    newest = checkpoint.latest(tmp_path)
    assert newest.state.step == 1
    assert newest.state.metrics == {"loss": 1.5}
    other = Run(tmp_path)
    assert checkpoint.restore(newest, other.model, other.optimizers) == {"losses/guard": torch.tensor([1.5])}
    for step in (2, 3):
        run.advance(step)
        other.advance(step)
    for ours, theirs in zip(run.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_loaded_model_is_the_one_that_was_saved(run, tmp_path):
    run.save(1)
    model = checkpoint.load_model(checkpoint.latest(tmp_path), torch.device("cpu"))
    assert not model.training
    assert model.config == CONFIG
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), run.model.parameters(), strict=True))


def test_only_the_newest_stay(run, tmp_path):
    for step in (1, 2, 3, 4):
        run.save(step, keep=2)
    assert names(tmp_path) == ["checkpoint-00000003", "checkpoint-00000004"]


def cut(path):
    os.truncate(path, path.stat().st_size - 1)


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, flip_a_bit, os.remove])
@pytest.mark.parametrize("name", [MODEL, OPTIMIZER])
def test_a_damaged_checkpoint_is_skipped_with_a_warning(run, tmp_path, caplog, damage, name):
    run.save(1)
    damage(run.save(2) / name)
    with caplog.at_level(logging.WARNING):
        assert checkpoint.latest(tmp_path).state.step == 1
    assert "checkpoint-00000002" in caplog.text
    assert name in caplog.text
    # The step is saved again over the damaged one, which does not count among those to keep.
    assert run.save(2, keep=1).exists()
    assert checkpoint.latest(tmp_path).state.step == 2
    assert names(tmp_path) == ["checkpoint-00000002"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "webtext-checkpoint/2"}', "\xff"])
def test_a_checkpoint_without_a_whole_state_is_skipped(run, tmp_path, text):
    run.save(1)
    (run.save(2) / STATE).write_text(text, "latin-1")
    assert checkpoint.latest(tmp_path).state.step == 1


def test_a_later_damaged_checkpoint_pushes_out_no_good_one(run, tmp_path):
    run.save(1)
    cut(run.save(5) / MODEL)
    run.save(2, keep=2)
    assert names(tmp_path) == ["checkpoint-00000001", "checkpoint-00000002", "checkpoint-00000005"]


def test_no_checkpoint_is_not_the_same_as_only_damaged_ones(run, tmp_path):
    assert checkpoint.latest(tmp_path) is None
    (tmp_path / "checkpoint-00000001.tmp-77").mkdir()  # a kill during the first one
    assert checkpoint.latest(tmp_path) is None
    checkpoint.remove_unfinished(tmp_path)
    assert names(tmp_path) == []
    cut(run.save(1) / MODEL)
    with pytest.raises(ValueError, match="has 1 checkpoints and all are damaged; delete the folder to start again"):
        checkpoint.latest(tmp_path)


def test_a_full_disk_is_said_and_leaves_the_last_checkpoint(run, tmp_path):
    run.save(1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match=r"step 2 can't be written: .* MiB are free; older ones are kept"):
            run.save(2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path) == ["checkpoint-00000001"]
    assert checkpoint.latest(tmp_path).state.step == 1


def test_a_checkpoint_can_be_moved(run, tmp_path):
    shutil.move(run.save(1), tmp_path / "elsewhere" / "checkpoint-00000001")
    assert checkpoint.latest(tmp_path / "elsewhere").state.step == 1
