"""Checkpoints are whole or not there."""

import logging
import os
import resource
import shutil
from dataclasses import replace

import pytest
import torch
from forged_checkpoints import change_state, change_tensors

from webtext.model import checkpoint
from webtext.model.checkpoint import MODEL, OPTIMIZER, STATE, State
from webtext.model.gpt2 import GPT2, GPT2Config, tensor_count, tensor_shapes
from webtext.model.optim import optimizers
from webtext.model.settings import TrainSettings
from webtext.model.spikes import GUARD, GUARD_SHAPE

CONFIG = GPT2Config(n_layer=1, n_head=1, n_embd=8, n_ctx=8, n_vocab=20)
SETTINGS = TrainSettings(lr=0.01)


class Run:
    """A model that takes one step between two checkpoints."""

    def __init__(self, folder, settings=SETTINGS):
        torch.manual_seed(0)
        self.folder, self.settings = folder, settings
        self.model = GPT2(CONFIG)
        self.optimizers = optimizers(self.model, settings)
        self.guard = torch.full(GUARD_SHAPE, 1.5)

    def advance(self, step):
        ids = torch.randint(20, (2, 9), generator=torch.Generator().manual_seed(step))
        self.model.zero_grad()
        self.model.loss(ids[:, :-1], ids[:, 1:]).backward()
        for optimizer in self.optimizers:
            optimizer.step()

    def save(self, step, keep=9):
        self.advance(step)
        state = State(step, CONFIG, replace(self.settings, keep=keep), "ab" * 32, {"threads": 1}, {"loss": 1.5})
        return checkpoint.save(self.folder, state, self.model, self.optimizers, self.guard)


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
    assert torch.equal(checkpoint.restore(newest, other.model, other.optimizers), run.guard)
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


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "webtext-checkpoint/3"}', "\xff", "[" * 100_000])
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
    with pytest.raises(ValueError, match="has 1 checkpoints and none can be read; delete the folder to start again"):
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


@pytest.mark.parametrize("config", [CONFIG, GPT2Config(n_layer=3, n_head=2, n_embd=16, n_ctx=5, n_vocab=300)])
def test_shapes_are_told_without_a_model(config):
    shapes = list(tensor_shapes(config))
    assert shapes == [(name, tuple(p.shape)) for name, p in GPT2(config).named_parameters()]
    assert len(shapes) == tensor_count(config)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_what_no_update_has_touched_is_saved_too(tmp_path, optimizer):
    """A run whose first steps were all skipped where the optimizer can't read the skip on the device."""
    settings = replace(SETTINGS, optimizer=optimizer)
    run, other = Run(tmp_path, settings), Run(tmp_path, settings)
    run.advance = lambda step: None
    newest = checkpoint.opened(run.save(1))
    checkpoint.restore(newest, other.model, other.optimizers)
    fresh = Run(tmp_path, settings)
    Run.advance(other, 2)
    Run.advance(fresh, 2)
    assert all(torch.equal(a, b) for a, b in zip(other.model.parameters(), fresh.model.parameters(), strict=True))


def test_a_flipped_bit_in_the_state_is_found(run, tmp_path):
    run.save(1)
    path = run.save(2) / STATE
    text = path.read_bytes()
    for at in range(len(text)):
        damaged = bytearray(text)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        newest = checkpoint.latest(tmp_path)
        # Blanks between values carry nothing.
        assert newest.state.step == 1 or newest.state == State.read(path), at


NAN = torch.full((8,), float("nan"))
FORGED = {
    "a moment of the wrong size": (OPTIMIZER, {"exp_avg/ln_f.bias": torch.zeros(2)}, "exp_avg/ln_f.bias has shape"),
    "a moment that is missing": (OPTIMIZER, {"exp_avg/ln_f.bias": None}, "has 48 tensors, this model has 49"),
    "another name": (OPTIMIZER, {"exp_avg/ln_f.bias": None, "a/b": torch.zeros(8)}, "has no tensor exp_avg/ln_f.bias"),
    "a tensor too many": (MODEL, {"h.9.ln_1.weight": torch.zeros(8)}, "has 17 tensors, this model has 16"),
    "weights that would be broadcast": (MODEL, {"ln_f.weight": torch.zeros(1)}, r"ln_f.weight has shape \(1,\)"),
    "weights of one axis": (MODEL, {"wpe.weight": torch.zeros(8)}, r"wpe.weight has shape \(8,\), expected \(8, 8\)"),
    "whole numbers": (
        MODEL,
        {"ln_f.weight": torch.zeros(8, dtype=torch.int8)},
        "ln_f.weight has type I8, expected F32",
    ),
    "half floats": (OPTIMIZER, {"step/ln_f.bias": torch.ones((), dtype=torch.half)}, "has type F16"),
    "a guard of another size": (OPTIMIZER, {GUARD: torch.zeros(1)}, f"{GUARD} has shape"),
}


@pytest.mark.parametrize("what", FORGED)
def test_tensors_that_do_not_belong_here_are_refused_unread(run, tmp_path, what):
    name, tensors, message = FORGED[what]
    folder = run.save(1)
    change_tensors(folder / name, tensors)
    change_state(folder)
    with pytest.raises(ValueError, match=message):
        checkpoint.latest(tmp_path)


@pytest.mark.parametrize(
    ("tensor", "value"),
    [("exp_avg_sq/ln_f.bias", -torch.ones(8)), ("exp_avg/ln_f.bias", NAN), ("step/ln_f.bias", torch.tensor(2.0))],
)
def test_values_that_no_training_leaves_are_refused(run, tmp_path, tensor, value):
    folder = run.save(1)
    change_tensors(folder / OPTIMIZER, {tensor: value})
    change_state(folder)
    with pytest.raises(ValueError, match=f"{tensor} has the value .*, which no training leaves there"):
        checkpoint.restore(checkpoint.latest(tmp_path), run.model, run.optimizers)


def test_a_model_with_a_weight_that_is_no_number_is_refused(run, tmp_path):
    folder = run.save(1)
    change_tensors(folder / MODEL, {"ln_f.bias": NAN})
    change_state(folder)
    with pytest.raises(ValueError, match=r"ln_f.bias has the value nan"):
        checkpoint.newest_model(tmp_path, torch.device("cpu"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["model"].update(n_layer=10_000_000), "has 16 tensors, this model has 120000004"),
        (lambda s: s["model"].update(n_embd=10**12), "wte.weight has shape"),
        (lambda s: s["model"].update(n_layer=1.0), "Expected `int`, got `float`"),
        (lambda s: s["model"].update(n_head=True), "Expected `int`, got `bool`"),
        (lambda s: s["model"].update(n_head="1"), "Expected `int`, got `str`"),
        (lambda s: s["model"].update(n_head=3), "which n_head 3 does not divide"),
        (lambda s: s["model"].update(dropout=2), "dropout is 2"),
        (lambda s: s.update(model=[]), "Expected `object`, got `array`"),
        (lambda s: s.update(train={"optimizer": "sgd"}), "Invalid enum value 'sgd'"),
        (lambda s: s["train"].update(optimizer="muon"), "has 49 tensors, this model has 41"),
        (lambda s: s.update(step=-1), "step is -1"),
        (lambda s: s["arithmetic"].update(threads=10**6), "threads is 1000000, allowed is 1 to 4096"),
        (lambda s: s.update(metrics=None), "Expected `object`, got `null`"),
        (lambda s: s.pop("corpus_sha256"), "missing required field `corpus_sha256`"),
    ],
)
def test_states_that_make_no_sense_are_refused(run, tmp_path, change, message):
    change_state(run.save(1), change)
    with pytest.raises(ValueError, match=message):
        checkpoint.latest(tmp_path)


@pytest.mark.parametrize("name", [STATE, MODEL, OPTIMIZER])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(run, tmp_path, name):
    path = run.save(1) / name
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match="is no regular file"):
        checkpoint.latest(tmp_path)


def test_files_elsewhere_are_not_read(run, tmp_path):
    change_state(run.save(1), lambda state: state["files"].update({"../../secret": "ab"}))
    with pytest.raises(ValueError, match=r"lists '../../secret', which belongs to no checkpoint"):
        checkpoint.latest(tmp_path)
