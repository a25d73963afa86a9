"""A pool of worker processes that survives the death of any of them.

Processes come from a fork server, so none inherits threads or locks of the launcher (Beam and gRPC have many). A worker
ends when the launcher does, however that died. When a worker is killed, the task that it was at is run again, alone in
a fresh process; a task whose process dies twice is reported as failed, and the others go on.

Each worker has a socket of its own to the launcher, which never waits on one alone: it sends what fits and takes what
is there, on all of them in turn. So a worker may be blocked with a large result while a large task is on its way to it,
or be stopped or killed in the middle of a message, and holds up no other.
"""

import ctypes
import multiprocessing
import multiprocessing.connection
import os
import pickle
import selectors
import signal
import socket
import struct
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.context import ForkContext, ForkServerContext
from multiprocessing.util import Finalize
from typing import Any, Final, Self

import numpy as np

from webtext.pipeline.files import storage

preload = ""
"""Module that the fork server imports, for all the processes that it makes. Who needs such processes says which."""

_IN_FLIGHT: Final = 2  # tasks per worker that are handed out beforehand, so that none waits for work
_END: Final = 10  # seconds that an idle worker has to end by itself
_LENGTH: Final = struct.Struct("!Q")  # goes ahead of each message
_SMALL: Final = 2**14  # bytes of a message that is rather copied than sent in two pieces
_PR_SET_PDEATHSIG: Final = 1  # <sys/prctl.h>
_SHOWN: Final = 300  # characters of an item in a message: it may hold pages


class TaskError(RuntimeError):
    """A task raised, or its process died twice. What it raised is chained, as text."""


class MachineError(RuntimeError):
    """A task failed for want of something that no task would find here. No other one is begun."""


@dataclass(slots=True)
class _Task:
    number: int  # as they were submitted
    message: bytes  # the item, pickled
    suspect: bool = False  # a process has died of it, or during it

    def __str__(self) -> str:
        return str(pickle.loads(self.message))[:_SHOWN]  # noqa: S301 - ours


class Pool:
    """Runs `function(item)` for many items in `workers` processes; results come back as they are ready."""

    def __init__(self, function: Callable[[Any], Any], workers: int, flags: Sequence[str] = ()) -> None:
        """`function` must be picklable. `flags` configure file systems in the workers."""
        self._function = function
        self._places = workers
        self._flags = tuple(flags)
        self._workers: list[_Worker] = []  # those that were needed so far, and live
        self._selector = selectors.DefaultSelector()
        self._submitted = self._unanswered = 0
        self._waiting: deque[_Task] = deque()
        self._suspects: deque[_Task] = deque()
        self._failures: list[tuple[int, str, Exception | None]] = []  # number of the task, message, cause
        # Also when this process ends without `close`: before multiprocessing waits for its children.
        self._ending = Finalize(self, _end, (self._workers, self._selector), exitpriority=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, item: Any) -> Iterator[Any]:
        """Hand out one item; yields results that have become ready.

        Raises:
            TaskError: an item failed with a MachineError. The pool is only to be closed then.
        """
        while self._unanswered >= self._places * _IN_FLIGHT:
            yield from self._collect()
        self._waiting.append(_Task(self._submitted, pickle.dumps(item, pickle.HIGHEST_PROTOCOL)))
        self._submitted += 1
        self._unanswered += 1
        yield from self._collect(0)

    def drain(self) -> Iterator[Any]:
        """Results of all items that are still out.

        Raises:
            TaskError: at the end, if any item failed; the others have had their turn, but for a MachineError.
        """
        while self._unanswered:
            yield from self._collect()
        if self._failures:
            _, message, cause = min(self._failures, key=lambda failure: failure[0])
            others = len(self._failures) - 1
            raise TaskError(f"{message} (and {others} more)" if others else message) from cause

    def close(self) -> None:
        """End all workers, also those that are at work: nobody waits for their results any more.

        Ctrl-C has its effect afterwards: else workers could be left, for which multiprocessing waits at exit.
        """
        with _without_interrupts():
            self._ending()

    def _collect(self, timeout: float | None = None) -> list[Any]:
        """Results that are there once something has happened, or so many seconds have passed."""
        self._hand_out()
        results: list[Any] = []
        for key, _ in self._selector.select(timeout):
            worker: _Worker = key.data
            if worker not in self._workers:  # its other event was of this moment too
                continue
            # What a dead one has sent is still there. A message that is not whole by then is none.
            dead = key.fd == worker.process.sentinel
            try:
                for message in worker.receive():
                    self._take(worker.tasks.popleft(), message, results)
            except EOFError:
                dead = True
            if dead:
                self._bury(worker)
            else:
                self._send(worker)
        return results

    def _take(self, task: _Task, message: memoryview, results: list[Any]) -> None:
        self._unanswered -= 1
        try:
            done, answer = pickle.loads(message)  # noqa: S301 - from a process of ours
        except Exception as error:
            done, answer = False, (f"the result of {task} can't be read: {error}", traceback.format_exc(), False)
        if done:
            results.append(answer)
            return
        text, raised, hopeless = answer
        cause = RuntimeError(f"in a worker process:\n{raised}")
        if hopeless:
            raise TaskError(text) from cause
        self._failures.append((task.number, text, cause))

    def _hand_out(self) -> None:
        """Give tasks to workers that can take them. A suspect waits until nothing else runs, and nothing else starts.

        It finds a free place for a fresh process: that of the one that died with it.
        """
        at_work = [task for worker in self._workers for task in worker.tasks]
        if self._suspects:
            if not at_work:
                self._send(self._start(), self._suspects.popleft())
        elif not any(task.suspect for task in at_work):
            while self._waiting and (worker := self._free()):
                self._send(worker, self._waiting.popleft())

    def _free(self) -> "_Worker | None":
        """The worker that has least to do; another one if all are at work and there is a place."""
        worker = min(self._workers, key=lambda worker: len(worker.tasks), default=None)
        if worker is None or (worker.tasks and len(self._workers) < self._places):
            return self._start()
        return worker if len(worker.tasks) < _IN_FLIGHT else None

    def _start(self) -> "_Worker":
        with _without_interrupts():  # none is forgotten
            worker = _Worker(self._function, self._flags)
            self._workers.append(worker)
        self._selector.register(worker.socket, selectors.EVENT_READ, worker)
        self._selector.register(worker.process.sentinel, selectors.EVENT_READ, worker)
        return worker

    def _send(self, worker: "_Worker", task: _Task | None = None) -> None:
        """Send what fits of this task and of those before; the rest when there is room."""
        events = selectors.EVENT_READ
        if worker.send(task):
            events |= selectors.EVENT_WRITE
        if self._selector.get_key(worker.socket).events != events:
            self._selector.modify(worker.socket, events, worker)

    def _bury(self, worker: "_Worker") -> None:
        """Do without a worker that died. Only the task that it was at can be the culprit."""
        self._workers.remove(worker)
        self._selector.unregister(worker.socket)
        self._selector.unregister(worker.process.sentinel)
        worker.process.kill()  # if it only hung up
        worker.join()
        if not worker.tasks:
            return
        task, *others = worker.tasks
        self._waiting.extendleft(reversed(others))
        if task.suspect:
            self._unanswered -= 1
            self._failures.append((task.number, f"the process of {task} was killed twice", None))
        else:
            task.suspect = True
            self._suspects.append(task)


class _Worker:
    """A process, the tasks that it has, and the launcher's end of its socket. Nothing but `join` waits for it."""

    def __init__(self, function: Callable[[Any], Any], flags: Sequence[str]) -> None:
        self.tasks: deque[_Task] = deque()  # it is at the first
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        self._unsent: deque[memoryview] = deque()
        self._message = _room(_LENGTH.size)  # what comes next: a length, or what is so long
        self._received = 0  # bytes of it
        self._is_length = True
        context = child_context(storage.MODULES if flags else ())
        self.process = context.Process(target=_serve, args=(theirs, function, flags))
        # No copy of its end stays here, nor in any other process: the end of the worker is the end of the stream.
        with theirs:
            self.process.start()

    def send(self, task: _Task | None) -> bool:
        """Send of this task and of those before what there is room for. Returns whether something is left."""
        if task is not None:
            self.tasks.append(task)
            self._unsent.extend(map(memoryview, _pieces(task.message)))
        try:
            while self._unsent:
                sent = self.socket.send(self._unsent[0])
                rest = self._unsent.popleft()[sent:]
                if rest:
                    self._unsent.appendleft(rest)
        except BlockingIOError:
            return True
        except OSError:  # it is dead, as is noticed when the end of its stream is read
            self._unsent.clear()
        return False

    def receive(self) -> Iterator[memoryview]:
        """Whole messages that have arrived. Raises EOFError behind the last one ever."""
        while True:
            try:
                count = self.socket.recv_into(self._message[self._received :])
            except BlockingIOError:
                return
            except OSError:
                count = 0
            if not count:
                raise EOFError
            self._received += count
            if self._received < len(self._message):
                continue
            message, self._received = self._message, 0
            self._message = _room(_LENGTH.unpack(message)[0] if self._is_length else _LENGTH.size)
            self._is_length = not self._is_length
            if self._is_length:
                yield message

    def end(self) -> None:
        """Let it end by itself if it is idle: it may have a child of its own to end. Else kill it."""
        if self.tasks:
            self.process.kill()
        self.socket.close()

    def join(self) -> None:
        """Wait for its end, and kill it if that does not come."""
        self.socket.close()
        self.process.join(_END)
        self.process.kill()
        self.process.join()
        self.process.close()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(workers: "list[_Worker]", selector: selectors.BaseSelector) -> None:
    selector.close()
    for worker in workers:
        worker.end()
    for worker in workers:
        worker.join()


def _room(size: int) -> memoryview:
    """Memory for so many bytes. A bytearray would be filled with zeros first, which takes a fifth of the time."""
    return np.empty(size, np.uint8).data


def _pieces(message: bytes) -> list[bytes]:
    """What is sent of a message."""
    length = _LENGTH.pack(len(message))
    return [length + message] if len(message) <= _SMALL else [length, message]


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


def _serve(pipe: socket.socket, function: Callable[[Any], Any], flags: Sequence[str]) -> None:
    global _in_worker  # noqa: PLW0603 - a worker process serves one pool
    _in_worker = True
    # Ctrl-C reaches the whole process group: the launcher decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    os.register_at_fork(after_in_child=pipe.close)  # a child that outlives this process does not keep its stream open
    storage.configure(flags)
    with pipe, suppress(EOFError, OSError):  # the launcher wants nothing more
        while True:
            for piece in _pieces(_answer(function, pipe)):
                pipe.sendall(piece)


def _answer(function: Callable[[Any], Any], pipe: socket.socket) -> bytes:
    """The message on the next item: (True, result), or (False, (error, traceback, whether others would fail too))."""
    message = _read(pipe, *_LENGTH.unpack(_read(pipe, _LENGTH.size)))
    try:
        item = pickle.loads(message)  # noqa: S301 - from the launcher
        del message  # it may be large
        return pickle.dumps((True, function(item)), pickle.HIGHEST_PROTOCOL)
    except BaseException as error:  # tiktoken's Rust panics are no Exception
        return pickle.dumps((False, (str(error), traceback.format_exc(), isinstance(error, MachineError))))


def _read(pipe: socket.socket, size: int) -> memoryview:
    data = rest = _room(size)
    while rest:
        count = pipe.recv_into(rest, flags=socket.MSG_WAITALL)
        if not count:
            raise EOFError
        rest = rest[count:]
    return data


def end_with_parent() -> None:
    """Make this process end when the one that asked for it is gone, even if that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # only ever called in a child

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
    # A long call into a C library holds the watcher up. The kernel knows the parent where that forked by itself.
    if os.getppid() == parent.pid:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
