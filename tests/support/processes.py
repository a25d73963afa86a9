"""Processes that tests start: none outlives its block, and none is waited for longer than its limit."""

import os
import signal
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

LIMIT = 240  # seconds: what takes a second alone, on a machine with much else to do


@contextmanager
def started(args, limit=LIMIT, **options):
    """A process in a group of its own, which is killed at the end of the block, and `limit` seconds after its start.

    Raises:
        TimeoutExpired: it was killed at its limit.
    """
    late = threading.Event()
    process = subprocess.Popen(args, start_new_session=True, **options)

    def end():
        late.set()
        kill_group(process.pid)

    timer = threading.Timer(limit, end)
    timer.daemon = True
    timer.start()
    try:
        yield process
    finally:
        timer.cancel()
        kill_group(process.pid)
        process.wait(LIMIT)
        for pipe in filter(None, (process.stdin, process.stdout, process.stderr)):
            with suppress(BrokenPipeError):  # of what was written and not sent
                pipe.close()
    if late.is_set():
        raise subprocess.TimeoutExpired(args, limit)


def finished(args, limit=LIMIT, **options):
    """What subprocess.run gives, with the output; within the limit also where a child of the process lives on."""
    given = options.pop("input", None)
    stdin = subprocess.DEVNULL if given is None else subprocess.PIPE
    options = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    with started(args, limit, **options) as process:
        output, errors = process.communicate(given)
    return subprocess.CompletedProcess(args, process.returncode, output, errors)


def kill_group(group):
    """SIGKILL to all processes of a group, if there are any."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def living(group):
    """Processes that are still in a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                if int(fields[2]) == group and fields[0] != "Z":
                    found.append(int(entry.name))
    return found


def children(pid):
    """The processes that this one has started."""
    found = []
    with suppress(OSError):  # it ends
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def wait_for(condition, limit=LIMIT):
    """Return when it holds; an AssertionError if it does not in so many seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
