"""Connected components of a graph: which documents hang together through copies.

Vertices are any 64-bit ids. Inside they are numbered in rising order with 32 bits, so the smallest number of a
component is its smallest id, and the result does not show in which order scipy searched.
"""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

U64 = npt.NDArray[np.uint64]
I32 = npt.NDArray[np.int32]

_BLOCK = 1_000_000  # ids that are numbered at a time, as the search gives 64-bit numbers


def number(a: U64, b: U64) -> tuple[U64, I32, I32]:
    """The vertices of the edges a[i] - b[i] in rising order, and both ends of each edge as numbers of vertices."""
    vertices = np.concatenate([a, b])
    vertices.sort()
    new = np.ones(len(vertices), np.bool_)
    np.not_equal(vertices[1:], vertices[:-1], out=new[1:])
    vertices = vertices[new]
    return vertices, _find(vertices, a), _find(vertices, b)


def _find(vertices: U64, ids: U64) -> I32:
    found = np.empty(len(ids), np.int32)
    for start in range(0, len(ids), _BLOCK):
        found[start : start + _BLOCK] = np.searchsorted(vertices, ids[start : start + _BLOCK])
    return found


def smallest(count: int, a: I32, b: I32) -> I32:
    """For each of `count` vertices, the smallest vertex of its component."""
    # scipy works on 64-bit floats, so it gets them: any other kind is copied.
    graph = csr_array((np.ones(len(a)), (a, b)), shape=(count, count))
    _, found = connected_components(graph, directed=False)
    del graph
    first = np.full(count, count, np.int32)
    # Backwards, the last write is that of the smallest vertex.
    first[found[::-1]] = np.arange(count - 1, -1, -1, dtype=np.int32)
    return first[found]


def label(a: U64, b: U64) -> tuple[U64, U64]:
    """Components of the undirected graph with edges a[i] - b[i].

    Returns:
        The vertices in rising order, and for each the smallest vertex of its component.
    """
    vertices, rows, columns = number(a, b)
    return vertices, vertices[smallest(len(vertices), rows, columns)]
