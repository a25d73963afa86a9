"""The stages from files of texts to the decision on each text, timed one by one; started by benchmarks/dedup.py.

Language identification and tokens are left out: what stands in their stage is text -> hash and signature.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import pyarrow as pa
from dedup_time import cpu as cpu_seconds

from webtext.pipeline.dedup.recipe import find_copies
from webtext.pipeline.engine import exchange
from webtext.pipeline.engine.stage import Part, PartOutput, Stage, numbered, paths_of
from webtext.pipeline.files import tabular
from webtext.pipeline.inputs import TextInputs
from webtext.pipeline.own_texts.settings import TextFields
from webtext.pipeline.own_texts.sorting import ENDING, TextsPlan, share, texts_stage
from webtext.pipeline.settings import CorpusSettings, DedupSettings
from webtext.pipeline.text import minhash
from webtext.schemas import tables
from webtext.schemas.manifest import StageManifest


def sign(plan: TextsPlan, part: Part, output: PartOutput) -> None:
    """Stage `documents` without what has nothing to do with copies."""
    with output.table("documents", tables.DOCUMENTS) as table:
        for number in range(part.ordinal * plan.share, (part.ordinal + 1) * plan.share):
            for row in _in_key_order(part.inputs["texts"], number, plan.ranges):
                text = row["text"]
                signature = minhash.signature(text).astype("<u4").tobytes()
                about = [row["score"], row["created_utc"], 0, row["title"], "", "", "", text, row["length"], 1.0, [], 0]
                table.add(row["key"], row["url"], *about, minhash.text_hash(text), signature)
                output.taken += 1
    output.passed = output.rows = output.taken


def _in_key_order(paths: Sequence[str], number: int, ranges: int) -> Iterator[dict[str, object]]:
    found = list(exchange.read(paths, number, ranges))
    if found:
        for batch in pa.Table.from_batches(found).sort_by("key").to_batches(1000):
            yield from batch.to_pylist()


def _timed(workers: int) -> Callable[[Stage], StageManifest]:
    """Stages on Beam, each with a line of its wall and CPU seconds on standard output."""
    from webtext.pipeline.engine.beam_stage import run_stage  # imports Beam, which the workers of a build do without

    def run(stage: Stage) -> StageManifest:
        wall, cpu = time.monotonic(), cpu_seconds()
        done = run_stage(stage, (), workers)
        wall, cpu = time.monotonic() - wall, cpu_seconds() - cpu
        print(json.dumps({"stage": stage.name, "wall": wall, "cpu": cpu, "taken": done.tally.taken}), flush=True)
        return done

    return run


def kept(work: Path) -> set[str]:
    """Addresses of the documents that stay."""
    found: set[str] = set()
    decided = {path.name.split(".")[1]: path for path in (work / "decisions").glob("*.decisions.parquet")}
    for path in sorted((work / "documents").glob("*.documents.parquet")):
        splits = tabular.read_columns(str(decided[path.name.split(".")[0]]), ["split"])["split"].to_pylist()
        urls = tabular.read_columns(str(path), ["url"])["url"].to_pylist()
        found.update(url for url, split in zip(urls, splits, strict=True) if split)
    return found


def run(
    folder: str, work: str, until: str, *, workers: int, parts: int, method: Literal["shingles", "signature"]
) -> None:
    """Run the stages up to `documents`, or all; what is done already is skipped."""
    files = TextInputs.find([f"{folder}/*.jsonl"], TextFields())
    plan = TextsPlan(files.fields, files.base, parts, share(files.files, parts))
    run = _timed(workers)
    done = run(texts_stage(plan, files.files, work))
    signed = Stage(
        name="documents",
        folder=f"{work}/documents",
        settings={},
        inputs=[done.digest()],
        parts=numbered([{"texts": paths_of(work, done, ENDING)}] * parts),
        run=partial(sign, plan),
        unit="texts",
        expects={"taken": done.tally.rows},
    )
    documents = run(signed)
    if until != "documents":
        settings = CorpusSettings(dedup=DedupSettings(method=method))
        find_copies(settings, work, documents, run)
