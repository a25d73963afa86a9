"""A pool of worker processes that survives the death of any of them.

Processes come from a fork server, so none inherits threads or locks of the launcher (Beam and gRPC have many). A worker
ends when the launcher does, however that died. When a worker is killed, what was in flight is run again, one task at a
time; a task whose worker dies twice is reported as failed, and the others go on.
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import ForkContext, ForkServerContext
from typing import Any, Self

from webtext.pipeline.files import storage

preload = ""
"""Module that the fork server imports, for all the processes that it makes. The recipe says which."""

_IN_FLIGHT = 2  # tasks per worker that are handed out beforehand, so that none waits for work


class TaskError(RuntimeError):
    """A task raised, or its process died twice. The cause is chained."""


class Pool:
    """Runs `function(item)` for many items in `workers` processes; results come back as they are ready."""

    def __init__(self, function: Callable[[Any], Any], workers: int, flags: Sequence[str] = ()) -> None:
        """`function` must be picklable. `flags` configure file systems in the workers."""
        self._function = function
        self._workers = workers
        self._flags = tuple(flags)
        self._executor = self._start(workers)
        self._running: dict[futures.Future[Any], Any] = {}
        self._failures: list[Exception] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, workers: int) -> futures.ProcessPoolExecutor:
        context = child_context(storage.MODULES if self._flags else ())
        return futures.ProcessPoolExecutor(workers, context, _start_worker, (self._function, self._flags))

    def submit(self, item: Any) -> Iterator[Any]:
        """Hand out one item; yields results that became ready while a place was awaited."""
        while len(self._running) >= self._workers * _IN_FLIGHT:
            yield from self._collect()
        while True:
            try:
                self._running[self._executor.submit(_call, item)] = item
                return
            except BrokenProcessPool:  # a worker died since the last look
                yield from self._recover()

    def drain(self) -> Iterator[Any]:
        """Results of all items that are still out.

        Raises:
            TaskError: at the end, if any item failed; the others have had their turn.
        """
        while self._running:
            yield from self._collect()
        if self._failures:
            first, *others = self._failures
            more = f" (and {len(others)} more)" if others else ""
            raise TaskError(f"{first}{more}") from first

    def close(self) -> None:
        """Take no more; workers end with their present task, or at once when this process does."""
        self._executor.shutdown(wait=not self._running, cancel_futures=True)

    def _collect(self) -> Iterator[Any]:
        done, _ = futures.wait(self._running, return_when=futures.FIRST_COMPLETED)
        for future in done:
            if isinstance(future.exception(), BrokenProcessPool):
                yield from self._recover()
                return
            yield from self._result(future, self._running.pop(future))

    def _result(self, future: futures.Future[Any], item: Any) -> Iterator[Any]:
        try:
            yield future.result()
        except BrokenProcessPool:
            self._failures.append(TaskError(f"the process of {item} was killed twice"))
        except Exception as error:
            self._failures.append(error)

    def _recover(self) -> Iterator[Any]:
        """Run again, alone, each item that was out when a worker died. The culprit can only be one of them."""
        suspects = list(self._running.values())
        self._running.clear()
        self._executor.shutdown(wait=True, cancel_futures=True)
        for suspect in suspects:
            with self._start(1) as alone:
                yield from self._result(alone.submit(_call, suspect), suspect)
        self._executor = self._start(self._workers)


def child_context(modules: Sequence[str] = ()) -> ForkServerContext | ForkContext:
    """How to start a process here: by a fork server, which has imported and loaded once what its processes need.

    A worker of ours forks itself instead: it has what the server loaded, and no thread but one that only waits. A
    server of its own would cost each worker 1.4 s and 170 MiB.

    Args:
        modules: what else the server is to import, if it does not run yet.
    """
    if _in_worker:
        return multiprocessing.get_context("fork")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*([preload] if preload else ()), *modules])
    return context


_in_worker = False
_function: Callable[[Any], Any]  # of this worker: sent once, not with every item


def _call(item: Any) -> Any:
    return _function(item)


def _start_worker(function: Callable[[Any], Any], flags: Sequence[str]) -> None:
    global _in_worker, _function  # a worker process serves one pool
    _in_worker, _function = True, function
    # Ctrl-C reaches the whole process group: the launcher decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    storage.configure(flags)


def end_with_parent() -> None:
    """Make this process end when the one that asked for it is gone, even if that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # only ever called in a child

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
