"""The gradient of a step on one rank."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from webtext.model.distributed import Ranks, StepLoss
from webtext.model.gpt2 import GPT2, GPT2Config
from webtext.model.settings import TrainSettings
from webtext.model.signals import Signals
from webtext.model.step import Gradient, evaluate

CONFIG = GPT2Config(n_layer=2, n_head=2, n_embd=16, n_ctx=8, n_vocab=50)
SETTINGS = TrainSettings(batch_tokens=6 * 8)


class Casts(TorchDispatchMode):
    """Counts casts to bfloat16 by the shape of what is cast."""

    def __init__(self):
        super().__init__()
        self.shapes = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._to_copy.default and (kwargs or {}).get("dtype") == torch.bfloat16:
            self.shapes[tuple(args[0].shape)] += 1
        return func(*args, **(kwargs or {}))


def gradients_of(micro_batch, dtype, **options):
    torch.manual_seed(0)
    model = GPT2(CONFIG)
    rows = torch.randint(50, (6, 9))
    loss_of = StepLoss(model, replace(SETTINGS, **options), chunk=0)
    gradient = Gradient(loss_of, CONFIG, replace(SETTINGS, micro_batch=micro_batch, **options), Ranks(), dtype)
    with Casts() as casts:
        loss = gradient(0, rows)
    return loss, [p.grad for p in model.parameters()], casts.shapes


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("micro_batch", [1, 2, 4])
def test_micro_batches_add_up(dtype, micro_batch):
    whole_loss, whole, _ = gradients_of(6, dtype)
    loss, parts, _ = gradients_of(micro_batch, dtype)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    assert loss.item() == pytest.approx(whole_loss.item(), rel=tolerance)
    for ours, theirs in zip(parts, whole, strict=True):
        assert (ours - theirs).norm() <= tolerance * theirs.norm().clamp(min=1e-3)
        assert ours.dtype == torch.float32


def test_weights_are_cast_once_a_step_not_once_a_micro_batch():
    _, _, casts = gradients_of(1, torch.bfloat16)
    for name, parameter in GPT2(CONFIG).named_parameters():
        if name.startswith("h.0.") and parameter.dim() == 2:
            shape = tuple(parameter.shape)
            same = sum(p.shape == parameter.shape for p in GPT2(CONFIG).parameters())
            assert casts[shape] == same, (name, casts)


def test_validation_is_the_mean_over_all_windows_whatever_the_batches():
    torch.manual_seed(0)
    model = GPT2(CONFIG)
    loss_of = StepLoss(model, SETTINGS, chunk=0)
    rows = np.random.default_rng(0).integers(0, 50, (7, 9))
    with torch.no_grad():
        ids = torch.from_numpy(rows)
        expected = torch.nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).item()
    for training in (True, False):
        model.train(training)
        for size in (1, 3, 7, 9):
            with Signals() as signals:
                found = evaluate(loss_of.forward, rows, size, torch.device("cpu"), Ranks(), signals)
            assert found == pytest.approx(expected, rel=1e-6)


class SmallMemory(torch.nn.Module):
    """Has room for a few windows only, as a GPU."""

    def __init__(self, room):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.room = room

    def forward(self, ids):
        if ids.shape[0] > self.room:
            raise torch.OutOfMemoryError
        return self.weight * ids.sum()


@pytest.mark.parametrize(("room", "found"), [(99, 6), (4, 3), (3, 3), (1, 1)])
def test_the_micro_batch_is_halved_until_it_fits(room, found):
    module = SmallMemory(room)
    gradient = Gradient(module, CONFIG, replace(SETTINGS, micro_batch=6), Ranks(), torch.float32)
    gradient.fit(rows=6)
    assert gradient.micro_batch == found
    assert module.weight.grad is None


def test_a_model_too_large_for_one_window_is_said():
    gradient = Gradient(SmallMemory(0), CONFIG, replace(SETTINGS, micro_batch=6), Ranks(), torch.float32)
    with pytest.raises(ValueError, match=r"1 windows of 8 tokens don't fit into memory: use --train\.recompute"):
        gradient.fit(rows=6)
