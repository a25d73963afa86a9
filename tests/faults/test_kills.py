"""SIGKILL to processes of a build, of every kind and at any time: the same corpus in the end, and nothing left behind.

`make test-faults` kills two hundred. A build may end in an error that says what happened; its command is then given
again, as it is where the launcher was killed.
"""

import os
import random
import shutil
import signal
import time
from collections import Counter
from contextlib import suppress

import fault_builds
import pytest
from processes import LIMIT, children, living, started, wait_for

pytestmark = [pytest.mark.timeout(7200), pytest.mark.usefixtures("faults_wanted")]
ROLES = {"links": ("launcher", "fork server", "worker", "sandbox"), "texts": ("launcher", "fork server", "worker")}
ONE_BUILD = 4  # kills; then it is left to end


def processes_of(launcher):
    """The processes of a build by their role, as who has started them tells."""
    found = {"launcher": [launcher], "fork server": [], "worker": [], "sandbox": []}
    for child in children(launcher):
        if is_fork_server(child):
            found["fork server"].append(child)
            for worker in children(child):
                found["worker"].append(worker)
                found["sandbox"] += children(worker)
    return {role: pids for role, pids in found.items() if pids}


def is_fork_server(pid):
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as stream:
        return b"forkserver" in stream.read()
    return False


@pytest.fixture(scope="module", params=fault_builds.KINDS)
def calm(faults_wanted, request, tmp_path_factory):
    """Kind, folder, and digests of a build left alone."""
    folder = tmp_path_factory.mktemp(request.param)
    fault_builds.write_inputs(folder, request.param)
    fault_builds.build_here(folder, request.param, folder / "calm")
    return request.param, folder, fault_builds.digests(folder / "calm")


def run_and_kill(command, environment, log, rng, most, killed, roles):
    """Run a build and kill its processes now and then, of all roles as often, up to `most` in all. Its status."""
    with log.open("wb") as output, started(command, stdout=output, stderr=output, env=environment) as process:
        pause = time.monotonic() + rng.uniform(0.1, 3)
        while process.poll() is None:
            time.sleep(0.005)
            if killed.total() >= most or time.monotonic() < pause:
                continue
            found = processes_of(process.pid)
            role = min(found, key=lambda role: killed[role])  # of those that live, the one that was killed least
            if killed[role] > min(killed[other] for other in roles):
                continue  # another one's turn comes
            with suppress(ProcessLookupError):
                os.kill(rng.choice(found[role]), signal.SIGKILL)
                killed[role] += 1
            pause = time.monotonic() + rng.uniform(0, 2)
        status = process.wait(LIMIT)
        wait_for(lambda: not living(process.pid))  # the others notice by themselves
    return status


def test_kills_change_no_corpus(calm, request, tmp_path, scratch):
    kind, folder, expected = calm
    seed = request.config.option.fault_seed
    rng = random.Random(f"{seed} {kind}")
    roles = ROLES[kind]
    wanted, killed, statuses = request.config.option.kills * len(roles), Counter(), Counter()
    work, log = tmp_path / "work", tmp_path / "log"
    command = fault_builds.command(folder, kind, work)
    environment = os.environ | {"TMPDIR": str(scratch)}
    while killed.total() < wanted:
        most = min(wanted, killed.total() + ONE_BUILD)
        while True:
            before = killed.total()
            status = run_and_kill(command, environment, log, rng, most, killed, roles)
            statuses[status] += 1
            if status == 0:
                break
            text = log.read_text(errors="replace")
            assert status == -signal.SIGKILL or "\nerror: " in f"\n{text}", text[-3000:]
            assert killed.total() > before, f"seed {seed}: ended by itself with {status}: {text[-3000:]}"
        assert fault_builds.digests(work) == expected, f"seed {seed}, {dict(killed)}: {log.read_text()[-3000:]}"
        assert not list(scratch.iterdir()), f"left in TMPDIR: {[path.name for path in scratch.rglob('*')]}"
        shutil.rmtree(work)
    print(f"{kind}: {dict(killed)} killed, builds ended with {dict(statuses)}")
