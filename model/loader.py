"""Batches read ahead of the training loop, by one thread into a bounded queue.

The thread changes nothing about the batches: each is still a pure function of its step. It runs while the loop waits
for the device or for a kernel, both of which release Python's lock.
"""

import queue
import threading
from types import TracebackType
from typing import Final

import torch
from torch import Tensor

from webtext.model.data import Batches

AHEAD: Final = 2  # batches in the queue; one is enough where reading is faster than a step, the other evens out hiccups


class Loader:
    """The batches of one rank from step `start` on, in pinned memory where a GPU copies them.

    Use as a context manager: leaving ends the thread.
    """

    def __init__(
        self, batches: Batches, start: int, rank: int = 0, world: int = 1, *, pin_for: torch.device | None = None
    ) -> None:
        self._batches, self._start, self._rank, self._world, self._pin_for = batches, start, rank, world, pin_for
        self._queue: queue.Queue[Tensor | BaseException] = queue.Queue(AHEAD)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="loader", daemon=True)

    def next(self) -> Tensor:
        """Rows (B, T + 1) of the next step.

        Raises:
            ValueError: a shard holds what is no token.
        """
        batch = self._queue.get()
        if isinstance(batch, BaseException):
            raise batch
        return batch

    def _fill(self) -> None:
        step = self._start
        if self._pin_for is not None:  # a new thread is on GPU 0, and pinning memory would open a context there
            torch.cuda.set_device(self._pin_for)
        while not self._stop.is_set():
            try:
                rows = torch.from_numpy(self._batches.batch(step, self._rank, self._world))
                self._put(rows if self._pin_for is None else rows.pin_memory())
            except BaseException as error:  # the loop raises it
                self._put(error)
                return
            step += 1

    def _put(self, item: Tensor | BaseException) -> None:
        # With a time limit, so that a full queue that nobody reads any more doesn't hold the thread for ever.
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def __enter__(self) -> "Loader":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
