"""A child process that may hang, swell or crash without harm: a CPU-time budget per call, a memory limit, one loss.

The budget is counted in CPU seconds of the child and enforced by the kernel (ITIMER_PROF with its default action, which
ends the process even inside a C library), so a slow or busy machine reaches the same verdicts as a fast one. A memory
error or a crash may come from what earlier calls left behind: such a call is tried once more in a fresh child, and only
the second verdict counts.
"""

import gc
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

from webtext.pipeline.engine.pool import child_context, end_with_parent
from webtext.schemas.records import Loss, Reason

Work = Callable[[bytes], bytes]

_ANSWER, _MEMORY, _ERROR = b"a", b"m", b"e"
_MAX_ANSWER = 64 * 2**20  # bytes
_GARBAGE = 100_000  # objects between two searches for cycles; Python's 700 take 4 % of the time of a page


class Sandbox:
    """Runs `make()(payload)` in a child. Not thread-safe."""

    def __init__(self, make: Callable[[], Work], cpu_seconds: float, memory_mib: int, recycle: int = 2000) -> None:
        """Start nothing yet.

        Args:
            make: called once in each child, picklable; does not count against the limits.
            cpu_seconds: of one call.
            memory_mib: address space of a child.
            recycle: calls after which a child is replaced, so that what libraries leak stays small.
        """
        self._make = make
        self._recycle = recycle
        self._cpu_seconds = cpu_seconds
        self._memory_mib = memory_mib
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(self, payloads: Sequence[bytes]) -> Iterator[bytes | Loss]:
        """One answer or Loss for each payload, in their order."""
        todo = list(payloads)
        while todo:
            child = self._ready()
            child.send(todo)
            for answer in child.answers(len(todo)):
                payload = todo.pop(0)
                if isinstance(answer, bytes):
                    yield answer
                    continue
                fresh = child.calls == 1
                self._end()
                if fresh or answer.reason is Reason.EXTRACT_TIMEOUT:
                    yield answer
                else:
                    yield from self._alone(payload)
                break

    def _alone(self, payload: bytes) -> Iterator[bytes | Loss]:
        child = self._ready()
        child.send([payload])
        [answer] = child.answers(1)
        if isinstance(answer, Loss):
            self._end()
        yield answer

    def _ready(self) -> "_Child":
        if self._child is not None and self._child.calls >= self._recycle:
            self._end()
        if self._child is None:
            self._child = _Child(self._make, self._cpu_seconds, self._memory_mib)
        return self._child

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None


class _Child:
    """The process and the pipe to it."""

    def __init__(self, make: Callable[[], Work], cpu_seconds: float, memory_mib: int) -> None:
        context = child_context()
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, cpu_seconds, memory_mib))
        self._process.start()
        theirs.close()
        self.calls = 0

    def send(self, payloads: list[bytes]) -> None:
        # A child that dies while it reads is noticed when the answer is awaited.
        try:
            self._pipe.send(payloads)
        except OSError:
            return

    def answers(self, count: int) -> Iterator[bytes | Loss]:
        """Up to `count` answers; the first Loss is the last."""
        for _ in range(count):
            self.calls += 1
            try:
                message = self._pipe.recv_bytes(_MAX_ANSWER)
            except (EOFError, OSError):
                yield self._epitaph()
                return
            kind, body = message[:1], message[1:]
            if kind == _MEMORY:
                yield Loss(Reason.EXTRACT_MEMORY, body.decode())
                return
            yield Loss(Reason.EXTRACT_CRASH, body.decode()) if kind == _ERROR else body
            if kind == _ERROR:
                return

    def _epitaph(self) -> Loss:
        self._process.join()
        code = self._process.exitcode or 0
        if code == -signal.SIGPROF:
            return Loss(Reason.EXTRACT_TIMEOUT, "CPU time budget used up")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Loss(Reason.EXTRACT_CRASH, f"process ended by {how}")

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _serve(pipe: Connection, make: Callable[[], Work], cpu_seconds: float, memory_mib: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    end_with_parent()
    work = make()
    gc.freeze()  # the models are no garbage, and need not be searched
    gc.set_threshold(_GARBAGE, *gc.get_threshold()[1:])
    # What is loaded by now is not the page's doing: the limit is that much more.
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + memory_mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    while True:
        try:
            payloads = pipe.recv()
        except EOFError:
            return
        for payload in payloads:
            signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
            try:
                answer = _ANSWER + work(payload)
            except MemoryError:
                answer = _MEMORY + b"memory limit reached"
            except BaseException as error:  # tiktoken's Rust panics are no Exception
                answer = _ERROR + f"{type(error).__name__}: {error}"[:300].encode("utf-8", "replace")
            signal.setitimer(signal.ITIMER_PROF, 0)
            pipe.send_bytes(answer)
