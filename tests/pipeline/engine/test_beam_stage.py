"""Stages on the real local engine: what is skipped, what is redone, what survives."""

import pyarrow.parquet as pq
import pytest
import toy_stages

from webtext.pipeline.engine import beam_stage as parts
from webtext.pipeline.engine import stage as machinery
from webtext.pipeline.engine.beam_stage import run_stage
from webtext.pipeline.engine.stage import StageError

EMBEDDED = ("--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK")


def test_ledger_adds_up_over_the_parts(tmp_path):
    manifest = run_stage(toy_stages.even_stage(tmp_path), (), 2)
    assert (manifest.tally.taken, manifest.tally.passed) == (40, 20)
    assert manifest.tally.rejected == {"too_short": 20}
    assert [receipt.part for receipt in manifest.receipts] == ["00000", "00001", "00002", "00003"]


@pytest.mark.parametrize(("make", "files"), [(toy_stages.even_stage, 8), (toy_stages.shuffle_stage, 4)])
def test_same_bytes_for_any_workers_and_engine(tmp_path, make, files):
    runs = [((), 2), ((), 1), ((), 0), (EMBEDDED, 2)]
    for number, (flags, workers) in enumerate(runs):
        run_stage(make(tmp_path / str(number)), flags, workers)
    first, *others = [toy_stages.contents(tmp_path / str(number)) for number in range(len(runs))]
    assert len(first) == files
    assert all(other == first for other in others)


def test_what_the_launcher_itself_cant_write_is_told_like_an_error_of_a_part(tmp_path):
    stage = toy_stages.even_stage(tmp_path)
    taken = tmp_path / "manifest.json"
    taken.mkdir()
    with pytest.raises(StageError, match=r"stage even: .*manifest.json.*; finished parts stay, the same command"):
        run_stage(stage, (), 0)
    taken.rmdir()
    assert run_stage(stage, (), 0).tally.passed == 20


def test_a_killed_worker_costs_nothing(tmp_path):
    trap = tmp_path / "traps"
    trap.mkdir()
    (trap / "00002").touch()
    manifest = run_stage(toy_stages.even_stage(tmp_path / "work", trap=trap), (), 2)
    assert manifest.tally.passed == 20
    assert not list(trap.iterdir())


def test_a_complete_stage_is_skipped_and_a_lost_file_redone(tmp_path):
    stage = toy_stages.even_stage(tmp_path)
    manifest = run_stage(stage, (), 0)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.parquet")}
    assert run_stage(stage, (), 0) == manifest
    lost = tmp_path / "00001.numbers.parquet"
    data = lost.read_bytes()
    lost.unlink()
    assert run_stage(stage, (), 0) == manifest
    assert lost.read_bytes() == data
    untouched = {path for path, time in before.items() if path.stat().st_mtime_ns == time}
    assert {path.name.split(".")[0] for path in untouched} == {"00000", "00002", "00003"}


def test_only_missing_parts_of_a_shuffle_are_redone(tmp_path):
    stage = toy_stages.shuffle_stage(tmp_path)
    run_stage(stage, (), 0)
    data = toy_stages.contents(tmp_path)
    (tmp_path / "00002.receipt.json").unlink()
    (tmp_path / "manifest.json").unlink()
    stamp = (tmp_path / "00000.numbers.parquet").stat().st_mtime_ns
    run_stage(stage, (), 0)
    assert toy_stages.contents(tmp_path) == data
    assert (tmp_path / "00000.numbers.parquet").stat().st_mtime_ns == stamp


def test_a_large_shuffle_goes_through_the_local_engine_in_rounds(tmp_path):
    stage = toy_stages.shuffle_stage(tmp_path / "rounds", shuffled=parts._LOCAL_SHUFFLE * 2)
    assert [len(some) for some in parts._rounds(stage, list(stage.parts))] == [2, 2]
    run_stage(stage, (), 2)
    run_stage(toy_stages.shuffle_stage(tmp_path / "whole"), (), 2)
    assert toy_stages.contents(tmp_path / "rounds") == toy_stages.contents(tmp_path / "whole")


def test_another_configuration_redoes_the_parts(tmp_path):
    run_stage(toy_stages.even_stage(tmp_path), (), 0)
    stage = toy_stages.even_stage(tmp_path, settings={"base": 11})
    assert machinery.completed(stage) is None
    assert machinery.receipts_of(stage) == {}


def test_a_damaged_receipt_is_no_receipt(tmp_path):
    stage = toy_stages.even_stage(tmp_path)
    run_stage(stage, (), 0)
    (tmp_path / "00001.receipt.json").write_bytes(b'{"stage": 1}')
    assert set(machinery.receipts_of(stage)) == {"00000", "00002", "00003"}


def test_an_open_ledger_is_an_error(tmp_path):
    with pytest.raises(Exception, match=r"took 2 numbers but accounts for 1 passed \+ 0 rejected"):
        run_stage(toy_stages.even_stage(tmp_path, run=toy_stages.forget_one), (), 0)


def test_lost_records_are_an_error_and_the_parts_are_withdrawn(tmp_path):
    stage = toy_stages.even_stage(tmp_path, expects={"taken": 41})
    with pytest.raises(StageError, match="taken is 40, the stages before say 41"):
        run_stage(stage, (), 0)
    assert machinery.receipts_of(stage) == {}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failing_part_is_named_by_its_error(tmp_path, workers):
    stage = toy_stages.even_stage(tmp_path, run=toy_stages.fail)
    with pytest.raises(Exception, match="part one can't be read"):
        run_stage(stage, (), workers)
    assert "00001" not in machinery.receipts_of(stage)


def test_with_workers_the_other_parts_still_finish(tmp_path):
    stage = toy_stages.even_stage(tmp_path, run=toy_stages.fail)
    with pytest.raises(Exception, match="part one can't be read"):
        run_stage(stage, (), 2)
    assert set(machinery.receipts_of(stage)) == {"00000", "00002", "00003"}


def test_rejected_rows_are_kept_with_their_reason(tmp_path):
    run_stage(toy_stages.even_stage(tmp_path), (), 0)
    rows = pq.read_table(tmp_path / "00000.rejected.parquet").to_pylist()
    assert [row["url"] for row in rows] == ["n:1", "n:3", "n:5", "n:7", "n:9"]
    assert {row["reason"] for row in rows} == {"too_short"}


def test_leftovers_of_killed_writers_are_removed(tmp_path):
    leftover = tmp_path / ".00000.numbers.parquet-dead.tmp"
    leftover.write_bytes(b"half")
    run_stage(toy_stages.even_stage(tmp_path), (), 0)
    assert not leftover.exists()
