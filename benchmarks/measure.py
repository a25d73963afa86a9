"""CPU time and memory of a command with all its descendants, also those that outlive their parents."""

import ctypes
import os
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_POLL = 0.1  # seconds between two looks at the process tree


@dataclass(frozen=True)
class Usage:
    """What a command took."""

    wall: float  # seconds
    cpu: float  # seconds, user and system, of the whole tree
    tree_mib: float  # largest sum of the proportional set sizes of all processes at one moment, MiB
    process_mib: float  # largest resident set of any single process, MiB


def run(command: list[str], log: Path) -> Usage:
    """Run a command to its end; its output goes to `log`.

    Raises:
        RuntimeError: it failed; the message ends with what it printed last.
    """
    # Orphans (a fork server ends a moment after its parent) come to this process, so that their time is counted.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    tree = process = 0.0
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        while child.poll() is None:
            sizes = [_sizes(pid) for pid in _descendants(os.getpid())]
            tree = max(tree, sum(pss for pss, _ in sizes))
            process = max([process, *(rss for _, rss in sizes)])
            time.sleep(_POLL)
    wall = time.monotonic() - start
    _reap()
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}: {log.read_text()[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Usage(wall, cpu, tree / 1024, process / 1024)


def _reap() -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            time.sleep(0.05)


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The second field, the name, is in parentheses and may hold blanks.
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    todo = list(children.get(root, []))
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo.extend(children.get(pid, []))
    return found


def _sizes(pid: int) -> tuple[int, int]:
    """Proportional and resident set size, KiB; zeros for a process that is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0, 0
    values = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:] if line.endswith("kB")}
    return values.get("Pss", 0), values.get("Rss", 0)
