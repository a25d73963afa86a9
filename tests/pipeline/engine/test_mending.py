"""A stage whose input is damaged: that part is made again, the others stay, and the result is the same."""

import logging
import re
from functools import partial

import pytest
import toy_stages

from webtext.pipeline.engine.beam_stage import run_stage
from webtext.pipeline.engine.mending import mending
from webtext.pipeline.engine.stage import StageError, completed


def recipe(work, between, run):
    """Numbers, and then what reads them; `between` is called in the middle."""
    even = run(toy_stages.even_stage(work / "even"))
    between()
    return run(toy_stages.sum_stage(work, even))


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("workers", [0, 2])
def test_only_the_damaged_part_is_made_again(tmp_path, caplog, workers):
    run = partial(run_stage, flags=(), workers=workers)
    clean = recipe(tmp_path / "clean", lambda: None, run)
    work, damage = tmp_path / "work", iter([True])
    table = work / "even" / "00002.numbers.parquet"
    times = {}

    def once():
        if next(damage, False):
            times.update({path.name: path.stat().st_mtime_ns for path in table.parent.iterdir()})
            flip(table)

    with caplog.at_level(logging.WARNING):
        assert mending(partial(recipe, work, once), run).digest() == clean.digest()
    assert f"{table} is damaged: " in caplog.text
    assert "Done again, where it is damaged: stage even" in caplog.text
    again = {path.name for path in table.parent.iterdir() if path.stat().st_mtime_ns != times[path.name]}
    assert again == {"00002.numbers.parquet", "00002.rejected.parquet", "00002.receipt.json", "manifest.json"}


def test_damage_each_time_ends_in_an_error(tmp_path):
    run = partial(run_stage, flags=(), workers=0)
    table = tmp_path / "even" / "00001.numbers.parquet"
    with pytest.raises(StageError, match=re.escape(f"{table} is damaged")):
        mending(partial(recipe, tmp_path, lambda: flip(table)), run)


def test_a_stage_that_fails_by_itself_is_not_run_again(tmp_path):
    runs = []

    def failing(run):
        runs.append(run)
        recipe(tmp_path, lambda: None, run)
        raise StageError("of its own")

    with pytest.raises(StageError, match="of its own"):
        mending(failing, partial(run_stage, flags=(), workers=0))
    assert len(runs) == 1
    assert completed(toy_stages.even_stage(tmp_path / "even"))
