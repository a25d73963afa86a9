"""Steps that stand out are not taken: one bad batch must not undo days of training.

A step is skipped when its loss or the norm of its gradient is not finite, or stands out of the last ones. The judgement
stays on the device, and its memory is the figures of the last steps, so a resumed run judges alike. Finite figures of
skipped steps count too: where the level itself rises, the spread rises with it and training goes on.

Source: SkipStepOptimizer of allenai/OLMo-core (window of 128, six standard deviations, loss or gradient norm, losses of
skipped steps count).
"""

from typing import Final

import torch
from torch import Tensor

WINDOW: Final = 128  # steps that a step is compared with
LEAST: Final = 64  # finite ones among them before the first judgement
GUARD: Final = "figures/guard"  # name of the guard's memory in a checkpoint
GUARD_SHAPE: Final = (2, WINDOW)


class SpikeGuard:
    """Judges each step of a run, in order."""

    def __init__(self, sigma: float, device: torch.device) -> None:
        self.figures = torch.full(GUARD_SHAPE, torch.nan, device=device)  # losses and norms; NaN for none
        self._sigma = sigma

    def judge(self, step: int, loss: Tensor, norm: Tensor, *, known: bool = False) -> Tensor:
        """1.0 on the device if step `step`, counted from 0, is to be skipped, else 0.0.

        A step that is `known` to be bad is skipped, and no other one is compared with it.
        """
        now = torch.stack((loss, norm))
        finite = now.isfinite().all()
        skip = ~finite | known
        if self._sigma:
            there = self.figures.isfinite()
            count = there.sum(1)
            mean = self.figures.nan_to_num(0.0).sum(1) / count
            spread = ((self.figures - mean[:, None]).nan_to_num(0.0).square().sum(1) / (count - 1)).sqrt()
            skip = skip | ((now > mean + self._sigma * spread) & (count >= LEAST)).any()
        self.figures[:, step % WINDOW] = torch.where(finite & (not known), now, torch.nan)
        return skip.float()
