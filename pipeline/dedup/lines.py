"""Stages `lines` and `repeats`: which lines many documents of one registered domain have, and who keeps them.

What is compared is the hash of domain and line, 8 bytes beside the 8 of the document's id. They travel by files (see
exchange.py), not through an engine: so the ledger knows each of them, and the texts are read once.
"""

import hashlib
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from webtext.pipeline.dedup.groups import Groups, ids_of, parts_of
from webtext.pipeline.engine import exchange, packed
from webtext.pipeline.engine.stage import Part, PartOutput
from webtext.pipeline.files import tabular
from webtext.pipeline.identity import domains
from webtext.pipeline.settings import DedupSettings
from webtext.pipeline.text import minhash
from webtext.schemas import tables

_DIGIT = re.compile(r"\d")

U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class LinesPlan:
    """How lines travel, and which count."""

    settings: DedupSettings
    ranges: int  # of hashes: parts of the stage `repeats`
    documents: int  # parts of the documents
    rows: int = 500_000  # that are given to an exchange at once


def fingerprints(domain: str, text: str, least: int) -> list[int | None]:
    """A hash for each line of a text, equal for equal lines of one domain; None for a line that is never dropped.

    Lines are equal if they have the same words: case, punctuation and blanks do not count, and all digits are one
    (CCNet does nearly that), because pages say "Comments (12)". Not of a fast hash: whoever could make two lines meet
    could have a line of another site dropped.

    Args:
        domain: registered domain of the document.
        text: its text.
        least: characters of the shortest line that counts.
    """
    base = hashlib.blake2b(f"{domain}\n".encode("utf-8", "replace"), digest_size=8)
    found: list[int | None] = []
    for line in text.split("\n"):
        words = minhash.words(line) if len(line.strip()) >= least else []
        if not words:
            found.append(None)
            continue
        digest = base.copy()
        digest.update(_DIGIT.sub("0", " ".join(words)).encode("utf-8", "replace"))
        found.append(int.from_bytes(digest.digest(), "little"))
    return found


def run_lines(plan: LinesPlan, groups: Groups, part: Part, output: PartOutput) -> None:
    """Stage `lines`: the hashes of the lines of this group's documents, each once for a document."""
    least = plan.settings.paragraph_characters
    with exchange.publish(output, part, tables.LINE_HASHES, plan.ranges) as lines:
        for ordinal, path in groups[part.ordinal]:
            row = 0
            for batch in tabular.batches(path, ["url", "text"]):
                urls, texts = (column.to_pylist() for column in batch.columns)
                found = [
                    {hash for hash in fingerprints(domain, text, least) if hash is not None}
                    for domain, text in zip(map(domains.registered, urls), texts, strict=True)
                ]
                ids = np.repeat(ids_of(ordinal, row, len(found)), [*map(len, found)])
                hashes = np.fromiter((hash for own in found for hash in sorted(own)), np.uint64, len(ids))
                lines.add(
                    pa.table({"hash": hashes, "id": ids}, tables.LINE_HASHES), packed.part_of(hashes, plan.ranges)
                )
                row += len(found)
            output.taken += row
    output.rows = lines.rows
    output.passed = output.taken


def run_repeats(plan: LinesPlan, part: Part, output: PartOutput) -> None:
    """Stage `repeats`: the lines of this range of hashes that enough documents have, for each part of the documents.

    Takes about 90 bytes of memory for each line of the range, whether they are different or all the same.
    """
    table = exchange.read_table(part.inputs["sent"], part.ordinal, plan.ranges, tables.LINE_HASHES)
    hashes, ids, counts, kept = repeats(table["hash"].to_numpy(), table["id"].to_numpy(), plan.settings.paragraphs)
    output.taken = output.passed = table.num_rows
    output.rows = len(ids)
    output.counts["repeated lines"] = int(kept.sum())
    output.counts["dropped lines"] = len(ids) - int(kept.sum())
    with exchange.publish(output, part, tables.REPEATS, plan.documents) as found:
        for start in range(0, len(ids), plan.rows):
            cut = slice(start, start + plan.rows)
            rows = {"id": ids[cut], "hash": hashes[cut], "documents": counts[cut], "kept": kept[cut]}
            found.add(pa.table(rows, tables.REPEATS), parts_of(ids[cut]))


def repeats(hashes: U64, ids: U64, least: int) -> tuple[U64, U64, npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The lines that at least so many documents have: (hash, id, number of documents, whether this one keeps it).

    In order of hashes, then ids. The document with the smallest id keeps the line, which is the one with the smallest
    key. A pair of hash and id comes once at most.
    """
    order = np.lexsort((ids, hashes))
    hashes, ids = hashes[order], ids[order]
    _, starts, sizes = np.unique(hashes, return_index=True, return_counts=True)
    first = np.zeros(len(ids), np.bool_)
    first[starts] = True
    counts = np.repeat(sizes, sizes)
    enough = counts >= least
    return hashes[enough], ids[enough], counts[enough], first[enough]
