import time

import hostile
import pytest

from webtext.pipeline.engine.sandbox import Sandbox
from webtext.schemas.records import Loss, Reason


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
    payloads = [b"a", b"spin", b"b", b"eat 1000", b"c", b"die", b"exit", b"d", b"raise", b"e"]
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
    killed, ended, raised = sandbox.run([b"die", b"exit", b"raise"])
    assert killed.detail == "process ended by SIGKILL"
    assert ended.detail == "process ended by exit code 3"
    assert raised.detail == "ValueError: no such page"


def test_the_budget_counts_cpu_time_not_wall_time(sandbox):
    assert list(sandbox.run([b"sleep 1.2"])) == [b"SLEEP 1.2"]
    start = time.monotonic()
    assert reasons(sandbox, [b"spin"]) == [Reason.EXTRACT_TIMEOUT]
    assert time.monotonic() - start < 60


def test_memory_under_the_limit_is_granted(sandbox):
    assert list(sandbox.run([b"eat 100"])) == [str(100 << 20).encode()]
