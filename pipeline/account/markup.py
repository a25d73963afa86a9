"""Pieces of HTML from text that strangers wrote. What these functions return is safe to put into a page.

Addresses come from Reddit posts: they may hold markup, script schemes, or characters that turn the direction of the
text around them. So all text is escaped, what can't be seen is spelled out, and only http and https become links.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources

from webtext.schemas.visible import visible

_SHOWN = 110  # characters of a URL
_SLIVER = 0.5  # percent of a bar: the least that is still seen


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    style: str = ""  # a class of the page's style sheet


def text(value: str, limit: int = 0) -> str:
    """`value` as HTML text, at most `limit` characters of it (0: all); the middle gives way."""
    if limit and len(value) > limit:
        end = limit // 3
        value = f"{value[: limit - end - 1]}…{value[-end:]}"
    return html.escape(visible(value))


def address(url: str) -> str:
    """A URL: shown in part, linked in full if it is http or https."""
    shown = f"<bdi>{text(url, _SHOWN)}</bdi>"
    linkable = url.startswith(("http://", "https://")) and url.isprintable() and " " not in url
    if not linkable:
        return f'<span class="url">{shown}</span>'
    return f'<a class="url" rel="noreferrer nofollow noopener" href="{html.escape(url)}">{shown}</a>'


def percent(part: int, whole: int) -> str:
    """A share in percent; what is neither nothing nor everything never reads as such."""
    if not whole or part == whole:
        return "100 %" if whole else ""
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if share > 99.9 else f"{share:.1f} %"


def bar(total: int, *segments: tuple[str, int], start: int = 0) -> str:
    """Horizontal segments (class, length), one after the other from `start`, on a track of length `total`.

    The drawing stretches to the width of its place, which letters must not: they stand beside it, as HTML.
    """
    drawn = []
    scale = 100 / max(total, 1)
    for style, length in segments:
        width = max(length * scale, _SLIVER) if length else 0.0
        x = min(start * scale, 100 - width)
        drawn.append(f'<rect class="{style}" x="{x:.3f}" width="{width:.3f}" height="1"/>')
        start += length
    return f'<svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">{"".join(drawn)}</svg>'


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], stacked: bool = False) -> str:
    """A table of cells that are HTML already. Where the page is too narrow it scrolls, or its cells stack up."""
    head = "".join(f'<th scope="col"{_class(column.style)}>{column.title}</th>' for column in columns)
    body = "".join(f"<tr>{_cells(columns, row)}</tr>\n" for row in rows)
    return (
        f'<div class="scroll"><table{_class("stacked" if stacked else "")}><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>\n"
    )


def _cells(columns: Sequence[Column], row: Sequence[str]) -> str:
    # The style sheet shows the label where the cells stack up and have no head.
    return "".join(
        f'<td{_class(column.style)} data-label="{column.title}">{cell}</td>'
        for column, cell in zip(columns, row, strict=True)
    )


def _class(style: str) -> str:
    return f' class="{style}"' if style else ""


def figures(*shown: tuple[str, str, str]) -> str:
    """Large figures side by side: (title, figure, note) of each."""
    return "".join(
        f"<div><dt>{title}</dt><dd>{figure}<small>{note}</small></dd></div>\n" for title, figure, note in shown
    )


def template(name: str) -> str:
    """A file of the folder templates."""
    return resources.files("webtext.pipeline.account").joinpath("templates", name).read_text("utf-8")
