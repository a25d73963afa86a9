"""`webtext why`: tell what became of one URL, and why."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from webtext.jobs.terminal import say_json
from webtext.pipeline import flow
from webtext.schemas.visible import visible_strings

if TYPE_CHECKING:  # loaded when the job runs: pyarrow and the rest of the pipeline take a second
    from webtext.pipeline.account.why import Capture, Post, Story


_OPEN = ("undecided", "not_linked", "not_given")


@dataclass(frozen=True)
class WhyConfig:
    """Tell what became of URLs: posts, captures, extraction, copies, place in the corpus, and the verdict.

    Exit status 0 if the build knows every one of them, else 1. An unfinished build tells what it knows so far.
    """

    urls: tyro.conf.Positional[tuple[str, ...]]
    """URLs in any spelling; of a build from texts also their ids."""
    work: str
    """Folder of the build, as given to `webtext build`."""
    json: bool = False
    """One JSON object for each URL, one a line, instead of text."""

    def __post_init__(self) -> None:
        """Refuse an empty question."""
        if not self.urls:
            raise ValueError("no URL to tell of: give one or more")


def run(config: WhyConfig) -> int:
    """Print the story of each URL."""
    from webtext.pipeline.account.why import Build, tell

    build = Build(config.work)
    console = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 100)
    known = True
    for url in config.urls:
        story = tell(build, url)
        known &= story.known
        if config.json:
            say_json(story.to_object())
        else:
            console.print(_render(visible_strings(story)), "")
    return 0 if known else 1


def _render(story: "Story") -> Table:
    """A story on one screen: a label for each step that the URL came to, and the verdict."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("asked", Text(story.asked, "bold", overflow="fold"))
    if story.url:
        page = story.link.url if story.link else story.url
        if page != story.asked:
            grid.add_row("url", Text(page, overflow="fold"))
        grid.add_row("key", story.key)
    if story.posts:
        grid.add_row("posts", _posts(story.posts))
    _refusals(grid, flow.POSTS, story)
    _refusals(grid, flow.TEXTS, story)
    if story.link:
        rule = "the best post counts" if story.link.rule == "per-post" else "all posts count together"
        grid.add_row("link", f"score {story.link.score}: {rule}, at least {story.link.threshold} wanted")
    _refusals(grid, flow.LINKS, story)
    if story.captures:
        grid.add_row("captures", _captures(story.captures))
        if story.captures_found > len(story.captures):
            grid.add_row("", f"and {story.captures_found - len(story.captures)} more")
    _refusals(grid, flow.PAGES, story)
    if story.text:
        text = story.text
        size = f"{text.tokens:,} tokens, {text.characters:,} characters"
        language = f"English with probability {text.language_probability:.2f}"
        grid.add_row("document", Text(f"{size}, {language}\n{text.title}", overflow="fold"))
    _refusals(grid, flow.DOCUMENTS, story)
    _refusals(grid, flow.PARAGRAPHS, story)
    if story.copy_of:
        grid.add_row("copy of", Text(f"{story.copy_of.url}  similarity {story.copy_of.similarity:.2f}"))
    for number, copy in enumerate(story.copies):
        grid.add_row("" if number else "displaced", Text(f"{copy.url}  similarity {copy.similarity:.2f}"))
    if story.place:
        place = story.place
        grid.add_row(
            "corpus", f"{place.shard}, row {place.row:,}, {place.tokens:,} tokens from token {place.offset:,} on"
        )
    colour = "green" if story.verdict == "kept" else "yellow" if story.verdict in _OPEN else "red"
    grid.add_row("verdict", Text.assemble((story.verdict, f"bold {colour}"), f"  {story.explanation}"))
    return grid


def _refusals(grid: Table, stage: str, story: "Story") -> None:
    """What the stage refused, under the name of what it refuses."""
    for refusal in story.refusals:
        if refusal.stage == stage:
            grid.add_row("refused", Text.assemble((refusal.reason, "red"), f"  {refusal.detail}"))


def _posts(posts: Sequence["Post"]) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(4):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for post in posts:
        if not post.id:
            table.add_row("in a URL list")
            continue
        points = f"{post.score:,} point{'' if post.score == 1 else 's'}"
        table.add_row(
            post.id, _date(post.created_utc), Text(points), Text(f"r/{post.subreddit}"), Text(post.title, "dim")
        )
    return table


def _captures(captures: Sequence["Capture"]) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for capture in captures:
        state: Text = Text("chosen", "green") if capture.chosen else Text(capture.verdict or "usable")
        answer = f"{capture.status} {capture.content_type}" if capture.status else "no answer"
        table.add_row(_date(capture.captured_utc), answer, state, Text(_origin(capture), overflow="fold"))
    return table


def _origin(capture: "Capture") -> str:
    """Where a capture is from and where it lies, or why there is none."""
    from webtext.pipeline.account.why import ARCHIVES, EXPLANATIONS, FETCHED

    archive = f"{capture.archive.rsplit('/', 1)[-1]} at byte {capture.offset:,}"
    if capture.source == ARCHIVES:
        return f"{archive}: {capture.detail}" if capture.detail else archive
    if capture.offset >= 0:
        return f"{capture.source}, {archive}"
    source = "not fetched" if capture.source == FETCHED else capture.source
    return f"{source}: {capture.detail or EXPLANATIONS.get(capture.verdict, 'nothing is stored')}"


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
