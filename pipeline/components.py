"""Connected components of a graph: which documents hang together through copies."""

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

U64 = npt.NDArray[np.uint64]


def label(a: U64, b: U64) -> tuple[U64, npt.NDArray[np.int64]]:
    """Components of the undirected graph with edges a[i] - b[i].

    Takes about 0.5 us and 40 bytes per edge.

    Returns:
        The vertices in rising order, and for each the number of its component; components are numbered in the order
        of their smallest vertex.
    """
    vertices, ends = np.unique(np.concatenate([a, b]), return_inverse=True)
    count = len(vertices)
    rows, columns = ends[: len(a)], ends[len(a) :]
    graph = coo_array((np.ones(len(a), np.int32), (rows, columns)), shape=(count, count))
    _, found = connected_components(graph, directed=False)
    # scipy's numbering follows its search order; ours is published.
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return vertices, rank[inverse]
