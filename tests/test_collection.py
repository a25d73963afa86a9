"""Which tests there are: always the same ones, and never fewer."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 240  # seconds


def pytest(*args, **environment):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *args]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        command, env={**variables, **environment}, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False
    )


def test_a_test_has_the_same_id_in_every_process(request):
    """This process has collected some time ago; workers of pytest-xdist that differ by one id run no test at all."""
    time.sleep(1.1)  # gzip has the clock in seconds
    again = pytest("tests", "--collect-only", "-q", "--color=no", PYTHONHASHSEED="1")
    ids = {line for line in again.stdout.splitlines() if "::" in line}
    mine = {item.nodeid for item in request.session.items}
    assert again.returncode == 0, again.stderr
    assert len(ids) > 1000
    assert mine - ids == set()


def test_no_id_holds_bytes(request):
    """They are neither short nor, where they are compressed, the same each time."""
    named = [item for item in request.session.items if hasattr(item, "callspec")]
    held = {
        item.nodeid
        for item in named
        for value in item.callspec.params.values()
        if isinstance(value, bytes) and len(value) > 12 and value.decode("ascii", "backslashreplace") in item.nodeid
    }
    assert held == set()


def test_fewer_tests_than_the_floor_are_a_failure():
    done = pytest("tests/schemas/test_vocabulary.py", "--floor", "-q", "--color=no")
    assert done.returncode == 1
    assert "tests/floor.txt asks for" in done.stdout
    assert pytest("tests/schemas/test_vocabulary.py", "-q").returncode == 0
