import numpy as np
from graphs import union_find
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.dedup import components

edges = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60)


@given(edges)
def test_labels_are_those_of_union_find(pairs):
    # Ids far apart, and up to the last one of 64 bits.
    a, b = (np.array([2**64 - 1 - (pair[end] << 40) for pair in pairs], np.uint64) for end in (0, 1))
    vertices, labels = components.label(a, b)
    expected = union_find(list(zip(a.tolist(), b.tolist(), strict=True)))
    assert dict(zip(vertices.tolist(), labels.tolist(), strict=True)) == expected
    assert vertices.tolist() == sorted(expected)


@given(edges, st.randoms())
def test_order_and_repetition_of_edges_leave_no_trace(pairs, random):
    def labels(some):
        a, b = (np.array([pair[end] for pair in some], np.uint64) for end in (0, 1))
        return [found.tolist() for found in components.label(a, b)]

    shuffled = [pair[:: random.choice((1, -1))] for pair in pairs + pairs[:5]]
    random.shuffle(shuffled)
    assert labels(shuffled) == labels(pairs)


def test_a_chain_of_743_779_edges_is_one_component():
    chain = np.random.default_rng(0).permutation(743_780).astype(np.uint64)
    vertices, labels = components.label(chain[:-1], chain[1:])
    assert len(vertices) == 743_780
    assert not labels.any()


def test_more_edges_than_are_numbered_at_a_time():
    a = np.repeat(np.arange(1_200_000, dtype=np.uint64), 2)[1:-1]
    vertices, labels = components.label(a[::2], a[1::2])
    assert len(vertices) == 1_200_000
    assert not labels.any()
