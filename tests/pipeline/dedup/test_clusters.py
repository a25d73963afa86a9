import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.dedup import clusters as copies

documents = st.lists(st.tuples(*[st.integers(0, 2)] * 4), max_size=30)


@given(documents)
def test_keep_order_is_score_length_date_key(rows):
    labels, scores, lengths, created = np.array(rows, np.int64).reshape(-1, 4).T
    ids = np.arange(len(rows), dtype=np.uint64)
    order = copies.keep_order(labels.astype(np.uint64), scores, lengths, created, ids).tolist()
    expected = []
    for label in range(3):
        members = [n for n, row in enumerate(rows) if row[0] == label]
        best = sorted(members, key=lambda n: (-rows[n][1], -rows[n][2], rows[n][3], n))[:1]
        expected += best + [n for n in members if n not in best]
    assert order == expected
