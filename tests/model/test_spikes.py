"""Which steps are skipped."""

import numpy as np
import torch

from webtext.model.spikes import LEAST, WINDOW, SpikeGuard


def judged(losses, sigma=6.0):
    guard = SpikeGuard(sigma, torch.device("cpu"))
    return [bool(guard.judge(step, torch.tensor(loss))) for step, loss in enumerate(losses)]


def expected(losses, sigma=6.0):
    """The rule in numpy, from all losses at once."""
    before = [np.array(losses[max(0, i - WINDOW) : i], np.float64) for i in range(len(losses))]
    return [len(b) >= LEAST and loss > b.mean() + sigma * b.std(ddof=1) for b, loss in zip(before, losses, strict=True)]


def test_a_loss_far_above_the_last_ones_is_skipped():
    random = np.random.default_rng(0)
    losses = (3 + 0.05 * random.standard_normal(400)).astype(np.float32).tolist()
    for step, height in ((10, 9.0), (100, 3.6), (250, 3.15), (333, 9.0)):
        losses[step] = height
    found = judged(losses)
    assert found == expected(losses)
    assert [step for step, skipped in enumerate(found) if skipped] == [333]  # 10 made the spread wide until 138


def test_a_level_that_rises_for_good_is_accepted():
    random = np.random.default_rng(1)
    losses = (np.where(np.arange(400) < 200, 3, 5) + 0.05 * random.standard_normal(400)).astype(np.float32).tolist()
    found = judged(losses)
    assert found[200]
    assert sum(found) < 10


def test_falling_losses_and_a_guard_that_is_off():
    falling = np.linspace(10, 3, 300).tolist()
    assert not any(judged(falling))
    assert not any(judged([*falling, 1e6], sigma=0.0))
