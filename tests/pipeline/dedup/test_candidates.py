from collections import Counter
from itertools import pairwise

import numpy as np
import toy_documents
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.dedup import candidates
from webtext.pipeline.dedup.groups import Groups
from webtext.pipeline.engine import packed
from webtext.pipeline.engine.stage import numbered
from webtext.pipeline.text import minhash

buckets = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60)), max_size=80)


@given(buckets)
def test_small_buckets_give_every_pair(rows):
    rows = sorted(set(rows))
    hashes, ids = (np.array([row[i] for row in rows], np.uint64) for i in (0, 1))
    a, b = candidates.pairs(hashes, ids)
    expected = set()
    for value in {row[0] for row in rows}:
        members = sorted(row[1] for row in rows if row[0] == value)
        if len(members) <= 32:
            expected |= {(x, y) for x in members for y in members if x < y}
        else:
            expected |= {(members[0], y) for y in members[1:]} | set(pairwise(members))
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == sorted(expected)


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1) | st.integers(0, 9), st.integers(0, 60)), max_size=80))
def test_hashes_that_come_once_are_left_out_in_any_order_of_arrival(rows):
    hashes, ids = candidates._shared(np.array(rows, candidates._RECORD))
    often = Counter(value for value, _ in rows)
    expected = sorted(row for row in rows if often[row[0]] > 1)
    assert list(zip(hashes.tolist(), ids.tolist(), strict=True)) == expected


def test_a_hot_bucket_gives_linearly_many_pairs_that_hang_together():
    ids = np.arange(10_000, dtype=np.uint64)
    a, _ = candidates.pairs(np.zeros(10_000, np.uint64), ids)
    assert 9_999 <= len(a) < 20_000


def records_of(work, texts, parts):
    manifest = toy_documents.write_documents(work, texts, parts)
    paths = [str(work / "documents" / file.name) for file in manifest.named(".documents.parquet")]
    groups = Groups(tuple(paths), len(texts), parts)
    blocks = [
        block
        for source in numbered([{}] * parts)
        for _, block in candidates.emit_candidates(groups, source, frozenset(range(parts)))
    ]
    return packed.gather(blocks, candidates._RECORD)


def test_records_carry_part_and_row(tmp_path):
    texts = {f"https://example.org/{n}": " ".join(f"w{n}x{m}" for m in range(50)) for n in range(40)}
    records = records_of(tmp_path, texts, 3)
    assert len(records) == 40 * candidates.RECORDS_PER_DOCUMENT
    ids, counts = np.unique(records["id"], return_counts=True)
    assert len(ids) == 40
    assert set(counts.tolist()) == {candidates.RECORDS_PER_DOCUMENT}
    assert {int(i) >> 32 for i in ids} == {0, 1, 2}


def test_short_texts_meet_only_if_they_are_equal(tmp_path):
    texts = {
        "https://a.org/": "one two",
        "https://b.org/": "one  two ",
        "https://c.org/": "three",
        "https://d.org/": "4",
    }
    records = records_of(tmp_path, texts, 1)
    a, _ = candidates.pairs(records["hash"], records["id"])
    assert len(a) == 1
    assert len(np.unique(records["hash"])) == 3 * (minhash.BANDS + 1)
