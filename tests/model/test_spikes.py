"""Which steps are skipped."""

import numpy as np
import pytest
import torch

from webtext.model.spikes import LEAST, WINDOW, SpikeGuard


def judged(losses, sigma=6.0, norms=None, known=()):
    guard = SpikeGuard(sigma, torch.device("cpu"))
    pairs = zip(losses, norms or [1.0] * len(losses), strict=True)
    return [
        bool(guard.judge(step, torch.tensor(loss), torch.tensor(norm), known=step in known))
        for step, (loss, norm) in enumerate(pairs)
    ]


def expected(losses, sigma=6.0, known=()):
    """The rule in numpy, from all losses at once."""
    counted = np.array(losses, np.float64)
    counted[list(known)] = np.nan
    before = [counted[max(0, i - WINDOW) : i] for i in range(len(losses))]
    before = [b[np.isfinite(b)] for b in before]
    return [
        step in known or not np.isfinite(loss) or (len(b) >= LEAST and loss > b.mean() + sigma * b.std(ddof=1))
        for step, (b, loss) in enumerate(zip(before, losses, strict=True))
    ]


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


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("sigma", [0.0, 6.0])
def test_what_is_not_finite_is_skipped_and_blinds_nobody(bad, sigma):
    random = np.random.default_rng(0)
    losses = (3 + 0.05 * random.standard_normal(300)).astype(np.float32).tolist()
    for step in (0, 70, 71, 200):
        losses[step] = bad
    losses[220] = 9.0
    assert judged(losses, sigma) == expected(losses, sigma or 1e9)
    assert judged([3.0] * 300, sigma, norms=losses) == expected(losses, sigma or 1e9)


def test_known_steps_are_skipped_and_no_other_is_compared_with_them():
    random = np.random.default_rng(0)
    losses = (3 + 0.05 * random.standard_normal(300)).astype(np.float32).tolist()
    losses[150] = losses[200] = 9.0  # the first would hide the second
    assert judged(losses, known={5, 150}) == expected(losses, known={5, 150})
    assert [step for step, skipped in enumerate(judged(losses, known={5, 150})) if skipped] == [5, 150, 200]
