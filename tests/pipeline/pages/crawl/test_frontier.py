"""When each URL of a crawl has its turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.pages.crawl.frontier import BREAKER, Frontier, Turn

PAUSE = 10.0  # a silent host is set aside for so long at first


def frontier_of(urls=0, per_host=1, revisits=2):
    frontier = Frontier(per_host, revisits, PAUSE)
    for row in range(urls):
        frontier.add("host", row)
    return frontier


def test_hosts_take_turns():
    frontier = frontier_of(2)
    frontier.add("other", 100)
    assert frontier.take(0.0) == Turn("host", 0)
    assert frontier.take(0.0) == Turn("other", 100)
    assert frontier.take(0.0) is None
    assert frontier.next_at() is None
    assert frontier.done(Turn("other", 100), 0.0, 1.0, answered=True) == []
    assert frontier.done(Turn("host", 0), 0.0, 1.0, answered=True) == []
    assert frontier.next_at() == 1.0
    assert frontier.take(0.9) is None
    assert frontier.take(1.0) == Turn("host", 1)


def test_a_silent_host_is_set_aside_longer_each_time_and_then_given_up():
    frontier = frontier_of(BREAKER + 5)
    now, asked, given_up = 0.0, [], []
    while not given_up:
        now = frontier.next_at()
        turn = frontier.take(now)
        asked.append((now, turn.row))
        given_up = frontier.done(turn, now, 1.0, answered=False, again=True)
    assert asked == [*((float(n), n) for n in range(BREAKER)), (14.0, BREAKER), (34.0, BREAKER + 1)]
    assert sorted(given_up) == list(range(BREAKER + 5))
    assert (frontier.waiting, frontier.running, frontier.next_at()) == (0, 0, None)


def test_no_url_of_a_host_that_comes_back_is_lost():
    frontier = frontier_of(3 * BREAKER)
    answered, now = [], 0.0
    while frontier.waiting:
        now = frontier.next_at()
        turn = frontier.take(now)
        up = now > 20
        if up:
            answered.append(turn.row)
        assert frontier.done(turn, now, 1.0, answered=up, again=not up) == []
    assert sorted(answered) == list(range(3 * BREAKER))


def test_an_answer_makes_a_host_alive_again():
    frontier = frontier_of(2 * BREAKER)
    for row in range(2 * BREAKER):
        turn = frontier.take(0.0)
        assert turn == Turn("host", row)
        assert frontier.done(turn, 0.0, 0.0, answered=row == BREAKER - 1) == []


def test_a_url_without_an_answer_is_asked_again_behind_all_others():
    frontier = frontier_of(3)
    seen = []
    while frontier.waiting:
        now = frontier.next_at()
        turn = frontier.take(now)
        seen.append((now, turn.row))
        given_up = frontier.done(turn, now, 1.0, answered=turn.row != 0, again=turn.row == 0)
    assert seen == [(0.0, 0), (1.0, 1), (2.0, 2), (12.0, 0), (32.0, 0)]
    assert given_up == [0]


def test_per_host_urls_run_side_by_side():
    frontier = frontier_of(3, per_host=2)
    assert [frontier.take(0.0) for _ in range(3)] == [Turn("host", 0), Turn("host", 1), None]
    assert frontier.done(Turn("host", 0), 0.0, 0.5, answered=True) == []
    assert frontier.take(0.5) == Turn("host", 2)


def test_what_was_under_way_when_a_host_was_set_aside_does_not_count_again():
    frontier = frontier_of(20, per_host=BREAKER + 2)
    turns = [frontier.take(0.0) for _ in range(BREAKER + 2)]
    for turn in turns:
        assert frontier.done(turn, 0.0, 0.0, answered=False, again=True) == []
    assert frontier.take(PAUSE - 0.1) is None
    assert frontier.take(PAUSE).aside == 1


@given(
    urls=st.integers(1, 12),
    per_host=st.integers(1, 4),
    revisits=st.integers(0, 3),
    script=st.lists(st.sampled_from(["page", "gone", "silent"]), max_size=40),
)
@pytest.mark.parametrize("rest", ["page", "silent"])
def test_every_url_ends_once_and_none_is_asked_for_ever(rest, urls, per_host, revisits, script):
    frontier = frontier_of(urls, per_host, revisits)
    script = iter(script)
    under_way, ended, asked, now = [], [], 0, 0.0
    while frontier.waiting or frontier.running:
        while turn := frontier.take(now):
            under_way.append(turn)
        if not under_way:
            assert frontier.next_at() > now
            now = frontier.next_at()
            continue
        assert len(under_way) == frontier.running <= per_host
        turn = under_way.pop(0)
        asked += 1
        became = next(script, rest)
        if became != "silent":
            ended.append(turn.row)
        ended += frontier.done(turn, now, 0.0, answered=became == "page", again=became == "silent")
    assert sorted(ended) == list(range(urls))
    assert asked <= urls * (1 + revisits) + per_host
