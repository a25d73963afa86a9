import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.engine import packed

RECORD = np.dtype([("hi", "<u8"), ("value", "<u4")])
records = st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)), max_size=200)


@given(st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=50))
def test_halves_sort_like_the_keys(keys):
    hi, lo = packed.split_keys(keys)
    order = np.lexsort((lo, hi))
    assert [keys[i] for i in order] == sorted(keys)


@given(records, st.integers(1, 40))
def test_parts_own_equal_ranges_in_key_order(rows, parts):
    hi = np.sort(np.array([row[0] for row in rows], np.uint64))
    owners = packed.part_of(hi, parts)
    assert all(owners[:-1] <= owners[1:])
    # The oracle: exact integer arithmetic on the upper half.
    assert owners.tolist() == [(int(h) >> 32) * parts >> 32 for h in hi]


@given(records, st.integers(1, 8), st.randoms())
def test_what_is_scattered_is_gathered_whatever_the_order_and_split(rows, parts, random):
    array = np.array(rows, RECORD)
    random.shuffle(rows)
    cut = random.randrange(len(rows) + 1)
    blocks = {part: [] for part in range(parts)}
    for half in (rows[:cut], rows[cut:]):
        piece = np.array(half, RECORD)
        for part, data in packed.scatter(piece, packed.part_of(piece["hi"], parts), frozenset(range(parts))):
            blocks[part].append(data)
    for found in blocks.values():
        random.shuffle(found)
    whole = np.concatenate([packed.gather(found, RECORD) for found in blocks.values()])
    assert whole.tolist() == np.sort(array, order=["hi", "value"]).tolist()


def test_parts_that_nobody_wants_get_nothing():
    array = np.array([(0, 1), (2**63, 2)], RECORD)
    [(part, data)] = packed.scatter(array, packed.part_of(array["hi"], 2), frozenset({1}))
    assert part == 1
    assert packed.gather([data], RECORD).tolist() == [(2**63, 2)]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 9)), max_size=40))
def test_the_records_of_one_key(rows):
    array = np.array(sorted((2**63 + hi, lo, value) for hi, lo, value in rows), [*packed.KEY_FIELDS, ("value", "u1")])
    key = packed.join_key(2**63 + 1, 2)
    [hi], [lo] = packed.split_keys([key])
    assert packed.of_key(array, hi, lo)["value"].tolist() == sorted(value for h, l_, value in rows if (h, l_) == (1, 2))
