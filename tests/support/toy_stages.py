"""Stages small enough to see through. A module of its own, so that worker processes can import its functions."""

import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from webtext.pipeline.engine import packed
from webtext.pipeline.engine.stage import Shuffle, Stage, numbered, paths_of
from webtext.pipeline.files import tabular
from webtext.schemas.records import Reason, Rejected

NUMBERS = pa.schema([pa.field("n", pa.int64(), nullable=False)])
_VALUE = np.dtype([("value", "<u8")])


def keep_even(trap, part, output):
    """Part k takes the numbers 10 k to 10 k + 9, keeps the even ones, and dies once where a trap says so."""
    if trap and (Path(trap) / part.name).exists():
        (Path(trap) / part.name).unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    with output.table("numbers", NUMBERS) as table:
        for n in range(10 * part.ordinal, 10 * part.ordinal + 10):
            output.taken += 1
            if n % 2:
                output.reject(Rejected("even", Reason.TOO_SHORT, b"", f"n:{n}", "odd"))
            else:
                table.add(n)
                output.passed += 1
    output.rows = output.passed


def forget_one(part, output):
    output.taken = 2
    output.passed = 1


def fail(part, output):
    if part.ordinal == 1:
        raise ValueError("part one can't be read")
    output.taken = output.passed = 1


def emit_numbers(parts, source, wanted):
    values = np.array([(n,) for n in range(100 * source.ordinal, 100 * source.ordinal + 100)], _VALUE)
    return packed.scatter(values, (values["value"] % np.uint64(parts)).astype(np.int64), wanted)


def store_numbers(part, output, blocks):
    values = packed.gather(blocks, _VALUE)
    with output.table("numbers", NUMBERS) as table:
        for n in values["value"].tolist():
            table.add(n)
    output.taken = output.passed = output.rows = len(values)


def even_stage(folder, parts=4, trap="", **changes):
    kwargs = {
        "name": "even",
        "folder": str(folder),
        "settings": {"base": 10},
        "inputs": (),
        "parts": numbered([{}] * parts),
        "run": partial(keep_even, str(trap)),
        "unit": "numbers",
    }
    return Stage(**(kwargs | changes))


def shuffle_stage(folder, sources=3, parts=4, shuffled=100, **changes):
    shuffle = Shuffle(numbered([{}] * sources), partial(emit_numbers, parts), store_numbers, shuffled)
    return even_stage(folder, parts, name="spread", run=shuffle, expects={"taken": 100 * sources}, **changes)


def add_up(part, output):
    """The sum of the numbers in all tables."""
    with output.table("sum", NUMBERS) as table:
        table.add(sum(sum(tabular.read_columns(path)["n"].to_pylist()) for path in part.inputs["numbers"]))
    output.taken = output.passed = output.rows = 1


def sum_stage(work, numbers, parts=2):
    """Each part adds all of them up."""
    paths = paths_of(str(work), numbers, ".numbers.parquet")
    stage = even_stage(Path(work) / "sum", name="sum", inputs=[numbers.digest()], run=add_up)
    return replace(stage, parts=numbered([{"numbers": paths}] * parts))


def contents(folder):
    """The tables that a stage has written below a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.rglob("*.parquet")}
