"""Documents parts made of plain texts. For tests of de-duplication."""

import numpy as np
from without_engine import run_here

from webtext.pipeline.engine import packed
from webtext.pipeline.engine.stage import Stage, numbered
from webtext.pipeline.identity import urls
from webtext.pipeline.text import minhash
from webtext.schemas import tables


def write_documents(work, texts, parts=1, scores=None):
    """The texts, by URL, as the stage `documents` writes them; gives its manifest."""
    rows = sorted((urls.link_key(url), url, text) for url, text in texts.items())
    hi, _ = packed.split_keys([key for key, _, _ in rows])
    owners = packed.part_of(hi, parts)

    def write(part, output):
        with output.table("documents", tables.DOCUMENTS) as table:
            for place in np.flatnonzero(owners == part.ordinal):
                key, url, text = rows[place]
                add(table, key, url, text, (scores or {}).get(url, 3))
                output.taken += 1
        output.passed = output.rows = output.taken

    inputs = [str(rows), str(scores)]
    return run_here(Stage("documents", str(work / "documents"), {}, inputs, numbered([{}] * parts), write, "pages"))


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
