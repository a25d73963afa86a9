"""Files of stages that did not run, with the receipts that their readers ask for."""

import hashlib
from pathlib import Path

from webtext.pipeline.files.checksums import BlockSums
from webtext.pipeline.files.tabular import TableWriter
from webtext.schemas.manifest import RECEIPT, File, Receipt, Tally


def write_table(path, schema, rows, stage="links"):
    """The table. Returns the receipt of its part."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        writer = TableWriter(stream, schema)
        for row in rows:
            writer.add(*row)
        writer.close()
    return vouch_for([path], stage, writer.rows)


def vouch_for(paths, stage="links", rows=0):
    """Write the receipt of the part whose files lie at these paths, and return it."""
    part = paths[0].name.split(".")[0]
    files, sums = [], {}
    for path in paths:
        data = path.read_bytes()
        blocks = BlockSums()
        blocks.update(memoryview(data))
        files.append(File(path.name, len(data), hashlib.sha256(data).hexdigest(), rows))
        sums[path.name] = blocks.text()
    receipt = Receipt(stage, part, "f", Tally(rows, rows, rows), tuple(files), sums)
    (paths[0].parent / (part + RECEIPT)).write_bytes(receipt.to_json())
    return receipt
