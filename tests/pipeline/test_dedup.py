from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import dedup, minhash, packed
from pipeline.settings import DedupSettings, ShardSettings
from pipeline.stage import PartOutput, Stage, numbered
from pipeline.tabular import TableWriter
from schemas import tables
from schemas.records import Document

buckets = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60)), max_size=80)


@given(buckets)
def test_small_buckets_give_every_pair(rows):
    rows = sorted(set(rows))
    hashes, ids = (np.array([row[i] for row in rows], np.uint64) for i in (0, 1))
    a, b = dedup.pairs(hashes, ids)
    expected = set()
    for value in {row[0] for row in rows}:
        members = sorted(row[1] for row in rows if row[0] == value)
        if len(members) <= 32:
            expected |= {(x, y) for x in members for y in members if x < y}
        else:
            expected |= {(members[0], y) for y in members[1:]} | set(pairwise(members))
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == sorted(expected)


def test_a_hot_bucket_gives_linearly_many_pairs_that_hang_together():
    ids = np.arange(10_000, dtype=np.uint64)
    a, _ = dedup.pairs(np.zeros(10_000, np.uint64), ids)
    assert 9_999 <= len(a) < 20_000


def document(n, **values):
    values = {"id": n, "key": bytes([n] * 16), "url": f"u{n}", "score": 3, "created_utc": 0, "length": 100} | values
    return Document(**values)


@pytest.mark.parametrize(
    "winner",
    [{"score": 4}, {"length": 101}, {"created_utc": -1}, {"key": bytes(16)}],
    ids=lambda winner: next(iter(winner)),
)
def test_keep_order_is_score_length_date_key(winner):
    others = [document(n) for n in (1, 2, 3)]
    best = document(9, **winner)
    assert dedup.make_cluster([*others, best]).members[0] is best
    assert dedup.make_cluster([best, *reversed(others)]).members[0] is best


def test_validation_share_and_seed():
    clusters = [n.to_bytes(16, "big") for n in range(20_000)]
    splits = [dedup.split_of(cluster, ShardSettings(val_fraction=0.1)) for cluster in clusters]
    assert 1800 < splits.count("val") < 2200
    assert splits != [dedup.split_of(cluster, ShardSettings(val_fraction=0.1, seed=1)) for cluster in clusters]
    assert {dedup.split_of(cluster, ShardSettings(val_fraction=0)) for cluster in clusters} == {"train"}


STORY = "the harbour was quiet that night and nobody on the long pier spoke of the ship that had not come home " * 4
TEXTS = {
    "original": STORY + " ".join(f"word{n}" for n in range(200)),
    "exact": "  " + STORY + " ".join(f"word{n}" for n in range(200)) + "\n",
    "near": STORY + " ".join(f"word{n}" for n in range(190)) + " another end of it",
    "other": " ".join(f"other{n}" for n in range(200)),
}


def write_documents(folder, split_at):
    """The four texts as documents parts, cut at a row."""
    rows = sorted((minhash.text_hash(name)[:16], name) for name in TEXTS)
    paths = []
    for ordinal, piece in enumerate((rows[:split_at], rows[split_at:])):
        path = folder / f"{ordinal:05d}.documents.parquet"
        with open(path, "wb") as sink:
            writer = TableWriter(sink, tables.DOCUMENTS)
            for key, name in piece:
                text = TEXTS[name]
                signature = minhash.sign(minhash.shingles(text)).astype("<u4").tobytes()
                score = 9 if name == "original" else 3
                fields = (
                    key,
                    name,
                    score,
                    0,
                    0,
                    "",
                    "",
                    "",
                    text,
                    len(text),
                    1.0,
                    [1, 2],
                    2,
                    minhash.text_hash(text),
                    signature,
                )
                writer.add(*fields)
            writer.close()
        paths.append(str(path))
    return paths


@pytest.mark.parametrize("split_at", [0, 1, 3])
def test_copies_go_and_the_best_stays_wherever_the_parts_are_cut(tmp_path, split_at):
    documents = write_documents(tmp_path, split_at)
    blocks = [
        data for source in numbered([path] for path in documents) for _, data in dedup.emit(1, source, frozenset({0}))
    ]
    [part] = numbered([()])

    def candidates(part, output, _):
        dedup.find_candidates(part, output, blocks)

    def stage(name, run, part):
        made = Stage(name, str(tmp_path / name), {}, (), (part,), run, "records")
        return PartOutput(made, part).run(())

    found = stage("candidates", candidates, part)
    assert found.tally.taken == 4 * dedup.RECORDS_PER_DOCUMENT
    [decision_part] = numbered([[str(tmp_path / "candidates" / "00000.edges.parquet"), *documents]])

    def decide(part, output, blocks):
        dedup.decide(DedupSettings(), ShardSettings(val_fraction=0), part, output, blocks)

    receipt = stage("clusters", decide, decision_part)
    assert receipt.tally.rejected == {"exact_duplicate": 1, "near_duplicate": 1}
    assert receipt.tally.passed == 2
    rows = pq.read_table(tmp_path / "clusters" / "00000.clusters.parquet").to_pylist()
    verdicts = {row["url"]: (row["kept"], row["reason"]) for row in rows}
    assert verdicts == {
        "original": (True, ""),
        "exact": (False, "exact_duplicate"),
        "near": (False, "near_duplicate"),
    }
    assert {row["kept_url"] for row in rows} == {"original"}
    similarity = {row["url"]: row["similarity"] for row in rows}
    assert similarity["original"] == similarity["exact"] == 1
    assert 0.5 <= similarity["near"] < 1
    decisions = [
        row["split"]
        for path in sorted((tmp_path / "clusters").glob("*.decisions.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
    assert sorted(decisions) == ["", "", "train", "train"]


def test_threshold_above_one_merges_exact_copies_only(tmp_path):
    a, b = np.array([0, 0], np.uint64), np.array([1, 2], np.uint64)
    signatures = np.zeros((3, 128), np.uint32)
    hashes = np.array([[0] * 16, [0] * 16, [1] * 16], np.uint8)
    suspects = dedup.Suspects(np.arange(3, dtype=np.uint64), [], signatures, hashes)
    kept, _ = dedup.verify(a, b, suspects, 1.5)
    assert len(kept) == 1
    assert len(dedup.verify(a, b, suspects, 1.0)[0]) == 2


def test_packed_records_carry_part_and_row(tmp_path):
    documents = write_documents(tmp_path, 1)
    source = numbered([path] for path in documents)[1]
    [(_, data)] = dedup.emit(1, source, frozenset({0}))
    records = packed.gather([data], dedup._RECORD)
    assert sorted(set(records["id"].tolist())) == [(1 << 32) + row for row in range(3)]
