"""Lines that repeat over the documents of one registered domain: dropped from all of them but one. Off by default.

The stages `lines` and `repeats` (see lines.py) find them. The stage `paragraphs` writes the documents tables anew
without them: a table of the same name, layout and order, from which the search for copies and the shards then go on.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from webtext.pipeline.dedup import lines
from webtext.pipeline.dedup.groups import DEFAULT, Groups, Sizes, ids_of
from webtext.pipeline.engine import exchange
from webtext.pipeline.engine.stage import Part, PartOutput, Stage, numbered, paths_of
from webtext.pipeline.files import storage, tabular
from webtext.pipeline.files.tabular import TableWriter
from webtext.pipeline.flow import LINES, PARAGRAPHS, REPEATS
from webtext.pipeline.identity import domains
from webtext.pipeline.settings import CorpusSettings, ExtractSettings
from webtext.pipeline.text.clean import clean
from webtext.pipeline.text.judge import judge
from webtext.schemas import tables
from webtext.schemas.manifest import StageManifest
from webtext.schemas.records import Loss, Reason, Rejected

_CHARACTERS = 4  # of a token of English, about
_MOST_PARTS = 4096
_SHOWN = 300  # characters of a line that the table shows


def drop_repeated(
    settings: CorpusSettings,
    work: str,
    documents: StageManifest,
    run: Callable[[Stage], StageManifest],
    sizes: Sizes = DEFAULT,
) -> dict[str, StageManifest]:
    """Run the three stages; none where the settings do not ask for them. Gives their manifests."""
    if not settings.dedup.paragraphs:
        return {}
    groups = Groups.of_stage(work, documents, sizes)
    how = {"paragraph_characters": settings.dedup.paragraph_characters}
    characters = documents.tally.counts.get("tokens", 0) * _CHARACTERS
    parts = min(_MOST_PARTS, 1 + characters // (settings.dedup.paragraph_characters * sizes.lines))
    plan = lines.LinesPlan(settings.dedup, parts, len(groups.paths))
    sent = run(
        Stage(
            name=LINES,
            folder=storage.join(work, LINES),
            settings={**how, "parts": parts},
            inputs=[documents.digest()],
            parts=numbered([{}] * groups.count),
            run=partial(lines.run_lines, plan, groups),
            unit="documents",
            expects={"taken": documents.tally.rows},
        )
    )
    repeats = run(
        Stage(
            name=REPEATS,
            folder=storage.join(work, REPEATS),
            settings={"paragraphs": settings.dedup.paragraphs},
            inputs=[sent.digest()],
            parts=numbered([{"sent": paths_of(work, sent, exchange.ENDING, filled=True)}] * parts),
            run=partial(lines.run_repeats, plan),
            unit="lines",
            expects={"taken": sent.tally.rows},
        )
    )
    found = paths_of(work, repeats, exchange.ENDING, filled=True)
    rewritten = run(
        Stage(
            name=PARAGRAPHS,
            folder=storage.join(work, PARAGRAPHS),
            settings={**how, "extract": asdict(settings.extract)},
            inputs=[documents.digest(), repeats.digest()],
            parts=numbered({"documents": [path], "repeats": found} for path in groups.paths),
            run=partial(run_paragraphs, settings, len(groups.paths)),
            unit="documents",
            expects={"taken": documents.tally.rows, **repeats.tally.counts},
        )
    )
    return {manifest.stage: manifest for manifest in (sent, repeats, rewritten)}


@dataclass(frozen=True, slots=True)
class Shortened:
    """A text without some of its lines."""

    text: str
    lines: int  # that were dropped
    characters: int  # of them


def shorten(text: str, hashes: Sequence[int | None], dropped: AbstractSet[int]) -> Shortened:
    """The text without the lines whose hash is to be dropped; no blank lines pile up where they stood.

    Args:
        text: of one document.
        hashes: one for each line, as by lines.fingerprints.
        dropped: the hashes whose lines go.
    """
    kept: list[str] = []
    count = characters = 0
    gap = False
    for line, hash in zip(text.split("\n"), hashes, strict=True):
        blank = not line.strip()
        if hash is not None and hash in dropped:
            count += 1
            characters += len(line)
            gap = True
        elif not (gap and blank and (not kept or not kept[-1].strip())):
            kept.append(line)
            gap = gap and blank
    return Shortened(clean("\n".join(kept)), count, characters)


def run_paragraphs(settings: CorpusSettings, documents: int, part: Part, output: PartOutput) -> None:
    """Stage `paragraphs`: one part of the documents without the lines that others keep, judged again where it lost any.

    Inputs: the part of the documents, and the files of `repeats`. A second table shows the lines that repeat: a row
    for each in the part that keeps it.
    """
    [path] = part.inputs["documents"]
    marks = exchange.read_table(part.inputs["repeats"], part.ordinal, documents, tables.REPEATS).sort_by("id")
    with output.table("documents", tables.DOCUMENTS) as table, output.table("lines", tables.REPEATED_LINES) as shown:
        for batch in tabular.batches(path):
            order: list[int] = []  # rows of the batch, then of `changed`
            changed: list[dict[str, Any]] = []
            ids = ids_of(part.ordinal, output.taken, batch.num_rows + 1)
            bounds = np.searchsorted(marks["id"].to_numpy(), ids).tolist()
            for at, (start, end) in enumerate(pairwise(bounds)):
                if start == end:
                    order.append(at)
                    continue
                own = marks.slice(start, end - start).to_pylist()
                [row] = batch.slice(at, 1).to_pylist()
                least = settings.dedup.paragraph_characters
                hashes = lines.fingerprints(domains.registered(row["url"]), row["text"], least)
                _show(shown, row, hashes, {mark["hash"]: mark["documents"] for mark in own if mark["kept"]}, output)
                lost = {mark["hash"] for mark in own if not mark["kept"]}
                if not lost:
                    order.append(at)
                elif new := _judged_again(row, hashes, lost, settings.extract, output):
                    order.append(batch.num_rows + len(changed))
                    changed.append(new)
            output.taken += batch.num_rows
            output.passed += len(order)
            if order:
                old = pa.Table.from_batches([batch]).cast(tables.DOCUMENTS)
                new_rows = pa.Table.from_pylist(changed, tables.DOCUMENTS)
                table.write(pa.concat_tables([old, new_rows]).take(pa.array(order)))
    output.rows = output.passed


def _show(
    shown: TableWriter,
    row: Mapping[str, Any],
    hashes: Sequence[int | None],
    keeps: Mapping[int, int],
    output: PartOutput,
) -> None:
    """One row for each line that this document keeps for its domain."""
    domain = domains.registered(row["url"])
    told = set[int]()
    for line, hash in zip(row["text"].split("\n"), hashes, strict=True):
        if hash is not None and hash in keeps and hash not in told:
            told.add(hash)
            shown.add(domain, keeps[hash], len(line), line[:_SHOWN], row["key"], row["url"])
            output.counts["repeated lines"] += 1


def _judged_again(
    row: Mapping[str, Any],
    hashes: Sequence[int | None],
    lost: AbstractSet[int],
    settings: ExtractSettings,
    output: PartOutput,
) -> dict[str, Any] | None:
    """The row with what is left of its text, or None with a rejection where that is no document any more."""
    found = shorten(row["text"], hashes, lost)
    output.counts["dropped lines"] += len(lost & set(hashes))
    output.counts["dropped characters"] += found.characters
    # Addresses are masked already: once more would take the stand-ins for addresses.
    result = judge(found.text, replace(settings, mask=False)) if found.text else Loss(Reason.NO_TEXT, "nothing left")
    if isinstance(result, Loss):
        detail = (
            f"{found.lines} lines of {found.characters} characters dropped, which other documents of the domain have; "
            f"the rest: {result.reason}, {result.detail}"
        )
        output.reject(Rejected(PARAGRAPHS, Reason.REPEATED_PARAGRAPHS, row["key"], row["url"], detail))
        return None
    output.counts["changed documents"] += 1
    return {
        **row,
        "text": result.text,
        "length": len(result.text),
        "language_probability": result.language_probability,
        "tokens": np.frombuffer(result.tokens, "<u2"),
        "token_count": len(result.tokens) // 2,
        "text_hash": result.text_hash,
        "signature": result.signature,
    }
