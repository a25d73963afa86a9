"""Kept documents to the corpus: Arrow token shards to train on, Parquet text to read.

One element is one shard. A shard takes a range of documents parts, and those are ranges of a hash, so shards are a
random sample of the corpus in an order that depends on nothing but the URLs.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from webtext.pipeline.engine.stage import Part, PartOutput, Stage, paths_of
from webtext.pipeline.files import storage, tabular
from webtext.pipeline.flow import CORPUS, DECISIONS_TABLE, DOCUMENTS_TABLE, SHARDS
from webtext.pipeline.settings import ShardSettings
from webtext.schemas import tables, vocabulary
from webtext.schemas.manifest import Receipt, StageManifest
from webtext.schemas.records import TokenShard

TOKENS = ".arrow"  # endings of the two files of a shard
TEXT = ".parquet"
_WRITING = {**tabular.WRITING, "compression_level": 3}  # the text is kept and sent around
_MAX_TOKENS = 2**31 - 1  # of one shard: Arrow's list offsets have 32 bits


def shards_stage(
    settings: ShardSettings, parts: int, documents: StageManifest, decisions: StageManifest, work: str
) -> Stage:
    """The kept documents as Arrow token shards and as text.

    Args:
        settings: how large a shard is.
        parts: of the documents.
        documents: the manifest of the stage with the text that the corpus has.
        decisions: the manifest of the stage that decided on each of them.
        work: the folder of the build.
    """
    counts = {f"{split}_{unit}": 0 for split in ("train", "val") for unit in ("documents", "tokens")}
    counts |= {name: count for name, count in decisions.tally.counts.items() if name in counts}
    splits = [plan(split, counts[f"{split}_tokens"], parts, settings) for split in ("train", "val")]
    texts, decided = paths_of(work, documents, DOCUMENTS_TABLE), paths_of(work, decisions, DECISIONS_TABLE)
    return Stage(
        name=SHARDS,
        folder=storage.join(work, SHARDS),
        settings={},
        inputs=[decisions.digest()],
        parts=shard_parts(splits, texts, decided),
        run=run_shards,
        unit="documents",
        expects={"taken": decisions.tally.rows, **counts},
        data_folder=storage.join(work, CORPUS),
    )


def token_shard(receipt: Receipt) -> TokenShard:
    """What a shard's receipt says of it, as the corpus manifest lists it."""
    [file] = (file for file in receipt.files if file.name.endswith(TOKENS))
    split = receipt.part.split("-")[0]
    tokens = receipt.tally.counts[f"{split}_tokens"]
    return TokenShard(file.name, split, file.rows, tokens, file.bytes, file.sha256)


@dataclass(frozen=True, slots=True)
class Split:
    """How many shards a split has."""

    name: str  # train or val
    shards: int


def plan(name: str, tokens: int, parts: int, settings: ShardSettings) -> Split:
    """As many shards as come nearest to the wanted size, at least one, at most one per documents part."""
    return Split(name, min(max(1, math.ceil(tokens / settings.tokens)), parts))


def shard_parts(splits: Sequence[Split], documents: Sequence[str], decisions: Sequence[str]) -> tuple[Part, ...]:
    """One part per shard, named as its file: train-00000, ..., val-00000, ..."""
    made: list[Part] = []
    for split in splits:
        for number in range(split.shards):
            start, end = (len(documents) * n // split.shards for n in (number, number + 1))
            inputs = {"documents": tuple(documents[start:end]), "decisions": tuple(decisions[start:end])}
            made.append(Part(f"{split.name}-{number:05d}", len(made), inputs))
    return tuple(made)


def run_shards(part: Part, output: PartOutput) -> None:
    """Stage `shards`: one token shard and its text table."""
    split = part.name.split("-")[0]
    chunks: list[pa.Table] = []
    with output.file(f"text/{part.name}{TEXT}") as sink, pq.ParquetWriter(sink, tables.TEXT, **_WRITING) as texts:
        for documents, decisions in zip(part.inputs["documents"], part.inputs["decisions"], strict=True):
            for table in _kept(documents, decisions, split):
                texts.write_table(_text(table))
                chunks.append(table.select(["tokens", "key", "url"]))
            pa.default_memory_pool().release_unused()  # else what all parts leave behind adds up in the val shard
        sink.rows = sum(chunk.num_rows for chunk in chunks)
    batch = token_batch(chunks)
    output.taken = output.passed = output.rows = batch.num_rows
    output.counts[f"{split}_documents"] = batch.num_rows
    output.counts[f"{split}_tokens"] = len(batch.column("tokens").values)
    with output.file(f"{part.name}{TOKENS}") as sink, pa.ipc.new_file(sink, tables.TOKENS) as writer:
        writer.write_batch(batch)
        sink.rows = batch.num_rows


def _kept(documents: str, decisions: str, split: str) -> Iterator[pa.Table]:
    """The documents of this split, a row group at a time, with the columns of their decisions."""
    decided = tabular.read_columns(decisions)
    row = 0
    with tabular.open_parquet(documents) as table:
        for group in range(table.num_row_groups):
            count = table.metadata.row_group(group).num_rows
            mine = decided.slice(row, count)
            row += count
            wanted = pc.equal(mine["split"], split)
            if pc.any(wanted).as_py():
                chunk = table.read_row_group(group, use_threads=False)
                yield (
                    chunk.append_column("cluster", mine["cluster"]).append_column("split", mine["split"]).filter(wanted)
                )


def _text(table: pa.Table) -> pa.Table:
    return table.select(tables.TEXT.names).cast(tables.TEXT)


def token_batch(chunks: Sequence[pa.Table]) -> pa.RecordBatch:
    """All documents as one record batch whose token values are one contiguous stream, each closed by end-of-text.

    Args:
        chunks: tables with the columns tokens, key, url.

    Raises:
        ValueError: there are more tokens than a shard can hold.
    """
    total = sum(pc.sum(pc.list_value_length(chunk["tokens"])).as_py() or 0 for chunk in chunks)
    rows = sum(chunk.num_rows for chunk in chunks)
    if total + rows > _MAX_TOKENS:
        raise ValueError(
            f"a shard of {total + rows} tokens, at most {_MAX_TOKENS} fit: lower --shards.tokens or raise --parts"
        )
    values = np.empty(total + rows, np.uint16)
    offsets = np.zeros(rows + 1, np.int32)
    end = row = 0
    for chunk in chunks:
        lists = chunk["tokens"].combine_chunks()
        ends = np.cumsum(pc.list_value_length(lists).to_numpy()) if len(lists) else np.empty(0, np.int64)
        closed = np.insert(lists.flatten().to_numpy(), ends, vocabulary.END_OF_TEXT)
        values[end : end + len(closed)] = closed
        offsets[row + 1 : row + 1 + len(ends)] = end + ends + np.arange(1, len(ends) + 1)
        end, row = end + len(closed), row + len(ends)
    tokens = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values), type=tables.TOKENS.field("tokens").type)
    columns = [_whole(chunks, name) for name in ("key", "url")]
    return pa.RecordBatch.from_arrays([tokens, *columns], schema=tables.TOKENS)


def _whole(chunks: Sequence[pa.Table], name: str) -> pa.Array:
    kind = tables.TOKENS.field(name).type
    return pa.chunked_array([piece for chunk in chunks for piece in chunk[name].chunks], kind).combine_chunks()
