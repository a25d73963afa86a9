import os
import signal
import sys
import time
from pathlib import Path

import hostile
import processes
import pytest

from webtext.pipeline.engine.sandbox import Sandbox, SandboxError
from webtext.schemas.records import Loss, Reason

SUPPORT = str(Path(hostile.__file__).parent)


@pytest.fixture
def sandbox():
    with Sandbox(hostile.make_work, cpu_seconds=0.5, memory_mib=256) as made:
        yield made


def reasons(sandbox, payloads):
    return [answer.reason if isinstance(answer, Loss) else answer for answer in sandbox.run(payloads)]


def test_answers_come_in_order(sandbox):
    payloads = [f"page {n}".encode() for n in range(500)]
    assert list(sandbox.run(payloads)) == [payload.upper() for payload in payloads]


def test_each_hostile_payload_costs_only_itself(sandbox):
    payloads = [b"a", b"spin", b"b", b"eat 1000", b"c", b"die SIGSEGV", b"exit", b"d", b"raise", b"e"]
    assert reasons(sandbox, payloads) == [
        b"A",
        Reason.EXTRACT_TIMEOUT,
        b"B",
        Reason.EXTRACT_MEMORY,
        b"C",
        Reason.EXTRACT_CRASH,
        Reason.EXTRACT_CRASH,
        b"D",
        Reason.EXTRACT_CRASH,
        b"E",
    ]


def test_the_failure_says_how(sandbox):
    crashed, ended, raised = sandbox.run([b"die SIGSEGV", b"exit", b"raise"])
    assert crashed.detail == "process ended by SIGSEGV"
    assert ended.detail == "process ended by exit code 3"
    assert raised.detail == "ValueError: no such page"


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGHUP", "SIGSEGV", "SIGABRT"])
@pytest.mark.parametrize("before", [0, 3])
def test_a_page_whose_process_is_killed_once_is_not_lost(sandbox, tmp_path, name, before):
    page = f"die-once {name} {tmp_path / 'trap'}".encode()
    pages = [*(b"page %d" % n for n in range(before)), page, b"after"]
    assert list(sandbox.run(pages)) == [page.upper() for page in pages]
    assert (tmp_path / "trap").exists()


def test_who_is_killed_while_waiting_for_work_loses_nothing():
    with Sandbox(hostile.make_naming, cpu_seconds=5, memory_mib=256) as box:
        found = []
        for number in range(4):
            [answer] = box.run([b"page %d" % number])
            process, page = answer.split(b" ", 1)
            assert page == b"page %d" % number
            os.kill(int(process), signal.SIGKILL)
            found.append(process)
    assert len(set(found)) == 4


def test_a_page_whose_process_is_killed_each_time_is_an_error_and_no_loss():
    with Sandbox(hostile.make_work, cpu_seconds=5, memory_mib=256, pauses=(0, 0.01)) as box:
        answers = box.run([b"a", b"die SIGKILL", b"b"])
        assert next(answers) == b"A"
        with pytest.raises(SandboxError, match=r"was ended by SIGKILL, 3 times in a row .* use fewer --workers"):
            next(answers)


def test_a_process_that_can_not_start_is_an_error_and_no_loss():
    with (
        Sandbox(hostile.make_unfit, cpu_seconds=5, memory_mib=256, pauses=(0,)) as box,
        pytest.raises(SandboxError, match="could not start: MemoryError: no room for the models, 2 times"),
    ):
        list(box.run([b"a"]))


def test_a_limit_of_the_user_is_named():
    ask = (
        "import resource, hostile; from webtext.pipeline.engine.sandbox import Sandbox, SandboxError;"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30));"
        "print(list(Sandbox(hostile.make_work, cpu_seconds=5, memory_mib=8192, pauses=()).run([b'a'])))"
    )
    done = processes.finished([sys.executable, "-c", ask], text=True, env=os.environ | {"PYTHONPATH": SUPPORT})
    assert "limited to 4096 MiB (ulimit -v)" in done.stderr.splitlines()[-1]
    assert not done.stdout


def test_an_answer_of_any_size_ends(sandbox):
    [answer] = sandbox.run([b"answer 65"])
    assert answer == Loss(Reason.EXTRACT_CRASH, "answer of more than 67108864 bytes")


def test_the_budget_counts_cpu_time_not_wall_time(sandbox):
    assert list(sandbox.run([b"sleep 1.2"])) == [b"SLEEP 1.2"]
    start = time.monotonic()
    assert reasons(sandbox, [b"spin"]) == [Reason.EXTRACT_TIMEOUT]
    assert time.monotonic() - start < 60


def test_memory_under_the_limit_is_granted(sandbox):
    assert list(sandbox.run([b"eat 100"])) == [str(100 << 20).encode()]
