"""What checksums on every read and write cost a build: the share of its CPU time.

    .venv/bin/python benchmarks/checksums.py [--pages 1000]

Builds so many pages of chain.py's in this process, with timers around what computes and compares checksums and finds
receipts. The time of reading itself is counted too, so the share is an upper bound.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import chain

from webtext.pipeline.corpus import build_corpus
from webtext.pipeline.engine import exchange
from webtext.pipeline.engine import stage as stages
from webtext.pipeline.engine.beam_stage import run_stage
from webtext.pipeline.files import checksums, stage_files, tabular
from webtext.pipeline.inputs import Inputs
from webtext.pipeline.settings import CorpusSettings

spent: dict[str, float] = {}


def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with its CPU time added to `spent`."""

    def run(*args: Any, **kwargs: Any) -> Any:
        start = time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            spent[name] = spent.get(name, 0.0) + time.thread_time() - start

    return run


def main() -> None:
    """Build and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=1000)
    options = parser.parse_args()
    update, blocks = checksums.BlockSums.update, checksums.CheckedStream._blocks
    setattr(checksums.BlockSums, "update", timed("write", update))  # noqa: B010  what mypy would not let pass
    setattr(checksums.CheckedStream, "_blocks", timed("read", blocks))  # noqa: B010
    opened = timed("find the receipt", stage_files.open_stage_file)
    exchange.open_stage_file = opened  # type: ignore[attr-defined]
    tabular.open_parquet.__wrapped__.__defaults__ = (opened,)  # type: ignore[attr-defined]
    tabular.batches.__defaults__ = (*tabular.batches.__defaults__[:-1], opened)  # type: ignore[index]
    setattr(stages, "_intact", timed("read the corpus again", stages._intact))  # noqa: B010
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "inputs"
        chain.write_inputs(folder, options.pages)
        inputs = Inputs.find([str(folder / "submissions.ndjson")], [str(folder / "*.warc.gz")])
        before = os.times()
        run = partial(run_stage, flags=(), workers=0)
        build_corpus(CorpusSettings(parts=4), inputs, str(Path(temporary) / "work"), run)
        after = os.times()
        size = sum(path.stat().st_size for path in (Path(temporary) / "work").rglob("*") if path.is_file())
    cpu = sum(after[:4]) - sum(before[:4])
    print(f"{options.pages} pages: {cpu:.1f} s of CPU, {size / 2**20:.1f} MiB in the work folder")
    for name, seconds in sorted(spent.items()):
        print(f"  {name:22} {seconds:7.3f} s  {seconds / cpu:7.3%}")
    print(f"  {'all of it':22} {sum(spent.values()):7.3f} s  {sum(spent.values()) / cpu:7.3%}")


if __name__ == "__main__":
    main()
