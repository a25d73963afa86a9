"""The learning rate at its corners, and which parameters decay."""

import pytest

from webtext.model.gpt2 import GPT2, GPT2Config
from webtext.model.optim import adamw, learning_rate
from webtext.model.settings import TrainSettings


def test_learning_rate_climbs_to_lr_and_falls_to_its_share():
    settings = TrainSettings(steps=100, warmup=10, lr=1e-3, min_lr_ratio=0.1)
    rates = [learning_rate(step, settings) for step in range(100)]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[9] == rates[10] == max(rates) == 1e-3
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[99] == min(rates[10:]) == pytest.approx(1e-4)
    assert (rates[54] + rates[55]) / 2 == pytest.approx((1e-3 + 1e-4) / 2)  # halfway down


@pytest.mark.parametrize("warmup", [0, 1, 5, 9])
def test_learning_rate_of_short_runs(warmup):
    settings = TrainSettings(steps=5, warmup=warmup, lr=1.0)
    assert all(0 < learning_rate(step, settings) <= 1 for step in range(5))


def test_matrices_decay_and_nothing_else():
    model = GPT2(GPT2Config(n_layer=2, n_head=1, n_embd=8, n_ctx=8, n_vocab=10))
    decay, rest = adamw(model, TrainSettings(weight_decay=0.3)).param_groups
    assert (decay["weight_decay"], rest["weight_decay"]) == (0.3, 0.0)
    names = {parameter: name for name, parameter in model.named_parameters()}
    assert {names[p] for p in rest["params"]} == {n for n in names.values() if n.endswith("bias") or "ln_" in n}
    assert len(decay["params"]) + len(rest["params"]) == len(names)
