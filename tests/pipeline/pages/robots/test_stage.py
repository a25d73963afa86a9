import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.engine import packed
from webtext.pipeline.pages.robots.stage import _ARCHIVED, _CRAWLED, _LIVE, _NONE, _PAGE, _RECORD, _nearest

CAPTURES = st.tuples(st.integers(0, 2), st.integers(0, 30), st.sampled_from([_ARCHIVED, _CRAWLED, _NONE]))
PAGES = st.tuples(st.integers(0, 2), st.integers(0, 30), st.sampled_from([_PAGE, _PAGE, _LIVE]))


def in_full(rows):
    """Of each page the row of the nearest capture, by a look at all of them."""
    found = {}
    for host, time, kind, number in rows:
        captures = [row for row in rows if row[0] == host and row[2] < _PAGE]
        if kind == _PAGE and captures:
            best = min(captures, key=lambda row: (abs(row[1] - time), row[1], row[2], row[3]))
            found |= {number: best[3]} if best[2] != _NONE else {}
    return found


@given(st.lists(CAPTURES, max_size=8), st.lists(PAGES, max_size=8), st.randoms())
def test_the_nearest_capture_of_the_host(captures, pages, random):
    rows = [(*row, number) for number, row in enumerate([*captures, *pages])]
    records = np.zeros(len(rows), _RECORD)
    for record, (host, time, kind, number) in zip(records, rows, strict=True):
        record["hi"], record["lo"], record["captured"], record["kind"] = host // 2, host % 2, time, kind
        record["row"] = number
    blocks = [record.tobytes() for record in records]
    random.shuffle(blocks)
    found = {int(page["row"]): int(capture["row"]) for page, capture in _nearest(packed.gather(blocks, _RECORD))}
    assert found == in_full(rows)
