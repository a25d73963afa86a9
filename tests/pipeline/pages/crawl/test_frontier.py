"""When each URL of a crawl has its turn."""

from webtext.pipeline.pages.crawl.frontier import BREAKER, Frontier, Turn


def test_the_frontier_takes_hosts_in_turn_and_gives_a_dead_one_up():
    frontier = Frontier(per_host=1)
    for row in range(BREAKER + 3):
        frontier.add("dead", row)
    frontier.add("live", 100)
    assert frontier.take(0.0) == Turn("dead", 0)
    assert frontier.take(0.0) == Turn("live", 100)
    assert frontier.take(0.0) is None
    assert frontier.next_at() is None
    assert frontier.done(Turn("live", 100), 1.0, answered=True) == []
    given_up = frontier.done(Turn("dead", 0), 1.0, answered=False)
    for row in range(1, BREAKER):
        assert given_up == []
        assert frontier.take(row - 0.1) is None
        assert frontier.next_at() == row
        turn = frontier.take(float(row))
        assert turn == Turn("dead", row)
        given_up = frontier.done(turn, row + 1.0, answered=False)
    assert given_up == [BREAKER, BREAKER + 1, BREAKER + 2]
    assert (frontier.waiting, frontier.running) == (0, 0)


def test_an_answer_makes_a_host_alive_again():
    frontier = Frontier(per_host=1)
    for row in range(2 * BREAKER):
        frontier.add("host", row)
    for row in range(2 * BREAKER):
        turn = frontier.take(0.0)
        assert frontier.done(turn, 0.0, answered=row == BREAKER - 1) == []


def test_per_host_urls_run_side_by_side():
    frontier = Frontier(per_host=2)
    for row in range(3):
        frontier.add("host", row)
    assert [frontier.take(0.0) for _ in range(3)] == [Turn("host", 0), Turn("host", 1), None]
    assert frontier.done(Turn("host", 0), 0.5, answered=True) == []
    assert frontier.take(0.5) == Turn("host", 2)
