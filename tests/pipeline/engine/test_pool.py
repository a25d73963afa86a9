"""Workers that are killed, stopped and in each other's way.

WEBTEXT_TEST_KILLS says how many are killed at random moments, 15 if it is not set.
"""

import multiprocessing
import os
import random
import re
import signal
import sys
import threading
import time
from contextlib import suppress
from functools import partial

import pool_tasks
import pytest
from processes import children, finished, living, started, wait_for

from webtext.pipeline.engine.pool import Pool, TaskError

KILLS = int(os.environ.get("WEBTEXT_TEST_KILLS", "15"))
ITEMS = 12  # of a round


def workers():
    """Of all pools here: the children of the fork server."""
    return [worker for child in children(os.getpid()) for worker in children(child)]


def results(pool, items):
    """All results, as they come."""
    for item in items:
        yield from pool.submit(item)
    yield from pool.drain()


class Killer(threading.Thread):
    """After each result kills a worker, or stops it for a while, or both, at a random moment."""

    def __init__(self, source):
        super().__init__()
        self.kills = 0
        self._source = source
        self._results = threading.Semaphore()
        self._end = False

    def run(self):
        while self._results.acquire() and not self._end:
            time.sleep(self._source.uniform(0, 0.2))
            if found := workers():
                with suppress(ProcessLookupError):  # it has ended since
                    self._harm(self._source.choice(found), self._source.choice(["kill", "stop", "stop and kill"]))

    def _harm(self, pid, how):
        if how != "kill":
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.05)
        os.kill(pid, signal.SIGCONT if how == "stop" else signal.SIGKILL)
        self.kills += how != "stop"

    def go_on(self):
        self._results.release()

    def end(self):
        self._end = True
        self._results.release()
        self.join()


def under_fire(expected, seed):
    """The numbers of the tasks that came to a result, how many did not, and how many kills there were."""
    found, failed = set(), 0
    killer = Killer(random.Random(seed))
    killer.start()
    try:
        with Pool(pool_tasks.large, 2) as pool:
            for number, data in results(pool, range(ITEMS)):
                assert data == expected[number]
                assert number not in found
                found.add(number)
                killer.go_on()
    except TaskError as error:
        others = re.fullmatch(r"the process of \d+ was killed twice(?: \(and (\d+) more\))?", str(error))[1]
        failed = 1 + int(others or 0)
    finally:
        killer.end()
    return found, failed, killer.kills


def test_kills_and_stops_while_large_results_are_on_their_way():
    expected = dict(map(pool_tasks.large, range(ITEMS)))
    kills = rounds = lost = 0
    while kills < KILLS:
        print(f"seed {rounds}, after {kills} kills, of which {lost} tasks were hit twice")  # shown when the test fails
        found, failed, more = under_fire(expected, rounds)
        assert len(found) + failed == ITEMS
        rounds, kills, lost = rounds + 1, kills + more, lost + failed
    print(f"{kills} kills in {rounds} rounds of {ITEMS} tasks, {lost} tasks were hit twice")
    assert lost < rounds * ITEMS / 2
    wait_for(lambda: not workers())


def test_large_items_and_large_results_pass_one_another():
    items = [bytes([n]) * pool_tasks.LARGE for n in range(6)]
    with Pool(pool_tasks.echo, 1) as pool:
        assert list(results(pool, items)) == items


def test_a_task_whose_process_dies_twice_has_failed_and_the_others_go_on():
    with Pool(partial(pool_tasks.die, 3), 2) as pool:
        coming = results(pool, range(20))
        assert sorted(next(coming) for _ in range(19)) == [n for n in range(20) if n != 3]
        with pytest.raises(TaskError, match=r"^the process of 3 was killed twice$"):
            next(coming)


def test_what_died_once_is_run_again_alone(tmp_path):
    with Pool(partial(pool_tasks.die_once, str(tmp_path)), 1) as pool:
        assert sorted(results(pool, range(6))) == list(range(6))


def test_a_child_of_a_dead_worker_does_not_hide_its_death(tmp_path):
    try:
        with (
            Pool(partial(pool_tasks.die_with_a_child, str(tmp_path)), 1) as pool,
            pytest.raises(TaskError, match="the process of 0 was killed twice"),
        ):
            list(results(pool, [0]))
    finally:
        left = [int(path.name) for path in tmp_path.iterdir()]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    assert len(left) == 2


def test_a_stopped_worker_keeps_its_own_tasks_only(tmp_path):
    with Pool(partial(pool_tasks.stop, str(tmp_path)), 2) as pool:
        coming = results(pool, range(20))
        found = [next(coming) for _ in range(18)]
        assert 0 not in found
        wait_for(lambda: list(tmp_path.iterdir()))  # its worker may have started late
        [stopped] = tmp_path.iterdir()
        os.kill(int(stopped.name), signal.SIGCONT)
        assert sorted([*found, *coming]) == list(range(20))


def test_what_a_task_raised_is_told_and_where():
    with Pool(pool_tasks.fail, 2) as pool:
        with pytest.raises(TaskError, match=r"^this and that \(and 1 more\)$") as caught:
            list(results(pool, range(5)))
        assert re.search(
            r"in fail\n.*raise OddError.*pool_tasks\.OddError: this and that", str(caught.value.__cause__), re.S
        )


def test_workers_at_work_are_ended_when_nobody_waits(tmp_path):
    with Pool(partial(pool_tasks.sleep, str(tmp_path)), 2) as pool:
        for number in range(3):
            list(pool.submit(number))
        wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
        assert len(workers()) == 2
    wait_for(lambda: not workers())


LAUNCHER = """
import sys
from functools import partial
import pool_tasks
from webtext.pipeline.engine.pool import Pool
if __name__ == "__main__":
    pool = Pool(partial(getattr(pool_tasks, sys.argv[1]), sys.argv[2]), 2)
    for number in range(3):
        list(pool.submit(number))
    {end}
"""


def launcher(tmp_path, end):
    """A command that submits three tasks which take an hour."""
    script = tmp_path / "launcher.py"
    script.write_text(LAUNCHER.format(end=end))
    (tmp_path / "signs").mkdir()
    command = [sys.executable, str(script), "sleep", str(tmp_path / "signs")]
    return command, os.environ | {"PYTHONPATH": os.path.dirname(pool_tasks.__file__)}


def test_a_launcher_that_does_not_close_its_pool_ends_all_the_same(tmp_path):
    command, environment = launcher(tmp_path, "sys.exit(7)")
    done = finished(command, env=environment)
    assert (done.returncode, done.stderr) == (7, b"")


def test_workers_end_with_a_killed_launcher(tmp_path):
    command, environment = launcher(tmp_path, "list(pool.drain())")
    with started(command, env=environment) as process:
        wait_for(lambda: len(list((tmp_path / "signs").iterdir())) == 2)
        process.kill()
        wait_for(lambda: not living(process.pid))


def test_no_task_begins_once_one_has_found_the_machine_wanting(tmp_path):
    with Pool(partial(pool_tasks.lack, str(tmp_path)), 1) as pool, pytest.raises(TaskError, match=r"^no memory$"):
        for number in range(20):
            list(pool.submit(number))
    assert len(list(tmp_path.iterdir())) <= 2  # one more was in flight


def test_an_interrupt_while_it_ends_leaves_no_worker():
    """multiprocessing would wait for it at the end of this process, for ever."""
    rng = random.Random(0)
    for _ in range(20):
        pool = Pool(pool_tasks.echo, 2)
        list(pool.submit(1))
        list(pool.submit(2))
        interrupt = threading.Timer(rng.uniform(0, 0.02), os.kill, (os.getpid(), signal.SIGINT))
        with suppress(KeyboardInterrupt):
            interrupt.start()
            pool.close()
            interrupt.join()
            time.sleep(0.05)
        pool.close()  # as at the end of the process: it may be that the interrupt came before the first close began
        assert not multiprocessing.active_children()
