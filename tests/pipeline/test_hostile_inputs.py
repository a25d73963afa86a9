"""Hostile inputs of every kind are read within the budget of one page, or refused with a Reason; none raises."""

from pathlib import Path

import pytest
from hostile_inputs import KINDS, generate, make_reader

from webtext.pipeline.engine.sandbox import Sandbox
from webtext.pipeline.opt_outs.robots_rules import RobotsRules
from webtext.pipeline.settings import ExtractSettings
from webtext.schemas.records import Loss

BUDGET = ExtractSettings()
CASES = Path("../shared/cases/30-regular-expressions")


def losses(payloads):
    """(number, Loss) of each input that takes more than a page may, or raises."""
    with Sandbox(make_reader, BUDGET.cpu_seconds, BUDGET.memory_mib) as sandbox:
        answers = [answer for payload in payloads for answer in sandbox.run([payload])]
    return [(number, answer) for number, answer in enumerate(answers) if isinstance(answer, Loss)]


def test_generated_inputs_stay_within_the_budget_of_a_page():
    assert losses(map(generate, range(12))) == []  # benchmarks/hostile.py runs 200


def test_a_seed_gives_the_same_input():
    assert [generate(seed) for seed in range(len(KINDS))] == [generate(seed) for seed in range(len(KINDS))]


@pytest.mark.parametrize(("kind", "name"), [("dump", "amp.ndjson"), ("archive", "charset.warc.gz")])
def test_shared_cases(kind, name):
    if not CASES.is_dir():
        pytest.skip("../shared/cases is absent")
    assert losses([kind.encode() + b" " + (CASES / name).read_bytes()]) == []


def test_a_rule_of_many_wildcards():
    rules = RobotsRules.parse("User-agent: *\nDisallow: /" + "*a" * 13 + "*b\n", "webtext")
    assert rules.allows("/" + "a" * 200)
    assert not rules.allows("/" + "a" * 200 + "b")


def test_a_post_of_hyphens_and_a_charset_of_blanks():
    url = b"http://e.com/" + b"-" * 4070 + b"/x/amp"
    post = b'dump {"id": "a", "url": "%b", "score": 9, "created_utc": 1400000001}' % url
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=" + b" " * 60_000 + b"\r\n\r\n<html>x"
    record = b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://e.com/\r\nContent-Length: %d\r\n\r\n"
    assert losses([post, b"archive " + record % len(head) + head + b"\r\n\r\n"]) == []
