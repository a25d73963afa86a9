"""What the pools of tests are given to do. A module of its own, so that worker processes can import its functions."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np

from webtext.pipeline.engine.pool import MachineError

LARGE = 24 * 2**20  # bytes, a hundred times what a socket holds


def large(number):
    """As many bytes as take some time on their way, different for each number."""
    return number, np.random.default_rng(number).bytes(LARGE)


def echo(item):
    return item


def die(deadly, number):
    """One number kills its process each time."""
    if number == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_once(folder, number):
    """Each number kills its process the first time, and is alone the second time."""
    trap = Path(folder) / str(number)
    if not trap.exists():
        trap.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    running = Path(folder) / "running"
    running.mkdir()  # an error if there is another
    time.sleep(0.02)
    running.rmdir()
    return number


def die_with_a_child(folder, number):
    """Kills its process, but not the child that it forked."""
    child = os.fork()
    if not child:
        time.sleep(3600)
    (Path(folder) / str(child)).touch()
    os.kill(os.getpid(), signal.SIGKILL)


def stop(folder, number):
    """Number 0 stops its process."""
    if not number:
        (Path(folder) / str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGSTOP)
    return number


class OddError(Exception):
    """Can be pickled, but not read back."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def fail(number):
    if number == 1:
        raise OddError("this", "that")
    if number == 2:
        return threading.Lock()
    return number


def sleep(folder, number):
    """For an hour, after a sign of life."""
    (Path(folder) / str(number)).touch()
    time.sleep(3600)


def lack(folder, number):
    """Finds the machine short of something, after a sign of life."""
    (Path(folder) / str(number)).touch()
    raise MachineError("no memory")
