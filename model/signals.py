"""SIGTERM and SIGINT: save a checkpoint and leave, at once where that loses nothing."""

import contextlib
import logging
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

_log = logging.getLogger(__name__)


class Stopped(BaseException):
    """A signal came during work that can be given up. No Exception, so that nobody on the way takes it for an error."""


class Signals:
    """Remembers the first SIGTERM or SIGINT; the second does what it does without us.

    Not under torchrun: what stops a job (systemd, scancel, a terminal) reaches all its processes, and torchrun's agent
    then sends it to each rank once more. There a second one says nothing new, and only SIGKILL ends a rank at once.
    """

    def __init__(self, *, alone: bool = True, relayed: bool = False) -> None:
        """Two facts about this process.

        Args:
            alone: False where other processes take the same steps: then no work is given up in the middle.
            relayed: signals may come twice, from an agent too.
        """
        self.caught = 0
        self._alone, self._relayed = alone, relayed
        self._give_up = False
        self._before: dict[int, Any] = {}

    @contextlib.contextmanager
    def abandonable(self) -> Iterator[None]:
        """Work that leaves nothing behind when it is cut: compiling, gradients, validation.

        Raises:
            Stopped: a signal came, before or during it.
        """
        self._give_up = self._alone
        try:
            if self.caught and self._alone:
                raise Stopped
            yield
        finally:
            self._give_up = False

    def __enter__(self) -> "Signals":
        self._before = {number: signal.signal(number, self._catch) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _catch(self, number: int, _: FrameType | None) -> None:
        if self.caught:
            return
        self.caught = number
        how = "SIGKILL"
        if not self._relayed:
            how = "again"
            for known, handler in self._before.items():
                signal.signal(known, handler)
        _log.warning("%s: saving a checkpoint and leaving; %s to leave at once", signal.Signals(number).name, how)
        if self._give_up:
            raise Stopped
