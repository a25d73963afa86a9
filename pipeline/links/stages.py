"""The stages `posts` and `links`: Reddit dumps and URL lists to posts, the posts of one URL to a link.

What the first stage hands to the second is a file of rounds for each input, see engine/exchange.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import groupby
from typing import Any, BinaryIO

import pyarrow as pa

from webtext.pipeline.engine import damage, exchange
from webtext.pipeline.engine.stage import Part, PartOutput, Stage, numbered, paths_of
from webtext.pipeline.files import storage
from webtext.pipeline.files.lines import TruncatedInputError, cut_end
from webtext.pipeline.flow import LINKS, POSTS, POSTS_FILE
from webtext.pipeline.links.dumps import Post, read_posts
from webtext.pipeline.links.exports import TableError
from webtext.pipeline.links.health import Histogram
from webtext.pipeline.links.rules import Lists, merge_posts, select_post
from webtext.pipeline.settings import LinkSettings
from webtext.schemas import tables
from webtext.schemas.manifest import StageManifest
from webtext.schemas.records import Reason, Rejected, Submission


def posts_stage(settings: LinkSettings, parts: int, submissions: Sequence[storage.Found], work: str) -> Stage:
    """Each dump, line by line: the posts that may make a link, sorted into hash ranges of their URLs."""
    return Stage(
        name=POSTS,
        folder=storage.join(work, POSTS),
        settings={**asdict(settings), "parts": parts},
        inputs=[found.line() for found in submissions],
        parts=numbered({"submissions": [found.path]} for found in submissions),
        run=partial(run_posts, settings, parts),
        unit="lines",
    )


def run_posts(settings: LinkSettings, parts: int, part: Part, output: PartOutput) -> None:
    """Stage `posts`: the posts of one file that may make a link. Inputs: the dump or list."""
    lists = Lists.load(settings)
    [path] = part.inputs["submissions"]
    months = Histogram()
    with (
        storage.open_binary(path) as stream,
        exchange.publish_rows(output, part.name + POSTS_FILE, tables.POSTS, parts) as rows,
    ):
        for post in _records(stream, path, settings, output):
            chosen = select_post(post, settings, lists)
            if isinstance(chosen, Rejected):
                output.reject(chosen)
                continue
            key, url = chosen
            rows.add(key, url, post.id, post.score, post.created_utc, post.subreddit, post.title)
            months.add(post.created_utc, post.score, post.retrieved_utc)
            output.passed += 1
    output.rows = output.passed
    with output.table("months", tables.MONTHS) as table:
        for row in months.rows():
            table.add(*row)


def _records(stream: BinaryIO, path: str, settings: LinkSettings, output: PartOutput) -> Iterator[Post]:
    """The posts of a file; what is none is rejected. Lines of a URL list have no score: they pass the threshold."""
    found: Post | Rejected | None = None
    try:
        for found in read_posts(stream, path, list_score=settings.score):
            output.taken += 1
            if isinstance(found, Rejected):
                output.reject(found)
            else:
                yield found
        why = cut_end(stream, path, whole=not isinstance(found, Rejected))
        read = output.taken - 1 if found else 0  # without the line that was cut
    except TruncatedInputError as error:
        why, read = error.why, output.taken
        output.taken += 1  # the line that was cut
        output.reject(Rejected(POSTS, Reason.BAD_LINE, b"", "", str(error)))
    except TableError as error:
        why, read = error.why, 0
        output.taken += 1  # its header
        output.reject(Rejected(POSTS, Reason.BAD_LINE, b"", "", str(error)))
    if why:
        output.counts["truncated_inputs"] += 1
        damage.write(output, [damage.Damaged(path, read, why)])


def links_stage(settings: LinkSettings, parts: int, posts: StageManifest, work: str) -> Stage:
    """Each hash range of URLs: the posts of one URL merge, and their score decides."""
    return Stage(
        name=LINKS,
        folder=storage.join(work, LINKS),
        settings={**asdict(settings), "parts": parts},
        inputs=[posts.digest()],
        parts=numbered([{"posts": paths_of(work, posts, POSTS_FILE)}] * parts),
        run=partial(run_links, settings, parts),
        unit="posts",
        expects={"taken": posts.tally.rows},
    )


def run_links(settings: LinkSettings, parts: int, part: Part, output: PartOutput) -> None:
    """Stage `links`: all posts of one hash range to its links, in order of the keys. Inputs: the files of posts."""
    posts = exchange.read_table(part.inputs["posts"], part.ordinal, parts, tables.POSTS).sort_by("key")
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
