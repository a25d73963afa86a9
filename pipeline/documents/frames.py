"""Passes over a page with trafilatura's selectors: the frame of its text, and text outside of any frame.

Which element is looked at and what is pruned there is trafilatura's (main_extractor._extract, prune_unwanted_sections,
recover_wild_text). What of that becomes text is ours: all blocks that a browser shows, but not the short ones that
stand right in a container, which are bylines, buttons and the like.
"""

import re
from typing import Any, Final

from webtext.pipeline.documents import trafilatura_steps as steps
from webtext.pipeline.documents.rendering import Block, render
from webtext.pipeline.documents.trafilatura_paths import SELECTORS

ENOUGH: Final = 250
"""Characters from which on a text is one; trafilatura's min_extracted_size."""

_PARAGRAPHS: Final = 3 * ENOUGH  # characters of a page whose text is in <p>
_LOOSE: Final = 60  # characters of the shortest block right in a container that is taken for a sentence
_LINKED: Final = 0.5  # share in links from which on it is none
_CHUNK: Final = 0.3  # of the first chunk's text, that a further one has at least
# Lines that are only this are buttons to print and to share with (trafilatura.utils.RE_FILTER).
_BUTTON_NAMES: Final = (
    "drucken e-mail email facebook flipboard google instagram linkedin mail pdf pinterest pocket print qq reddit"
    " twitter wechat weibo whatsapp xing"
)
_BUTTONS: Final = frozenset(_BUTTON_NAMES.split()) | {"mehr zum thema", "more on this"}
_DIGITS: Final = re.compile(r"\d+")


def in_frame(tree: Any) -> list[Block]:
    """The text of the first frame that has some; the tree, of `renamed`, is used up."""
    strict = sum(len(paragraph.text_content()) for paragraph in tree.iter("p")) >= _PARAGRAPHS
    for select in SELECTORS.body:
        frame = next(iter(select(tree)), None)
        if frame is None:
            continue
        blocks: list[Block] = []
        for chunk in (frame, *_further_chunks(tree, frame)):
            prune(chunk)
            blocks += render(chunk)
        blocks = without_noise(blocks, strict)
        if len(blocks) > 1:
            return blocks
    return []


def anywhere(tree: Any) -> list[Block]:
    """The text of the whole page, pruned as a frame; the tree, of `renamed`, is used up."""
    prune(tree)
    return without_noise(render(tree), strict=True)


def without_noise(blocks: list[Block], strict: bool) -> list[Block]:
    """Without names of networks to share on, without headings at the end, if strict without short loose blocks."""
    kept = [
        block
        for block in blocks
        if not (strict and block.kind == "loose" and not is_sentence(block))
        and not (len(block.text) < _LOOSE and any(_is_button(line) for line in block.text.split("\n")))
    ]
    while kept and kept[-1].kind == "heading":
        kept.pop()
    return kept


def _is_button(line: str) -> bool:
    return line.lower().strip(" :.-|\u2022\u00b7") in _BUTTONS


def is_sentence(block: Block) -> bool:
    """Whether a block is long enough to be text that somebody reads, and not mostly links."""
    return len(block.text) >= _LOOSE and block.links < _LINKED * len(block.text)


def renamed(tree: Any) -> Any:
    """The tree with the names that trafilatura's selectors and tests of link density know."""
    for element in tree.iter("a"):
        element.tag = "ref"
    for element in tree.iter("summary", "details"):
        element.tag = "h3" if element.tag == "summary" else "div"
    for element in tree.iter("ul", "ol", "dl"):
        if element.tag == "ol":
            for number, item in enumerate(element.iterchildren("li"), _start(element)):
                item.set("rend", f"{number}. ")
        element.tag = "list"
    for element in tree.iter("li", "dd", "dt"):
        if element.tag != "li":
            element.set("rend", "")
        element.tag = "item"
    return tree


def _start(element: Any) -> int:
    start = element.get("start", "")
    return int(start) if len(start) < 7 and start.isascii() and start.isdecimal() else 1


def _further_chunks(tree: Any, first: Any) -> list[Any]:
    """Later elements of the name and depth of the first: texts are in several, with advertisements between."""
    name = _name(first)
    if not name:
        return []
    depth, least = _depth(first), _CHUNK * len(first.text_content())
    return [
        element
        for element in tree.iterdescendants(first.tag)
        if element is not first
        and _name(element) == name
        and _depth(element) == depth
        and len(element.text_content()) > least
    ]


def _name(element: Any) -> str:
    return _DIGITS.sub("", element.get("class", ""))


def _depth(element: Any) -> int:
    return sum(1 for _ in element.iterancestors())


def prune(tree: Any) -> None:
    """Remove what trafilatura removes of a frame."""
    steps.processing.prune_unwanted_nodes(tree, SELECTORS.discarded, with_backup=True)
    steps.processing.prune_unwanted_nodes(tree, SELECTORS.captions)
    steps.processing.prune_unwanted_nodes(tree, SELECTORS.teasers)
    steps.remove_link_farms(tree)
    for table in [table for table in tree.iter("table") if steps.processing.link_density_test_tables(table)]:
        steps.processing.delete_element(table, keep_tail=False)
