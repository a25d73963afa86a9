"""Stage `posts`: one Reddit dump or URL list to the posts that may make a link, sorted into hash ranges of their URLs.

The result is one Arrow file whose record batches go round and round the hash ranges: batch r * parts + p holds what was
read in round r for part p. So the `links` stage reads just its own batches of each file, and neither URLs nor titles
ever pass through an engine's shuffle or have to fit into memory.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from pipeline import packed, storage, submissions
from pipeline.links import Lists, select_post
from pipeline.settings import LinkSettings
from pipeline.stage import Part, PartOutput
from schemas import tables
from schemas.records import Reason, Rejected, Submission

STAGE = "posts"
_ROUND = 200_000  # posts held in memory


def run(settings: LinkSettings, parts: int, part: Part, output: PartOutput, blocks: Sequence[bytes]) -> None:
    """One input file to one file of posts. Inputs: the dump or list."""
    del blocks
    lists = Lists.load(settings)
    path = part.inputs[0]
    name = f"{part.name}.posts.arrow"
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        storage.open_binary(path) as stream,
        output.file(name) as sink,
        pa.ipc.new_file(sink, tables.POSTS, options=options) as writer,
    ):
        rows: list[tuple[Any, ...]] = []
        for found in _read(stream, path, settings, output):
            chosen = found if isinstance(found, Rejected) else select_post(found, settings, lists)
            output.taken += 1
            if isinstance(chosen, Rejected):
                output.reject(chosen)
                continue
            assert isinstance(found, Submission)
            key, url = chosen
            rows.append((key, url, found.id, found.score, found.created_utc, found.subreddit, found.title))
            output.passed += 1
            if len(rows) >= _ROUND:
                _write_round(writer, rows, parts)
                rows.clear()
        _write_round(writer, rows, parts)
    output.rows = output.passed
    output.set_rows(name, output.passed)


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
    """The posts of one part in a file that `run` wrote."""
    with storage.open_binary(path) as stream, pa.ipc.open_file(stream) as reader:
        for number in range(ordinal, reader.num_record_batches, parts):
            yield reader.get_batch(number)
