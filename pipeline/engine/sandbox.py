"""A child process that may hang, swell or crash without harm: a CPU-time budget per call, a memory limit, one loss.

A call is lost only for what any machine would find. The budget is counted in CPU seconds of the child and enforced by
the kernel (ITIMER_PROF with its default action, which ends the process even inside a C library); memory is address
space. A memory error or a crash may come from what earlier calls left behind, so it counts if it comes again in a fresh
child. A child that did not start, or was ended by a signal that no call raises, says nothing about the call: the
machine had no memory to give, or somebody killed it. It is tried again, with growing pauses, and if that does not pass
it is an error, never a loss.
"""

import gc
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, Self

from webtext.pipeline.engine.pool import MachineError, child_context, end_with_parent
from webtext.schemas.records import Loss, Reason

Work = Callable[[bytes], bytes]

_READY, _UNFIT, _ANSWER, _MEMORY, _ERROR = b"r", b"u", b"a", b"m", b"e"
_MAX_ANSWER: Final = 64 * 2**20  # bytes
_GARBAGE: Final = 100_000  # objects between two searches for cycles; Python's 700 take 4 % of the time of a page
_PAUSES: Final = (0.0, 0.25, 1.0, 4.0, 16.0)  # seconds before each further try of what the machine spoilt
_CRASHES: Final = frozenset((signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL))
"""What a fault in a C library ends a process with. Any other signal is sent from outside."""


class SandboxError(MachineError):
    """No verdict can be had on this machine: its processes do not start, or are killed each time."""


@dataclass(frozen=True, slots=True)
class _Death:
    """The end of a child that is not the doing of the call that it was at."""

    how: str


class Sandbox:
    """Runs `make()(payload)` in a child. Not thread-safe."""

    def __init__(
        self,
        make: Callable[[], Work],
        cpu_seconds: float,
        memory_mib: int,
        recycle: int = 2000,
        pauses: Sequence[float] = _PAUSES,
    ) -> None:
        """Start nothing yet.

        Args:
            make: called once in each child, picklable; does not count against the limits.
            cpu_seconds: of one call.
            memory_mib: address space of a child.
            recycle: calls after which a child is replaced, so that what libraries leak stays small.
            pauses: seconds before each further try of a call whose child the machine ended.
        """
        self._make = make
        self._recycle = recycle
        self._cpu_seconds = cpu_seconds
        self._memory_mib = memory_mib
        self._pauses = pauses
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(self, payloads: Sequence[bytes]) -> Iterator[bytes | Loss]:
        """One answer or Loss for each payload, in their order.

        Raises:
            SandboxError: the machine gives no verdict on one of them.
        """
        todo = list(payloads)
        while todo:
            child = self._ready()
            child.send(todo)
            for answer in child.answers(len(todo)):
                if isinstance(answer, bytes):
                    todo.pop(0)
                    yield answer
                    continue
                self._end()
                yield self._alone(todo.pop(0), answer)
                break

    def _alone(self, payload: bytes, found: Loss | _Death) -> bytes | Loss:
        """The verdict on a payload at which a child has ended so, from fresh children that get nothing else."""
        pauses = iter(self._pauses)
        losses = 0
        while True:
            if isinstance(found, _Death):
                if (pause := next(pauses, None)) is None:
                    raise SandboxError(self._advice(found))
                time.sleep(pause)
            else:
                losses += 1
                if losses == 2 or found.reason is Reason.EXTRACT_TIMEOUT:
                    return found
            child = self._ready()
            child.send([payload])
            [answer] = child.answers(1)
            if isinstance(answer, bytes):
                return answer
            self._end()
            found = answer

    def _advice(self, death: _Death) -> str:
        return (
            f"the process that is to read a page {death.how}, {len(self._pauses) + 1} times in a row and over "
            f"{sum(self._pauses):.0f} seconds. No page is given up for that, as it is not the page's doing. If the "
            "machine is short of memory (see the kernel's log, a limit of the container, ulimit -v), use fewer "
            f"--workers or a smaller --extract.memory-mib (now {self._memory_mib})"
        )

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


class _TooLongError(Exception):
    """A message that is not taken."""


class _Child:
    """The process and the pipe to it."""

    def __init__(self, make: Callable[[], Work], cpu_seconds: float, memory_mib: int) -> None:
        context = child_context()
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, cpu_seconds, memory_mib))
        self._unfit: str | None = None
        self._started = False
        self.calls = 0
        with theirs:
            try:
                self._process.start()
            except (OSError, EOFError) as error:  # from the system, or from a fork server that is gone
                self._unfit = f"could not start: {error or type(error).__name__}"

    def send(self, payloads: list[bytes]) -> None:
        # A child that dies while it reads is noticed when the answer is awaited.
        try:
            self._pipe.send(payloads)
        except OSError:
            return

    def answers(self, count: int) -> Iterator[bytes | Loss | _Death]:
        """Up to `count` answers; the first that is none is the last."""
        for _ in range(count):
            self.calls += 1
            answer = self._answer()
            yield answer
            if not isinstance(answer, bytes):
                return

    def _answer(self) -> bytes | Loss | _Death:
        if self._unfit is not None:
            return _Death(self._unfit)
        try:
            kind, body = self._receive()
            if not self._started:
                if kind == _UNFIT:
                    return _Death(f"could not start: {body.decode()}")
                self._started = True
                kind, body = self._receive()
        except _TooLongError:
            return Loss(Reason.EXTRACT_CRASH, f"answer of more than {_MAX_ANSWER} bytes")
        except (EOFError, OSError):
            return self._epitaph()
        if kind == _MEMORY:
            return Loss(Reason.EXTRACT_MEMORY, body.decode())
        return Loss(Reason.EXTRACT_CRASH, body.decode()) if kind == _ERROR else body

    def _receive(self) -> tuple[bytes, bytes]:
        try:
            message = self._pipe.recv_bytes(_MAX_ANSWER)
        except OSError as error:
            if error.errno is None:  # not the system's
                raise _TooLongError from error
            raise
        return message[:1], message[1:]

    def _epitaph(self) -> Loss | _Death:
        self._process.join()
        code = self._process.exitcode or 0
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended by exit code {code}"
        if not self._started:
            return _Death(f"was {how} at its start")
        if code == -signal.SIGPROF:
            return Loss(Reason.EXTRACT_TIMEOUT, "CPU time budget used up")
        if code < 0 and -code not in _CRASHES:
            return _Death(f"was {how}")
        return Loss(Reason.EXTRACT_CRASH, f"process {how}")

    def kill(self) -> None:
        """End it, whatever it is at."""
        if self._unfit is None:
            self._process.kill()
            self._process.join()
        self._pipe.close()


def _serve(pipe: Connection, make: Callable[[], Work], cpu_seconds: float, memory_mib: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    end_with_parent()
    try:
        work = make()
        gc.freeze()  # the models are no garbage, and need not be searched
        gc.set_threshold(_GARBAGE, *gc.get_threshold()[1:])
        _limit_memory(memory_mib)
    except Exception as error:
        pipe.send_bytes(_UNFIT + _told(error))
        return
    pipe.send_bytes(_READY)
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
                answer = _ERROR + _told(error)
            signal.setitimer(signal.ITIMER_PROF, 0)
            pipe.send_bytes(answer)


def _limit_memory(memory_mib: int) -> None:
    """Grant so much address space beyond what is in use. Raises ValueError where this user may not have it."""
    # What is loaded by now is not the page's doing: the limit is that much more.
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + memory_mib * 2**20
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY and most < limit:
        raise ValueError(
            f"its address space is limited to {most >> 20} MiB (ulimit -v), but it needs {limit >> 20} MiB: "
            f"{memory_mib} for a page and {used >> 20} for code and models"
        )
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _told(error: BaseException) -> bytes:
    return f"{type(error).__name__}: {error}"[:300].encode("utf-8", "replace")
