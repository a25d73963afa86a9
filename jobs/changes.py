"""`webtext changes`: what changed from one build or re-extraction to another."""

from dataclasses import dataclass

import tyro

from webtext.jobs.terminal import say


@dataclass(frozen=True)
class ChangesConfig:
    """Tell which documents were gained, lost or changed from one build or re-extraction to another.

    Writes changes.json and changes.html, and prints a summary.
    """

    before: tyro.conf.Positional[str]
    """Folder of a build or re-extraction whose stage `documents` is finished."""
    after: tyro.conf.Positional[str]
    """Another such folder."""
    output: str
    """Folder to write to."""


def run(config: ChangesConfig) -> int:
    """Compare, write, and print a summary."""
    from webtext.pipeline.account.changes import compare
    from webtext.pipeline.account.changes_page import JSON, PAGE, render, to_json
    from webtext.pipeline.files import storage

    found = compare(config.before, config.after)
    page, data = storage.join(config.output, PAGE), storage.join(config.output, JSON)
    storage.publish_bytes(data, to_json(found))
    storage.publish_bytes(page, render(found).encode())
    for name, old, new in (
        ("documents", found.before.documents, found.after.documents),
        ("tokens", found.before.tokens, found.after.tokens),
    ):
        say(f"{name}: {old:,} before, {new:,} after ({new - old:+,})")
    say(f"gained {found.gained:,}, lost {found.lost:,}, other text {found.changed:,}, same text {found.same:,}")
    for entry in found.transitions:
        tokens = entry.tokens_after - entry.tokens_before
        say(f"  {entry.pages:>9,}  {entry.before} -> {entry.after}  {tokens:+,} tokens")
    say(f"changes: {page}, {data}")
    return 0
