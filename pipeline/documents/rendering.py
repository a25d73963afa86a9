"""An element as the blocks of text that a browser shows: white space collapsed outside of code, rows and lists whole.

Tags are those of HTML; what a pass of extraction has renamed for trafilatura's tests (`ref`, `list`, `item`) is known
too. Source: HTML section 15.3 (which elements are blocks, `pre`, `q`), CSS Text section 4.1.1 (white space).
"""

from typing import Any, Final, NamedTuple

_HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_PREFORMATTED: Final = frozenset({"pre", "listing", "xmp", "plaintext", "textarea"})
_BLOCK_NAMES = (
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup html item legend li list main menu nav "
    "ol listing optgroup option p plaintext pre search section summary table tbody td textarea tfoot th thead tr ul xmp"
)
_BLOCKS: Final = frozenset(_BLOCK_NAMES.split())
_SILENT: Final = frozenset({"head", "script", "style", "template"})
_KINDS: Final = dict.fromkeys(_HEADINGS, "heading") | {"p": "paragraph", "blockquote": "paragraph", "item": "item"}
_NO_KIND: Final = frozenset({"div", "section", "article", "main", "center", "body"})
_BULLET: Final = "- "
_LINE: Final = "\0"  # a line break of <br>; no text from a parser has it
_UNSEEN: Final = " \u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"  # what stands alone where editors left it
_ROW_LENGTH: Final = 600  # characters; what is longer is a layout, not a row of data
_CELL_BLOCKS: Final = 4
_MOST_TABLES: Final = 30  # one in the other; what is deeper is read as other blocks are


class Block(NamedTuple):
    """Text that stands by itself on a page."""

    kind: str
    """"paragraph", "heading", "item", "row", "code", or "loose": text right in a container."""
    text: str
    """Not empty; more than one line in code, and where the page has <br>."""
    links: int = 0
    """Characters of it that are in links."""


def render(element: Any) -> list[Block]:
    """The blocks of an element in their order."""
    return _Renderer(0).blocks_of(element)


def joined(blocks: list[Block]) -> str:
    """Blocks as a text: one line feed between two."""
    return "\n".join(block.text for block in blocks)


def code_text(element: Any) -> str:
    """The lines of preformatted text with their indentation, without blank lines before and after."""
    pieces: list[str] = []
    _code_pieces(element, pieces)
    text = "".join(pieces).replace("\r\n", "\n").replace("\r", "\n").replace("\xa0", " ")
    return "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")


def _code_pieces(element: Any, pieces: list[str]) -> None:
    pieces.append(element.text or "")
    for child in element:
        if child.tag == "br":
            pieces.append("\n")
        elif isinstance(child.tag, str):
            is_line = child.tag in _BLOCKS
            if is_line and pieces and "".join(pieces[-2:])[-1:] not in ("", "\n"):
                pieces.append("\n")
            _code_pieces(child, pieces)
            if is_line:
                pieces.append("\n")
        pieces.append(child.tail or "")


class _Renderer:
    """The walk over an element, without recursion but for tables; text gathers until a block ends."""

    def __init__(self, tables: int) -> None:
        self._tables = tables  # around the element
        self._blocks: list[Block] = []
        self._pieces: list[str] = []
        self._links = 0
        self._in_link = False
        self._kind = "loose"
        self._marker = ""

    def blocks_of(self, element: Any) -> list[Block]:
        """The blocks of an element, without its tail."""
        self._walk(element)
        self._close()
        return self._blocks

    def _close(self) -> None:
        """End the block that is open."""
        if self._pieces:
            text = "".join(self._pieces)
            self._pieces.clear()
            line_end = " " if self._kind == "heading" else "\n"
            if text := line_end.join(filter(None, map(_collapsed, text.split(_LINE)))):
                self._blocks.append(Block(self._kind, self._marker + text, self._links))
                self._marker = ""
        self._links = 0

    def _add(self, text: str | None) -> None:
        if text:
            self._pieces.append(text)
            if self._in_link:
                self._links += len(text.strip())

    def _walk(self, root: Any) -> None:
        before = self._enter(root)
        stack = [(root, iter(root if before else ()), before)]
        while stack:
            element, children, before = stack[-1]
            child = next(children, None)
            if child is not None:
                before = self._enter(child)
                stack.append((child, iter(child if before else ()), before))
                continue
            stack.pop()
            if before:
                self._leave(element, *before)
            if stack:
                self._add(element.tail)

    def _enter(self, element: Any) -> tuple[str, bool] | None:
        """Begin an element; what `_leave` restores, or None where all of it is done."""
        tag = element.tag
        if not isinstance(tag, str) or tag in _SILENT:
            return None
        before = self._kind, self._in_link
        # With a table in it, it is a layout, whose source has no lines to keep.
        if tag in _PREFORMATTED and element.find(".//table") is None:
            self._close()
            if text := code_text(element):
                self._blocks.append(Block("code", text))
            return None
        if tag in _BLOCKS or "-" in tag:
            self._close()
            if tag == "table" and self._tables < _MOST_TABLES:
                self._add_table(element)
                return None
            if tag in _KINDS:
                self._kind = _KINDS[tag]
            elif tag in _NO_KIND and self._kind not in ("item", "paragraph"):
                self._kind = "loose"
            if tag == "item":
                self._marker = element.get("rend", _BULLET)
        elif tag == "br":
            self._pieces.append(_LINE)
        elif tag == "hr":
            self._close()
        elif tag in ("ref", "a"):
            self._in_link = True
            previous = element.getprevious()
            if previous is not None and previous.tag == tag and not previous.tail:
                self._pieces.append(" ")  # two links side by side, which style sheets keep apart
        elif tag == "q":
            self._pieces.append("\u201c")
        self._add(element.text)
        return before

    def _leave(self, element: Any, kind: str, in_link: bool) -> None:
        if element.tag in _BLOCKS or "-" in element.tag:
            self._close()
            if element.tag == "item":
                self._marker = ""
        elif element.tag == "q":
            self._pieces.append("\u201d")
        self._kind, self._in_link = kind, in_link

    def _add_table(self, table: Any) -> None:
        self._add_stray_text(table)
        for row in table:
            if row.tag in ("tbody", "thead", "tfoot"):
                self._add_table(row)
            elif row.tag == "tr":
                self._add_stray_text(row)
                inside = (_Renderer(self._tables + 1).blocks_of(cell) for cell in row)
                cells = [blocks for blocks in inside if blocks]
                if _is_data(cells):
                    text = " | ".join(" ".join(map(_in_row, cell)) for cell in cells)
                    self._blocks.append(Block("row", text, sum(block.links for cell in cells for block in cell)))
                else:
                    self._blocks += (block for cell in cells for block in cell)
            else:
                self._blocks += _Renderer(self._tables + 1).blocks_of(row)

    def _add_stray_text(self, parent: Any) -> None:
        """Text between rows or cells, which browsers show in front (foster parenting, HTML section 13.2.6.1)."""
        self._add(parent.text)
        for child in parent:
            self._add(child.tail)
        self._close()


def _is_data(cells: list[list[Block]]) -> bool:
    """Whether cells make one line; else a table lays out what is in them."""
    if len(cells) < 2 or sum(len(block.text) for cell in cells for block in cell) > _ROW_LENGTH:
        return False
    return all(len(cell) <= _CELL_BLOCKS and all(block.kind not in ("row", "code") for block in cell) for cell in cells)


def _collapsed(text: str) -> str:
    text = " ".join(text.split())
    return text if text.isascii() else text.strip(_UNSEEN)


def _in_row(block: Block) -> str:
    text = block.text.removeprefix(_BULLET) if block.kind == "item" else block.text
    return text.replace("\n", " ")
