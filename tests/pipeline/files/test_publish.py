"""Publishing when an engine computes a part more than once: twice at a time, or again after a kill in the middle.

Real processes. What the engines promise is less than once: Spark may run a part twice, or at once in two places.
"""

import hashlib
import json
import multiprocessing
import random
import signal
import time
from pathlib import Path

import memory_store
import pyarrow.parquet as pq
import pytest
from slow_parts import ROWS, publish_in_turn, publish_slowly, slow_stage

from webtext.pipeline.engine import stage as machinery
from webtext.schemas.manifest import RECEIPT, STAGE_MANIFEST

ROUNDS = 25  # for two processes that publish the same part at the same moment
KILLS = 6
_CONTEXT = multiprocessing.get_context("forkserver")


def files_of(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(folder).iterdir()}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process that nothing disturbs publishes."""
    folder = tmp_path_factory.mktemp("alone")
    stage = slow_stage(folder)
    machinery.run_part(stage, stage.parts[0])
    return files_of(folder)


def start(*calls):
    """A process for each call. They end with this one, whatever state they are in."""
    processes = [_CONTEXT.Process(target=target, args=args, daemon=True) for target, *args in calls]
    for process in processes:
        process.start()
    return processes


def test_two_processes_publish_one_part_at_the_same_moment(tmp_path, alone):
    barrier = _CONTEXT.Barrier(2)
    processes = start(*[(publish_in_turn, barrier, str(tmp_path), ROUNDS)] * 2)
    seen = 0
    while any(process.is_alive() for process in processes):
        # A reader never sees half a file, whatever moment it comes in.
        for path in tmp_path.glob("*/0*"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == alone[path.name]
            seen += 1
    assert [process.exitcode for process in processes] == [0, 0]
    assert seen > ROUNDS
    for number in range(ROUNDS):
        # Also no temporary file: both writers have finished.
        assert files_of(tmp_path / str(number)) == alone
        assert machinery.complete(slow_stage(tmp_path / str(number))).tally.taken == ROWS


def start_slowly(folder, *pauses):
    """Processes that begin with the part now, one for each pause."""
    barrier = _CONTEXT.Barrier(len(pauses) + 1)
    processes = start(*[(publish_slowly, barrier, str(folder), pause) for pause in pauses])
    barrier.wait(60)
    return processes


def is_temporary(path):
    return path.name.startswith(".")


@pytest.mark.parametrize("seed", range(KILLS))
def test_one_of_two_is_killed_in_the_middle(tmp_path, alone, seed):
    # The one that stays is ahead, level or behind.
    victim, other = start_slowly(tmp_path, 0.02, (0.0, 0.02, 0.04)[seed % 3])
    time.sleep(random.Random(seed).uniform(0, 0.2))
    victim.kill()
    victim.join()
    assert victim.exitcode == -signal.SIGKILL
    other.join(60)
    assert other.exitcode == 0
    published = {name: digest for name, digest in files_of(tmp_path).items() if not name.startswith(".")}
    assert published == alone
    assert machinery.complete(slow_stage(tmp_path)).tally.taken == ROWS
    assert files_of(tmp_path).keys() == {*alone, STAGE_MANIFEST}  # what the victim left is swept up


def test_a_killed_part_has_no_receipt_and_is_done_again(tmp_path, alone):
    [victim] = start_slowly(tmp_path, 0.2)
    deadline = time.monotonic() + 60
    while not any(map(is_temporary, tmp_path.iterdir())):
        assert time.monotonic() < deadline
    victim.kill()
    victim.join()
    stage = slow_stage(tmp_path)
    assert machinery.receipts_of(stage) == {}
    with pytest.raises(machinery.StageError, match="1 of 1 parts are not done"):
        machinery.complete(stage)
    assert any(map(is_temporary, tmp_path.iterdir()))  # an engine may still be at work
    machinery.run_part(stage, stage.parts[0])
    machinery.complete(stage)
    assert {name: digest for name, digest in files_of(tmp_path).items() if name in alone} == alone
    assert not any(map(is_temporary, tmp_path.iterdir()))


def test_a_straggler_that_outlives_its_stage_changes_nothing(tmp_path, alone):
    [straggler] = start_slowly(tmp_path, 0.1)
    stage = slow_stage(tmp_path)
    machinery.run_part(stage, stage.parts[0])
    manifest = machinery.complete(stage)
    straggler.join(60)
    assert {name: digest for name, digest in files_of(tmp_path).items() if name in alone} == alone
    assert not any(map(is_temporary, tmp_path.iterdir()))
    assert machinery.completed(stage) == manifest


def test_the_receipt_is_the_last_file_of_a_part(tmp_path):
    stage = slow_stage(tmp_path)
    machinery.run_part(stage, stage.parts[0])
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    receipt = times.pop(f"00000{RECEIPT}")
    assert receipt >= max(times.values())
    listed = json.loads((tmp_path / f"00000{RECEIPT}").read_bytes())["files"]
    assert {file["name"] for file in listed} == set(times)
    for file in listed:
        data = (tmp_path / file["name"]).read_bytes()
        assert (file["bytes"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    [rows] = [file["rows"] for file in listed if file["name"] == "00000.numbers.parquet"]
    assert rows == len(pq.read_table(tmp_path / "00000.numbers.parquet")) == ROWS - ROWS // 3


# An object store: no rename, no locks. The store in memory shows an object when its writer closes, as S3 and GCS do.


def in_the_store(folder):
    objects = memory_store.MemoryStore.objects
    return {
        path.rsplit("/", 1)[1]: hashlib.sha256(data).hexdigest()
        for path, data in objects.items()
        if path.startswith(f"{folder}/")
    }


def test_parts_that_run_twice_in_an_object_store_leave_the_same_objects(alone):
    folder = f"{memory_store.SCHEME}://twice/stage"
    stage = slow_stage(folder)
    for _ in range(2):
        machinery.run_part(stage, stage.parts[0])
        assert in_the_store(folder) == alone
    machinery.complete(stage)
    assert in_the_store(folder).keys() == {*alone, STAGE_MANIFEST}


def test_a_second_run_that_fails_does_not_touch_the_objects_of_the_first(alone):
    """The slower of two attempts may end with an error; what the faster one published must stay."""
    folder = f"{memory_store.SCHEME}://failing/stage"
    stage = slow_stage(folder)
    machinery.run_part(stage, stage.parts[0])
    with pytest.raises(OSError, match="the input is gone"):
        machinery.run_part(slow_stage(folder, pause=-1), stage.parts[0])
    assert in_the_store(folder) == alone
