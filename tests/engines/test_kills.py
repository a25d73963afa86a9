"""The executors of a real cluster die in the middle of a stage, or the launcher does."""

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import engine_services as services
import pytest
from engine_builds import build, launched, local, outcome


def executors(groups):
    """Process ids of Spark's executors in these process groups."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if b"CoarseGrainedExecutorBackend" not in (entry / "cmdline").read_bytes():
                    continue
                if os.getpgid(int(entry.name)) in groups:
                    found.append(int(entry.name))
            except OSError:  # gone meanwhile
                continue
    return sorted(found)


def at_work(folder):
    """Whether a stage is under way: its folder appears with the first file that one of its parts begins."""
    return folder.is_dir() and not (folder / "manifest.json").exists()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("stage", "environment"), [("documents", "EXTERNAL"), ("candidates", "LOOPBACK")])
def test_executors_killed_in_mid_stage_cost_no_byte(stage, environment, tmp_path, reference, cluster):
    web, expected = reference
    work = tmp_path / "work"
    killed: list[int] = []
    with ExitStack() as stack:
        # With LOOPBACK the Python of a dead executor lives on, and writes the part beside the one that repeats it.
        python = services.LOOPBACK
        if environment == "EXTERNAL":
            python = stack.enter_context(services.worker_pool(tmp_path)).flags
        flags = (*cluster.flags, *python)
        groups = {service.process.pid for service in cluster.services}
        with launched(tmp_path / "first.log", web, str(work), flags, {}) as launcher:
            while launcher.poll() is None and not killed:
                if at_work(work / stage):
                    killed = executors(groups)  # all of them: the one at work is among them
                    for executor in killed:
                        os.kill(executor, signal.SIGKILL)
                time.sleep(0.02)
            status = launcher.wait(900)
        assert killed, (tmp_path / "first.log").read_text()[-3000:]
        assert not set(killed) & set(executors(groups))
        print(f"the job {'went on' if status == 0 else 'failed; it is started again'}")
        if status:
            build(tmp_path / "second.log", web, str(work), flags)
    assert outcome(local(work)) == expected


@pytest.mark.timeout(1200)
def test_a_launcher_killed_and_started_again_while_its_job_goes_on_costs_no_byte(tmp_path, reference, cluster):
    web, expected = reference
    work = tmp_path / "work"
    with services.worker_pool(tmp_path) as pool:
        flags = (*cluster.flags, *pool.flags)
        with launched(tmp_path / "first.log", web, str(work), flags, {}) as launcher:
            while launcher.poll() is None and not at_work(work / "documents"):
                time.sleep(0.02)
            assert at_work(work / "documents"), (tmp_path / "first.log").read_text()[-3000:]
        # The launcher is dead; its job server, executors and workers know nothing of it and go on.
        build(tmp_path / "second.log", web, str(work), flags)
    assert outcome(local(work)) == expected
