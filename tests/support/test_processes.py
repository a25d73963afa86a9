import signal
import subprocess
import sys

import processes
import pytest

# It takes more than a polite request to end it, and it has a child like itself.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
print(os.getpid(), flush=True)
time.sleep(3600)
"""


def is_gone(process):
    processes.wait_for(lambda: not processes.living(process.pid))
    return process.returncode == -signal.SIGKILL


def test_a_process_ends_with_its_block_whatever_ends_that():
    with (
        pytest.raises(ZeroDivisionError),
        processes.started([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as process,
    ):
        assert process.stdout.readline()
        assert process.stdout.readline()
        raise ZeroDivisionError
    assert is_gone(process)


def test_a_process_is_killed_at_its_limit_however_its_block_waits():
    with (
        pytest.raises(subprocess.TimeoutExpired),
        processes.started([sys.executable, "-c", STUBBORN], 2, stdout=subprocess.PIPE) as process,
    ):
        process.stdout.read()
    assert is_gone(process)
    with pytest.raises(subprocess.TimeoutExpired):
        processes.finished([sys.executable, "-c", STUBBORN], 2)


def test_what_it_printed_and_its_status_are_told():
    echo = "import sys; sys.stderr.write('!'); print(sys.stdin.read()); sys.exit(3)"
    done = processes.finished([sys.executable, "-c", echo], input="a", text=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, "a\n", "!")


HANGING = """
import subprocess

def test_hangs():
    with subprocess.Popen(["sleep", "3600"]):
        pass
"""


def test_a_test_that_waits_for_good_is_ended_by_its_own_limit(tmp_path):
    (tmp_path / "test_hanging.py").write_text(HANGING)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--timeout=3", str(tmp_path)]
    done = processes.finished(command, cwd=tmp_path, text=True)
    assert done.returncode == 1
    assert "Timeout" in done.stdout
