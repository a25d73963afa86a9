"""An element as the blocks of text that a browser shows: white space collapsed outside of code, rows and lists whole.

Tags are those of HTML; what a pass of extraction has renamed for trafilatura's tests (`ref`, `list`, `item`) is known
too. Source: HTML section 15.3 (which elements are blocks, `pre`, `q`), CSS Text section 4.1.1 (white space).
"""

from typing import Any, Final, NamedTuple

_HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_PREFORMATTED: Final = frozenset({"pre", "listing", "xmp", "plaintext", "textarea"})
_BLOCKS: Final = frozenset(
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 header hgroup html item legend li list main menu nav ol optgroup option p search "
    "section summary table tbody td tfoot th thead tr ul".split()
)
_SILENT: Final = frozenset({"head", "script", "style", "template"})
_KINDS: Final = dict.fromkeys(_HEADINGS, "heading") | {"p": "paragraph", "blockquote": "paragraph", "item": "item"}
_NO_KIND: Final = frozenset({"div", "section", "article", "main", "center", "body"})
_BULLET: Final = "- "
_LINE: Final = "\0"  # a line break of <br>; no text from a parser has it
_UNSEEN: Final = " \u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"  # what stands alone where editors left it
_ROW_LENGTH: Final = 600  # characters; what is longer is a layout, not a row of data
_CELL_BLOCKS: Final = 4


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
    renderer = _Renderer()
    renderer.walk(element)
    renderer.close()
    return renderer.blocks


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
    """The walk over an element; text gathers until a block ends."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._pieces: list[str] = []
        self._links = 0
        self._in_link = False
        self._kind = "loose"
        self._marker = ""

    def close(self) -> None:
        """End the block that is open."""
        if self._pieces:
            text = "".join(self._pieces)
            self._pieces.clear()
            if _LINE in text:
                lines = (" ".join(line.split()) for line in text.split(_LINE))
                text = ("\n" if self._kind != "heading" else " ").join(filter(None, lines))
            else:
                text = " ".join(text.split())
            if text and (text.isascii() or (text := text.strip(_UNSEEN))):
                self.blocks.append(Block(self._kind, self._marker + text, self._links))
                self._marker = ""
        self._links = 0

    def _add(self, text: str | None) -> None:
        if text:
            self._pieces.append(text)
            if self._in_link:
                self._links += len(text.strip())

    def walk(self, element: Any) -> None:
        """Render an element without its tail."""
        tag = element.tag
        if not isinstance(tag, str) or tag in _SILENT:
            return
        if tag == "br":
            self._pieces.append(_LINE)
        elif tag == "hr":
            self.close()
        elif tag in _PREFORMATTED:
            self.close()
            if (text := code_text(element)).strip():
                self.blocks.append(Block("code", text))
        elif tag == "table":
            self.close()
            self._walk_table(element)
        elif tag in _BLOCKS or "-" in tag:
            self._walk_block(element, tag)
        else:
            self._walk_inline(element, tag)

    def _walk_children(self, element: Any) -> None:
        self._add(element.text)
        for child in element:
            self.walk(child)
            self._add(child.tail)

    def _walk_inline(self, element: Any, tag: str) -> None:
        before = self._in_link
        if tag in ("ref", "a"):
            self._in_link = True
            previous = element.getprevious()
            if previous is not None and previous.tag == tag and not previous.tail:
                self._pieces.append(" ")  # two links side by side, which style sheets keep apart
        if tag == "q":
            self._pieces.append("\u201c")
        self._walk_children(element)
        if tag == "q":
            self._pieces.append("\u201d")
        self._in_link = before

    def _walk_block(self, element: Any, tag: str) -> None:
        self.close()
        kind = self._kind
        if tag in _KINDS:
            self._kind = _KINDS[tag]
        elif tag in _NO_KIND and kind not in ("item", "paragraph"):
            self._kind = "loose"
        if tag == "item":
            self._marker = element.get("rend", _BULLET)
        self._walk_children(element)
        self.close()
        self._kind = kind
        if tag == "item":
            self._marker = ""

    def _walk_table(self, table: Any) -> None:
        for row in table:
            if row.tag in ("tbody", "thead", "tfoot"):
                self._walk_table(row)
            elif row.tag == "tr":
                cells = [blocks for cell in row if cell.tag in ("td", "th") and (blocks := render(cell))]
                if _is_data(cells):
                    text = " | ".join(" ".join(map(_in_row, cell)) for cell in cells)
                    self.blocks.append(Block("row", text, sum(block.links for cell in cells for block in cell)))
                else:
                    self.blocks += (block for cell in cells for block in cell)
            else:
                self.walk(row)
                self.close()


def _is_data(cells: list[list[Block]]) -> bool:
    """Whether cells make one line; else a table lays out what is in them."""
    if len(cells) < 2 or sum(len(block.text) for cell in cells for block in cell) > _ROW_LENGTH:
        return False
    return all(len(cell) <= _CELL_BLOCKS and all(block.kind not in ("row", "code") for block in cell) for cell in cells)


def _in_row(block: Block) -> str:
    text = block.text.removeprefix(_BULLET) if block.kind == "item" else block.text
    return text.replace("\n", " ")
