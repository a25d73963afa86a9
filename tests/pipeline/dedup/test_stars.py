import itertools

import numpy as np
import pytest
from graphs import pair_stage, union_find
from hypothesis import given, settings
from hypothesis import strategies as st
from without_engine import run_here

from webtext.pipeline.dedup import stars

ids = st.integers(0, 12)
graphs = st.lists(st.tuples(ids, ids).filter(lambda pair: pair[0] != pair[1]), min_size=1, max_size=25)


def ends(pairs):
    return tuple(np.array([pair[end] for pair in pairs], np.uint64) for end in (0, 1))


@given(graphs)
def test_settled_are_exactly_stars_around_the_smallest(pairs):
    pairs = sorted({tuple(sorted(pair)) for pair in pairs})
    a, b = ends(pairs)
    left = stars.unsettled(np.concatenate([a, b]), np.concatenate([b, a]))
    labels = union_find(pairs)
    star = sorted((label, vertex) for vertex, label in labels.items() if label != vertex)
    assert (left == 0) == (pairs == star)


def test_repeated_edges_unsettle_nothing():
    a, b = ends([(1, 2), (1, 2), (1, 3)])
    assert stars.unsettled(np.concatenate([a, b]), np.concatenate([b, a])) == 0


def rounds(work, pairs, parts, limit=20):
    """Edges after each round, until a round finds its input settled."""
    found = run_here(pair_stage(work, pairs))
    history = []
    for number in range(limit):
        found = run_here(stars.round_stage(number, str(work), found, parts))
        history.append(found)
        if stars.settled(found):
            break
    a, b = stars.read_edges(stars.edges_of(str(work), found))
    return history, sorted(set(zip(a.tolist(), b.tolist(), strict=True)))


@pytest.mark.parametrize("parts", [1, 5])
def test_every_round_keeps_the_components(tmp_path, parts):
    pairs = [(n, n + 1) for n in range(0, 40, 2)] + [(n, 60 - n) for n in range(25)] + [(100, 102), (102, 101)]
    before = run_here(pair_stage(tmp_path, pairs))
    expected = union_find(pairs)
    for number in range(6):
        before = run_here(stars.round_stage(number, str(tmp_path), before, parts))
        a, b = stars.read_edges(stars.edges_of(str(tmp_path), before))
        assert (a < b).all()
        assert union_find(list(zip(a.tolist(), b.tolist(), strict=True))) == expected
    assert stars.settled(before) or number % 2 == 0


def test_settled_stars_stay_as_they_are(tmp_path):
    pairs = [(n % 3, n) for n in range(3, 90)]
    history, found = rounds(tmp_path, pairs, 4)
    assert [manifest.stage for manifest in history] == ["stars-00", "stars-01"]
    assert found == sorted(pairs)


def test_a_random_chain_needs_few_rounds(tmp_path):
    chain = np.random.default_rng(1).permutation(5000).tolist()
    pairs = list(itertools.pairwise(chain))
    history, found = rounds(tmp_path, pairs, 8)
    assert found == [(0, n) for n in range(1, 5000)]
    assert len(history) <= 14
    assert max(manifest.tally.rows for manifest in history) < 3 * len(pairs)


def test_only_a_large_star_round_can_tell_that_it_is_over(tmp_path):
    before = run_here(pair_stage(tmp_path, [(1, 2)]))
    assert not stars.settled(before)
    before = run_here(stars.round_stage(0, str(tmp_path), before, 2))
    assert not stars.settled(before)
    before = run_here(stars.round_stage(1, str(tmp_path), before, 2))
    assert stars.settled(before)


@settings(max_examples=50)
@given(st.integers(1, 10**10))
def test_parts_hold_no_more_than_stated(edges):
    assert -(-edges // stars.parts_for(edges)) <= stars._EDGES_PER_PART
