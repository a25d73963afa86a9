"""The funnel of a build in the terminal: what went in, what was lost at each stage, by reason and count."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from webtext.pipeline import flow
from webtext.pipeline.account.funnel import beside, funnel_rows
from webtext.pipeline.dedup import accuracy
from webtext.schemas.manifest import CorpusManifest
from webtext.schemas.visible import visible


def print_funnel(manifest: CorpusManifest, console: Console, warnings: Iterable[str] = ()) -> None:
    """Print one line for each stage and one for each reason, then the warnings about the input."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("stage")
    table.add_column("records", justify="right")
    table.add_column("", overflow="fold")
    for row in funnel_rows(manifest):
        table.add_row(visible(row.title), f"{row.taken:,}", visible(row.unit), style="bold")
        for reason, count in row.reasons:
            table.add_row("", f"-{count:,}", f"{reason}: {reason.words}")
        for rule, count in row.rules:
            table.add_row("", f"({count:,})", visible(f"by {rule}"), style="dim")
        becomes = "" if row.becomes == f"{row.passed:,} {row.unit}" else f": {row.becomes}"
        table.add_row("", f"{row.passed:,}", f"go on{becomes}")
    console.print(table, highlight=False, markup=False)
    for sentence in accuracy.sentences(beside(manifest, flow.ACCURACY).counts):
        console.print(sentence, highlight=False, markup=False)
    for warning in warnings:
        console.print(visible(f"warning: {warning}"), style="yellow", highlight=False, markup=False)
