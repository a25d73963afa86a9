"""`webtext verify`: check every file of a corpus against its manifest."""

import sys
from dataclasses import dataclass

import tyro
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from webtext.jobs.terminal import complain, say


@dataclass(frozen=True)
class VerifyConfig:
    """Check every file of a corpus against its manifest, and the manifest against itself.

    Prints each problem on one line. Exit status 0 for a sound corpus, 1 for any other.
    """

    corpus: tyro.conf.Positional[str]
    """Folder with manifest.json: a local path, gs://... or s3://..."""


def run(config: VerifyConfig) -> int:
    """Print what is wrong with the corpus, or that it is sound."""
    from webtext.pipeline.release import verify

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    # Lines pass above the bar where both go to the same terminal; a redirected stdout stays what it is.
    bar = Progress(
        *columns, console=Console(stderr=True), redirect_stdout=sys.stdout.isatty(), disable=not sys.stderr.isatty()
    )
    count = 0
    with bar as progress:
        task = progress.add_task("verify", total=None)
        for problem in verify.problems(
            config.corpus, lambda read, total: progress.update(task, completed=read, total=total)
        ):
            say(problem)
            count += 1
    if count:
        complain(f"{config.corpus}: {count} {'problem' if count == 1 else 'problems'}")
        return 1
    manifest, _ = verify.read_manifest(config.corpus)
    assert manifest is not None  # no problem was found with it
    documents, tokens = (sum(getattr(shard, unit) for shard in manifest.shards) for unit in ("documents", "tokens"))
    say(
        f"ok: {len(manifest.shards)} shards, {documents:,} documents, {tokens:,} tokens, "
        f"sha256 of content {manifest.content_sha256()}"
    )
    return 0
