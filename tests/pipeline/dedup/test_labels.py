"""Labels of documents: one task, rounds and an oracle agree to the byte."""

import dataclasses
import itertools
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from graphs import die_once, document, pair_stage, union_find
from hypothesis import given, settings
from hypothesis import strategies as st
from without_engine import run_here

from webtext.pipeline.dedup import labels
from webtext.pipeline.engine.beam_stage import run_stage
from webtext.pipeline.engine.stage import StageError
from webtext.schemas import tables

DOCUMENTS = 4


def label(work, pairs, *, files=3, run=run_here, **choices):
    """Label the documents of a graph; gives the files."""
    ids = [tuple(document(end, DOCUMENTS) for end in pair) for pair in pairs]
    found = labels.label(str(work), run(pair_stage(work, ids, files)), DOCUMENTS, run, **choices)
    check(work, ids, found)
    # By the documents part that they are for; in front of that is the part that wrote them.
    return {path.name.split(".")[1]: path.read_bytes() for path in (Path(work) / "labels").glob("*.parquet")}


def check(work, ids, found):
    expected = union_find(ids)
    read = {}
    for file in found.named(".labels.parquet"):
        table = pq.read_table(Path(work) / "labels" / file.name)
        assert table.schema.equals(tables.LABELS)
        rows = table["id"].to_pylist()
        assert rows
        assert rows == sorted(rows)
        assert {row >> 32 for row in rows} == {int(file.name.split(".")[1])}
        assert file.rows == len(rows)
        read |= dict(zip(rows, table["label"].to_pylist(), strict=True))
    assert read == expected
    assert found.tally.rows == len(expected)


numbers = st.integers(0, 40)
graphs = st.lists(st.tuples(numbers, numbers).filter(lambda pair: pair[0] != pair[1]), min_size=1, max_size=60)


@settings(max_examples=25, deadline=None)
@given(graphs, st.integers(1, 4), st.integers(1, 5))
def test_both_ways_and_the_oracle_agree_on_any_graph(pairs, files, parts):
    with tempfile.TemporaryDirectory() as folder:
        small = label(Path(folder) / "small", pairs, files=files)
        assert label(Path(folder) / "large", pairs, files=files, max_edges=0, parts=parts) == small


def chain(length):
    order = np.random.default_rng(0).permutation(length).tolist()
    return list(itertools.pairwise(order))


SHAPES = {
    "star": [(17, n) for n in range(3000) if n != 17],
    "cliques": [(10 * k + a, 10 * k + b) for k in range(50) for a, b in itertools.combinations(range(10), 2)],
    "two hubs": [(hub, n) for hub in (0, 1999) for n in range(1, 1999)],
    "chain": chain(20_000),
    "chain in order": list(itertools.pairwise(range(2000))),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_both_ways_agree_on_shapes(tmp_path, shape):
    small = label(tmp_path / "small", SHAPES[shape])
    assert label(tmp_path / "large", SHAPES[shape], max_edges=0, parts=6) == small


def test_no_edges(tmp_path):
    assert label(tmp_path / "small", []) == {}
    assert label(tmp_path / "large", [], max_edges=-1, parts=2) == {}


def test_workers_parts_and_files_leave_no_trace(tmp_path):
    pairs = chain(60)
    first = label(tmp_path / "first", pairs, max_edges=0, parts=1)
    assert label(tmp_path / "second", pairs[::-1], max_edges=0, parts=7, files=5) == first
    two = partial(run_stage, flags=(), workers=2)
    assert label(tmp_path / "third", pairs, max_edges=0, parts=2, run=two) == first


def test_one_task_finishes_when_few_enough_edges_are_left(tmp_path):
    pairs = SHAPES["cliques"]  # 45 edges each, of which the rounds leave 9
    ran = []

    def run(stage):
        ran.append((stage.name, len(stage.parts)))
        return run_here(stage)

    dense = label(tmp_path / "dense", pairs, files=1, run=run, max_edges=500, parts=4)
    assert ran == [("pairs", 1), ("stars-00", 1), ("labels", 1)]
    assert dense == label(tmp_path / "small", pairs)


@pytest.mark.parametrize("stage", ["stars-01", "labels"])
def test_a_killed_worker_costs_nothing(tmp_path, stage):
    pairs = chain(100)
    trap = tmp_path / "traps"
    trap.mkdir()
    (trap / "00001").touch()

    def run(made):
        if made.name != stage:
            return run_here(made)
        dying = dataclasses.replace(made.shuffle, run=partial(die_once, str(trap), made.shuffle.run))
        return run_stage(dataclasses.replace(made, run=dying), (), 2)

    killed = label(tmp_path / "killed", pairs, run=run, max_edges=0, parts=3)
    assert not list(trap.iterdir())
    assert killed == label(tmp_path / "whole", pairs, max_edges=0, parts=3)


def test_a_build_that_ended_in_a_round_goes_on_there(tmp_path):
    pairs = chain(300)
    whole = label(tmp_path / "whole", pairs, max_edges=0, parts=3)
    ended = tmp_path / "ended"

    def stop(made):
        if made.name == "stars-03":
            raise KeyboardInterrupt
        return run_here(made)

    with pytest.raises(KeyboardInterrupt):
        label(ended, pairs, run=stop, max_edges=0, parts=3)
    (ended / "stars-02" / "manifest.json").unlink()
    (ended / "stars-02" / "00001.receipt.json").unlink()
    kept = {path: path.stat().st_mtime_ns for path in ended.rglob("*.parquet")}
    assert label(ended, pairs, max_edges=0, parts=3) == whole
    redone = {path for path, time in kept.items() if path.stat().st_mtime_ns != time}
    assert {path.relative_to(ended).as_posix() for path in redone} == {"stars-02/00001.edges.parquet"}


def test_rounds_without_end_are_an_error(tmp_path):
    with pytest.raises(StageError, match=r"2 rounds over .* edges have left"):
        label(tmp_path, chain(500), max_edges=0, parts=5, max_rounds=2)


@pytest.mark.parametrize("choices", [{}, {"max_edges": 0, "parts": 2}])
def test_an_id_of_no_documents_part_is_an_error(tmp_path, choices):
    made = run_here(pair_stage(tmp_path, [(1, 5 << 32)]))
    with pytest.raises(StageError, match="a document of part 5 of 4"):
        labels.label(str(tmp_path), made, 4, run_here, **choices)
    assert not list((tmp_path / "labels").glob("manifest.json"))


def test_what_is_no_stars_gets_no_labels(tmp_path):
    made = run_here(pair_stage(tmp_path, [(1, 3), (2, 3)]))
    with pytest.raises(StageError, match="a document is in two clusters"):
        run_here(labels.large(str(tmp_path), made, 1))
