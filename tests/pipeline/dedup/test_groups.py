import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.dedup.groups import Groups


@given(st.integers(1, 70), st.integers(0, 900_000))
def test_each_part_belongs_to_one_group(parts, documents):
    paths = [f"p{n}" for n in range(parts)]
    groups = Groups.plan(paths, documents)
    members = [groups[ordinal] for ordinal in range(groups.count)]
    assert [entry for group in members for entry in group] == list(enumerate(paths))
    assert all(members)
    for ordinal, group in enumerate(members):
        for part, _ in group:
            assert groups.of(np.array([part << 32, part << 32 | 77], np.uint64)).tolist() == [ordinal] * 2
