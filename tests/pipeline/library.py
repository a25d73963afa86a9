"""Documents parts made of plain texts, and stages run in this process. For tests of de-duplication."""

from collections import defaultdict

import numpy as np

from pipeline import minhash, packed, urls
from pipeline import stage as stages
from pipeline.stage import PartOutput, Stage
from schemas import tables


def run_here(stage):
    """Bring a stage to its manifest without an engine."""
    blocks = defaultdict(list)
    if stage.shuffle:
        wanted = frozenset(part.ordinal for part in stage.parts)
        for source in stage.shuffle.sources:
            for ordinal, block in stage.shuffle.emit(source, wanted):
                blocks[ordinal].append(block)
    for part in stage.parts:
        PartOutput(stage, part).run(blocks[part.ordinal])
    return stages.complete(stage)


def write_documents(work, texts, parts=1, scores=None):
    """The texts, by URL, as the stage `documents` writes them; gives its manifest."""
    rows = sorted((urls.link_key(url), url, text) for url, text in texts.items())
    hi, _ = packed.split_keys([key for key, _, _ in rows])
    owners = packed.part_of(hi, parts)

    def write(part, output, blocks):
        with output.table("documents", tables.DOCUMENTS) as table:
            for place in np.flatnonzero(owners == part.ordinal):
                key, url, text = rows[place]
                add(table, key, url, text, (scores or {}).get(url, 3))
                output.taken += 1
        output.passed = output.rows = output.taken

    return run_here(Stage("documents", str(work / "documents"), {}, (), stages.numbered([()] * parts), write, "pages"))


def add(table, key, url, text, score=3):
    """Append one row of the documents table."""
    values = {
        "key": key,
        "url": url,
        "score": score,
        "text": text,
        "length": len(text),
        "tokens": [1, 2],
        "token_count": 2,
        "text_hash": minhash.text_hash(text),
        "signature": minhash.signature(text).astype("<u4").tobytes(),
    }
    table.add(*(values.get(field.name, "" if field.type == "string" else 0) for field in tables.DOCUMENTS))
