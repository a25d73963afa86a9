"""A build in a memory cgroup that is too small, so that the kernel kills in it: it ends in an error, or as always.

The kernel kills whichever process is largest: the launcher, or a worker or sandbox where that is spared.
"""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path

import fault_builds
import pytest
from processes import LIMIT, children, living, started, wait_for

pytestmark = [pytest.mark.timeout(2400), pytest.mark.usefixtures("faults_wanted")]
ROOT = Path("/sys/fs/cgroup")
FILES = {  # by version of the kernel's interface: limit, peak, how often it killed
    1: ("memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control"),
    2: ("memory.max", "memory.peak", "memory.events"),
}
SHARES = (0.5, 0.7, 0.9)  # of what a build takes that is left alone


class Cgroup:
    def __init__(self, folder, version):
        self.folder = folder
        self._limit, self._peak, self._events = (folder / name for name in FILES[version])

    def limit(self, size):
        self._limit.write_text(str(size))

    def is_gone(self):
        with suppress(OSError):
            self.folder.rmdir()
        return not self.folder.exists()

    def peak(self):
        return int(self._peak.read_text())

    def kills(self):
        return int(re.search(r"^oom_kill (\d+)", self._events.read_text(), re.MULTILINE)[1])


@contextmanager
def cgroup(name):
    """A cgroup of our own, or a skip that says why there is none."""
    version = 2 if (ROOT / "cgroup.controllers").exists() else 1
    folder = (ROOT if version == 2 else ROOT / "memory") / f"webtext-test-{os.getpid()}-{name}"
    try:
        folder.mkdir()
        made = Cgroup(folder, version)
        made.limit(2**40)
        made.kills()
    except (OSError, TypeError) as error:
        pytest.skip(f"no memory cgroup can be made here: {error}")
    try:
        yield made
    finally:
        wait_for(made.is_gone)  # its last processes are being forgotten


def run_inside(group, command, log, environment, *, spared=False):
    """The status of a command whose processes are all in the cgroup. Its launcher may be spared by the kernel."""
    inside = ["/bin/sh", "-c", f'echo $$ > {group.folder}/cgroup.procs && exec "$@"', "sh", *command]
    with log.open("wb") as output, started(inside, stdout=output, stderr=output, env=environment) as process:
        if spared:
            wait_for(lambda: children(process.pid) or process.poll() is not None)
            with suppress(OSError):
                Path(f"/proc/{process.pid}/oom_score_adj").write_text("-1000")
        status = process.wait(LIMIT)
        wait_for(lambda: not living(process.pid))
    return status


@pytest.mark.skipif(sys.platform != "linux", reason="cgroups are Linux's")
@pytest.mark.parametrize("kind", fault_builds.KINDS)
def test_the_kernel_kills_in_a_build(kind, tmp_path, scratch):
    fault_builds.write_inputs(tmp_path, kind)
    log = tmp_path / "log"
    environment = os.environ | {"TMPDIR": str(scratch)}
    with cgroup(f"{kind}-calm") as group:
        assert run_inside(group, fault_builds.command(tmp_path, kind, tmp_path / "calm"), log, environment) == 0
        peak = group.peak()
    expected = fault_builds.digests(tmp_path / "calm")
    outcomes = []
    for share, spared in product(SHARES, (False, True)):
        work = tmp_path / f"work-{share}-{spared}"
        command = fault_builds.command(tmp_path, kind, work)
        with cgroup(f"{kind}-{share}-{spared}") as group:
            group.limit(int(peak * share))
            status = run_inside(group, command, log, environment, spared=spared)
            kills = group.kills()
        text = log.read_text(errors="replace")
        whom = "others" if spared else "any"
        outcomes.append(f"{share:.0%} of {peak >> 20} MiB: {kills} kills of {whom}, status {status}")
        if status not in (0, -signal.SIGKILL):
            assert re.search(r"^error: .*(killed|ended by SIGKILL|memory|died)", text, re.MULTILINE), text[-3000:]
        if status:
            subprocess.run(command, env=environment, check=True, capture_output=True, timeout=LIMIT)
        assert fault_builds.digests(work) == expected, outcomes[-1]
    print(f"{kind}: " + "; ".join(outcomes))
    assert not list(scratch.iterdir())
