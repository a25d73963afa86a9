"""Stage `documents` for texts: what the stage `texts` sorted, merged by key, judged and written like a page's text.

A part is some ranges of keys in a row. It reads what decides between equal keys first, then the texts that stay, so a
key that comes a million times costs no memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from webtext.pipeline.documents.rows import settle
from webtext.pipeline.engine import exchange, packed
from webtext.pipeline.engine.stage import Part, PartOutput, Stage, numbered, paths_of
from webtext.pipeline.files import storage
from webtext.pipeline.flow import DOCUMENTS
from webtext.pipeline.own_texts.sorting import ENDING, TextsPlan
from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text.document import Document
from webtext.pipeline.text.judge import judge
from webtext.schemas import tables
from webtext.schemas.manifest import StageManifest
from webtext.schemas.records import Loss, Reason, Rejected, Source

_RANKS: Final = ("key", "score", "created_utc", "length", "digest")
_TAKEN: Final = ("key", "url", "score", "created_utc", "title", "text")

Rows = npt.NDArray[np.int64]


def text_documents_stage(settings: ExtractSettings, plan: TextsPlan, texts: StageManifest, work: str) -> Stage:
    """Each hash range: one text of each URL or id, its language, tokens, signature."""
    return Stage(
        name=DOCUMENTS,
        folder=storage.join(work, DOCUMENTS),
        settings=asdict(settings),
        inputs=[texts.digest()],
        parts=numbered([{"texts": paths_of(work, texts, ENDING)}] * plan.parts),
        run=partial(run_text_documents, settings, plan),
        unit="texts",
        expects={"taken": texts.tally.rows},
    )


def run_text_documents(settings: ExtractSettings, plan: TextsPlan, part: Part, output: PartOutput) -> None:
    """Stage `documents`: the texts of one part, in order of their keys. Inputs: the files of the stage `texts`.

    Of texts with one key the first by (highest score, longest, earliest date, hash) stays; the others are DUPLICATE_ID.
    No sandbox: every step is linear in a text of bounded length.
    """
    with output.table("documents", tables.DOCUMENTS) as table:
        for number in range(part.ordinal * plan.share, (part.ordinal + 1) * plan.share):
            for row in _merged(part.inputs["texts"], number, plan.ranges, output):
                created = row["created_utc"]
                source = Source(row["key"], row["url"], row["score"], created, captured_utc=0)
                date = datetime.fromtimestamp(created, UTC).date().isoformat() if created else ""
                settle(table, output, settings, source, _judged(row["text"], row["title"], date, settings))
    output.rows = output.passed


def _judged(text: str, title: str, date: str, settings: ExtractSettings) -> Document | Loss:
    try:
        return judge(text, settings, title, date)
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of the tokenizer, in Rust; it is no Exception
            raise
        return Loss(Reason.EXTRACT_CRASH, f"tokenizer: {error}")


def _merged(paths: Sequence[str], number: int, ranges: int, output: PartOutput) -> Iterator[dict[str, Any]]:
    """The texts of one range that stay, in order of their keys."""
    ranks = list(exchange.read(paths, number, ranges, _RANKS))
    if not ranks:
        return
    ranked = pa.Table.from_batches(ranks)
    order, kept_row = _winners(ranked)
    output.taken += len(kept_row)
    kept = kept_row == np.arange(len(kept_row))
    length, score = ranked["length"].to_numpy(), ranked["score"].to_numpy()
    held: list[pa.RecordBatch] = []
    start = 0
    for batch in exchange.read(paths, number, ranges):
        mine = kept[start : start + batch.num_rows]
        held.append(batch.filter(pa.array(mine)))
        for row in np.flatnonzero(~mine).tolist():
            at, winner = start + row, kept_row[start + row]
            detail = ", kept with ".join(f"{length[entry]} characters, score {score[entry]}" for entry in (at, winner))
            key, url = (batch.column(name)[row].as_py() for name in ("key", "url"))
            output.reject(Rejected(DOCUMENTS, Reason.DUPLICATE_ID, key, url, detail))
        start += batch.num_rows
    ends = np.cumsum([batch.num_rows for batch in held])
    place = np.cumsum(kept) - 1  # of each row that stays among those that do
    for at in place[order[kept[order]]].tolist():
        chunk = int(np.searchsorted(ends, at, side="right"))
        row = at - int(ends[chunk]) + held[chunk].num_rows
        yield {name: held[chunk].column(name)[row].as_py() for name in _TAKEN}


def _winners(table: pa.Table) -> tuple[Rows, Rows]:
    """(rows in order of keys and, of one key, the best first; for each row the one that stays instead of it)."""
    hi, lo = packed.split_keys(table["key"].to_pylist())
    digest_hi, digest_lo = packed.split_keys(table["digest"].to_pylist())
    score, length, created = (table[name].to_numpy() for name in ("score", "length", "created_utc"))
    order = np.lexsort((digest_lo, digest_hi, created, -length, -score, lo, hi))
    hi, lo = hi[order], lo[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = (hi[1:] != hi[:-1]) | (lo[1:] != lo[:-1])
    best = order[np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
    kept_row = np.empty_like(order)
    kept_row[order] = best
    return order, kept_row
