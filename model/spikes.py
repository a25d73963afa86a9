"""Steps whose loss stands out are not taken: one bad batch must not undo days of training.

The judgement stays on the device, and its state is the losses of the last steps, so a resumed run judges alike. Losses
of skipped steps count too: where the level itself rises, the spread rises with it and training goes on.

Source: SkipStepOptimizer of allenai/OLMo-core (window of 128, six standard deviations, losses of skipped steps count).
"""

from typing import Final

import torch
from torch import Tensor

WINDOW: Final = 128  # steps that a loss is compared with
LEAST: Final = 64  # steps before the first judgement
GUARD: Final = "losses/guard"  # name of the guard's memory in a checkpoint
GUARD_SHAPE: Final = (WINDOW,)


class SpikeGuard:
    """Judges each step of a run, in order."""

    def __init__(self, sigma: float, device: torch.device) -> None:
        self.losses = torch.zeros(WINDOW, device=device)
        self._sigma = sigma

    def judge(self, step: int, loss: Tensor) -> Tensor:
        """1.0 on the device if step `step`, counted from 0, is to be skipped, else 0.0."""
        seen = min(step, WINDOW)
        if self._sigma and seen >= LEAST:
            recent = self.losses[:seen]
            skip = (loss > recent.mean() + self._sigma * recent.std()).float()
        else:
            skip = torch.zeros((), device=loss.device)
        self.losses[step % WINDOW] = loss
        return skip
