"""Which lines repeat over a domain, against an oracle out of dictionaries."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import toy_documents
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.dedup import lines
from webtext.pipeline.dedup.groups import Groups, Sizes
from webtext.pipeline.engine import exchange
from webtext.pipeline.engine import stage as stages
from webtext.pipeline.engine.stage import Stage
from webtext.pipeline.settings import DedupSettings

SITE = "https://example.org/"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Leave a reply", "  leave a  REPLY!\r", True),
        ("Comments (12)", "Comments (98)", True),
        ("Comments (12)", "Comments (9)", False),
        ("Share this", "Share that", False),
        ("caf\u00e9", "cafe", False),
        ("\u0663 items", "3 items", True),  # a digit of another script
        ("a_b", "a b", False),
    ],
)
def test_equal_lines(one, other, same):
    [a] = lines.fingerprints("example.org", one, 1)
    [b] = lines.fingerprints("example.org", other, 1)
    assert (a == b) == same


def test_a_line_belongs_to_its_domain():
    assert lines.fingerprints("a.example", "Leave a reply", 1) != lines.fingerprints("b.example", "Leave a reply", 1)


def test_what_is_short_or_has_no_word_is_never_dropped():
    text = "Leave a reply\n\n----------------\n   short   \nLeave a reply"
    found = lines.fingerprints("example.org", text, 6)
    assert [hash is None for hash in found] == [False, True, True, True, False]
    assert found[0] == found[-1]
    assert lines.fingerprints("", "", 1) == [None]
    assert lines.fingerprints("\ud800", "\ud800 a\x00", 1) != [None]  # lone surrogates are no reason to fail


PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), unique=True)


@given(PAIRS, st.integers(2, 4))
def test_repeats_against_dictionaries(pairs, least):
    owners = defaultdict(set)
    for hash, id in pairs:
        owners[hash].add(id)
    expected = [
        (hash, id, len(ids), id == min(ids))
        for hash, ids in sorted(owners.items())
        if len(ids) >= least
        for id in sorted(ids)
    ]
    hashes, ids = (np.array([pair[place] for pair in pairs], np.uint64) for place in (0, 1))
    found = zip(*(column.tolist() for column in lines.repeats(hashes, ids, least)), strict=True)
    assert list(found) == expected


def find(work, documents, texts, ranges, at_once):
    """What the two stages say, as (document, hash, documents, kept), and their ledgers."""
    paths = [str(work / "documents" / file.name) for file in documents.named(".documents.parquet")]
    groups = Groups.plan(paths, len(texts), Sizes(documents=4))
    plan = lines.LinesPlan(DedupSettings(paragraphs=2, paragraph_characters=5), ranges, len(paths), at_once)

    def stage(name, parts, inputs, run):
        return toy_documents.run_here(
            Stage(name, str(work / name), {}, (), stages.numbered([inputs] * parts), run, "lines")
        )

    sent = stage("lines", groups.count, {}, lambda *rest: lines.run_lines(plan, groups, *rest))
    files = [str(work / "lines" / file.name) for file in sent.named(exchange.ENDING)]
    repeated = stage("repeats", ranges, {"sent": files}, lambda *rest: lines.run_repeats(plan, *rest))
    files = [str(work / "repeats" / file.name) for file in repeated.named(exchange.ENDING)]
    rows = [
        (row["id"], row["hash"], row["documents"], row["kept"])
        for ordinal in range(len(paths))
        for batch in exchange.read(files, ordinal, len(paths))
        for row in batch.to_pylist()
    ]
    return sorted(rows), sent.tally, repeated.tally


@pytest.mark.parametrize(("parts", "ranges", "at_once"), [(1, 1, 500_000), (5, 3, 2), (3, 7, 500_000)])
def test_the_stages_tell_each_part_its_lines(tmp_path, parts, ranges, at_once):
    texts = {f"{SITE}{n}": f"own line {n * 'x'}\nfooter\nfooter\n" + "every third\n" * (n % 3 == 0) for n in range(12)}
    texts["https://other.example/"] = "footer"
    documents = toy_documents.write_documents(Path(tmp_path), texts, parts)
    rows, sent, repeated = find(Path(tmp_path), documents, texts, ranges, at_once)
    assert (sent.taken, sent.rows, repeated.taken) == (13, 12 + 12 + 4 + 1, 29)
    assert repeated.rows == len(rows) == 12 + 4
    assert repeated.counts == {"repeated lines": 2, "dropped lines": 14}
    by_hash = defaultdict(list)
    for id, hash, count, kept in rows:
        by_hash[hash].append((id, count, kept))
    for found in by_hash.values():
        assert {count for _, count, _ in found} == {len(found)}
        assert [kept for _, _, kept in found] == [True] + [False] * (len(found) - 1)
