"""The stages `posts` and `links`: Reddit dumps and URL lists to posts, the posts of one URL to a link.

What the first stage hands to the second is one Arrow file for each input, whose record batches go round and round the
hash ranges of the link keys: batch r * parts + p holds what was read in round r for part p. So a part of `links` reads
just its own batches of each file, and neither URLs nor titles ever pass through an engine's shuffle or have to fit into
memory.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from pipeline import packed, storage
from pipeline.health import Histogram
from pipeline.links import Lists, merge_posts, select_post
from pipeline.settings import LinkSettings
from pipeline.stage import Part, PartOutput
from pipeline.submissions import STAGE, Post, TruncatedInput, read_posts
from schemas import tables
from schemas.records import Reason, Rejected, Submission

_ROUND = 200_000  # posts held in memory


def select(settings: LinkSettings, parts: int, part: Part, output: PartOutput, blocks: Sequence[bytes]) -> None:
    """Stage `posts`: the posts of one file that may make a link. Inputs: the dump or list."""
    del blocks
    lists = Lists.load(settings)
    path = part.inputs[0]
    name = f"{part.name}.posts.arrow"
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    months = Histogram()
    with (
        storage.open_binary(path) as stream,
        output.file(name) as sink,
        pa.ipc.new_file(sink, tables.POSTS, options=options) as writer,
    ):
        rows: list[tuple[Any, ...]] = []
        for post in _records(stream, path, settings, output):
            chosen = select_post(post, settings, lists)
            if isinstance(chosen, Rejected):
                output.reject(chosen)
                continue
            key, url = chosen
            rows.append((key, url, post.id, post.score, post.created_utc, post.subreddit, post.title))
            months.add(post.created_utc, post.score, post.retrieved_utc)
            output.passed += 1
            if len(rows) >= _ROUND:
                _write_round(writer, rows, parts)
                rows.clear()
        _write_round(writer, rows, parts)
    output.rows = output.passed
    output.set_rows(name, output.passed)
    with output.table("months", tables.MONTHS) as table:
        for row in months.rows():
            table.add(*row)


def _records(stream: BinaryIO, path: str, settings: LinkSettings, output: PartOutput) -> Iterator[Post]:
    """The posts of a file; what is none is rejected. Lines of a URL list have no score: they pass the threshold."""
    try:
        for found in read_posts(stream, path, list_score=settings.score):
            output.taken += 1
            if isinstance(found, Rejected):
                output.reject(found)
            else:
                yield found
    except TruncatedInput as error:
        output.taken += 1  # the line that was cut
        output.counts["truncated_inputs"] += 1
        output.reject(Rejected(STAGE, Reason.BAD_LINE, b"", "", str(error)))


def _write_round(writer: Any, rows: list[tuple[Any, ...]], parts: int) -> None:
    """One record batch for each part, also where it is empty: their places are what readers go by."""
    columns = zip(*rows, strict=True) if rows else ([] for _ in tables.POSTS)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, tables.POSTS, strict=True)]
    batch = pa.RecordBatch.from_arrays(arrays, schema=tables.POSTS)
    hi, _ = packed.split_keys([row[0] for row in rows])
    owners = packed.part_of(hi, parts)
    order = np.argsort(owners, kind="stable")
    bounds = np.searchsorted(owners[order], np.arange(parts + 1))
    batch = batch.take(pa.array(order))
    for start, end in pairwise(bounds):
        writer.write_batch(batch.slice(start, end - start))


def read_part(path: str, ordinal: int, parts: int) -> Iterator[pa.RecordBatch]:
    """What one file of posts holds for one part."""
    with storage.open_binary(path) as stream, pa.ipc.open_file(stream) as reader:
        for number in range(ordinal, reader.num_record_batches, parts):
            yield reader.get_batch(number)


def merge(settings: LinkSettings, parts: int, part: Part, output: PartOutput, blocks: Sequence[bytes]) -> None:
    """Stage `links`: all posts of one hash range to its links, in order of the keys. Inputs: the files of posts."""
    del blocks
    batches = [batch for path in part.inputs for batch in read_part(path, part.ordinal, parts)]
    posts = pa.Table.from_batches(batches, tables.POSTS).sort_by("key")
    output.taken = posts.num_rows
    with output.table("links", tables.LINKS) as table:
        for _, group in groupby(_rows(posts), key=lambda row: row[0]):
            found = [(url, post) for _, url, post in group]
            link, duplicates = merge_posts(found, settings)
            output.counts["urls"] += 1
            for duplicate in duplicates:
                output.reject(duplicate)
            if isinstance(link, Rejected):
                output.counts["urls_below_score"] += 1
                output.reject(link, records=len(found) - len(duplicates))
            else:
                table.add(link.key, link.url, link.score, link.created_utc, [_provenance(post) for post in link.posts])
                output.passed += len(link.posts)
                output.rows += 1


def _rows(posts: pa.Table) -> Iterator[tuple[bytes, str, Submission]]:
    for batch in posts.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            yield row.pop("key"), row["url"], Submission(**row)


def _provenance(post: Submission) -> dict[str, Any]:
    return {name: getattr(post, name) for name in ("id", "score", "created_utc", "subreddit", "title")}
