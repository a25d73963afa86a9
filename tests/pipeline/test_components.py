import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline import components

edges = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60)


def union_find(pairs):
    """The oracle: every vertex to the smallest one of its component."""
    parent = {}

    def find(x):
        parent.setdefault(x, x)
        while parent[x] != x:
            x = parent[x]
        return x

    for a, b in pairs:
        low, high = sorted((find(a), find(b)))
        parent[high] = low
    return {vertex: find(vertex) for vertex in parent}


@given(edges)
def test_labels_are_those_of_union_find(pairs):
    a, b = (np.array([pair[end] << 40 for pair in pairs], np.uint64) for end in (0, 1))
    vertices, labels = components.label(a, b)
    expected = union_find(pairs)
    assert [int(vertex) >> 40 for vertex in vertices] == sorted(expected)
    smallest = sorted(set(expected.values()))
    found = {int(vertex) >> 40: smallest[label] for vertex, label in zip(vertices, labels, strict=True)}
    assert found == expected


def test_a_long_chain_is_one_component():
    chain = np.random.default_rng(0).permutation(100_000).astype(np.uint64)
    _, labels = components.label(chain[:-1], chain[1:])
    assert not labels.any()
