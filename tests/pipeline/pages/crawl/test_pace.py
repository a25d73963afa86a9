"""Pace, seen from two processes' sides: two openings of one file in one process share no lock, so a child holds it."""

import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest
from processes import started

from webtext.pipeline.pages.crawl.pace import Pace

PAUSE = 2.0  # seconds: longer than a busy machine keeps a process waiting for a core

CHILD = """
import sys
from webtext.pipeline.pages.crawl.pace import Pace
pace = Pace(sys.argv[1], 60.0, alone=sys.argv[2] == "alone")
print(pace.take("a.example", float(sys.argv[3])), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def child(tmp_path):
    """Starts a process that takes a.example's turn and keeps it."""
    stack = ExitStack()

    def start(alone):
        command = [sys.executable, "-c", CHILD, str(tmp_path / "pace"), "alone" if alone else "", str(PAUSE)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        process = stack.enter_context(started(command, **pipes))
        assert process.stdout.readline() == "0.0\n"
        return process

    with stack:
        yield start


@pytest.mark.parametrize("alone", [True, False])
def test_what_another_process_took_is_not_free_before_its_time(tmp_path, child, alone):
    other = child(alone)
    pace = Pace(str(tmp_path / "pace"), 60.0, alone)
    assert pace.take("b.example", PAUSE) == 0
    left = pace.take("a.example", PAUSE)
    if alone:  # it is asking, however long ago it began
        time.sleep(PAUSE + 0.1)
        assert pace.take("a.example", PAUSE) > 0
        other.send_signal(signal.SIGKILL)
        other.wait()
    else:
        assert 0 < left <= PAUSE
        time.sleep(left)
    assert pace.take("a.example", PAUSE) == 0
    pace.free("a.example", 60.0)
    assert 30 < pace.take("a.example", PAUSE) <= 60
    pace.free("b.example", 0.0)
    pace.close()


def test_a_moment_of_before_a_restart_of_the_machine_does_not_count(tmp_path):
    pace = Pace(str(tmp_path / "pace"), 3600.0, alone=True)
    assert pace.take("a.example", 3000.0) == 0
    pace.free("a.example", 3000.0)
    pace.close()
    pace = Pace(str(tmp_path / "pace"), 60.0, alone=True)
    assert pace.take("a.example", 1.0) == 0
    assert 0 < pace.take("a.example", 1.0) <= 1.0
    pace.close()
