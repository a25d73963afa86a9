"""Code as pages show it to <pre>: with line numbers in a cell, an element for each line, <br> in <code>."""

import re
from typing import Any, Final

from lxml import etree  # type: ignore[import-untyped]

from webtext.pipeline.documents.rendering import code_text

# Classes of highlighters: Pygments, GeSHi, SyntaxHighlighter, Crayon, highlight.js, Prettify, GitHub.
_NAMED: Final = re.compile(
    r"(?:^|[\s_-])(?:blob|code|codehilite|crayon|dp|geshi|highlight|highlighter|highlighttable|hljs|prettyprint|syntaxhighlighter)(?:$|[\s_-])"
)
_NUMBER: Final = re.compile(r"\d{1,6}")
_SOURCE_SPACE: Final = re.compile(r"[ \t\r\n\f]+")
_CODE: Final = ("pre", "code")


def code_to_pre(tree: Any) -> None:
    """Change the tree in place."""
    for table in list(tree.iter("table")):
        if table.getparent() is not None and (lines := _lines_of_table(table)) is not None:
            _become_pre(table, lines)
    for container in _line_containers(tree):
        if container.getparent() is not None:
            _become_pre(container, "\n".join(map(code_text, container)))
    for figure in list(tree.iter("figure")):
        if next(figure.iter(*_CODE), None) is not None:
            figure.tag = "div"
    for code in list(tree.iter("code")):
        if next(code.iter("br"), None) is not None and next(code.iterancestors("pre"), None) is None:
            _collapse_source(code)
            code.tag = "pre"


def _become_pre(element: Any, text: str) -> None:
    element.clear(keep_tail=True)
    element.tag = "pre"
    element.text = text


def _is_named(element: Any) -> bool:
    return _NAMED.search(element.get("class", "")) is not None


def _lines_of_table(table: Any) -> str | None:
    """The code of a table with line numbers or with a row for each line; None for another table."""
    rows = [[cell for cell in row if cell.tag in ("td", "th")] for row in table.iter("tr")]
    if (
        not rows
        or any(len(row) not in (1, 2) for row in rows)
        or next(table.iterdescendants("table"), None) is not None
    ):
        return None
    codes = [row[-1] for row in rows]
    numbered = [row[0] for row in rows if len(row) == 2]
    if (not numbered and len(rows) == 1) or not all(map(_has_numbers, numbered)):
        return None
    if not (_is_named(table) or _is_named(codes[0])) and not all(
        next(cell.iter(*_CODE), None) is not None or not cell.text_content().strip() for cell in codes
    ):
        return None
    return "\n".join(map(code_text, codes))


def _has_numbers(cell: Any) -> bool:
    return all(_NUMBER.fullmatch(word) for word in cell.text_content().split())


def _line_containers(tree: Any) -> list[Any]:
    """Elements of which each child is a line of code."""
    parents: dict[Any, None] = {}
    for code in tree.iter("code"):
        line = code.getparent()
        if line is not None and line.tag in ("div", "p", "li") and line.getparent() is not None:
            parents[line.getparent()] = None
    found = [
        parent
        for parent in parents
        if len(parent) > 1 and (parent.tag not in ("ol", "ul") or _is_named(parent)) and all(map(_is_line, parent))
    ]
    lists = (each for each in tree.iter("ol", "ul") if len(each) > 1 and _is_named(each) and each not in parents)
    return found + [each for each in lists if next(each.iter("a"), None) is None]


def _is_line(element: Any) -> bool:
    """Whether all text of an element is in <code>."""
    texts = (element.text, *(child.tail for child in element))
    return all(child.tag == "code" for child in element) and not any(text and text.strip() for text in texts)


def _collapse_source(code: Any) -> None:
    """Outside of <pre>, line ends of the source are blanks; no-break spaces make the indentation."""
    for element in code.iter(etree.Element):
        element.text = _SOURCE_SPACE.sub(" ", element.text or "")
        if element is not code:
            tail = _SOURCE_SPACE.sub(" ", element.tail or "")
            element.tail = tail.removeprefix(" ") if element.tag == "br" else tail
    code.text = code.text.removeprefix(" ")
