"""The main text of a page: trafilatura's frame of it, or what else fits the kind of the page.

An article, or what may be one, is looked for where trafilatura does. Where that gives little of what can be read on
the page, which for other kinds is most of the time, it is the whole page without its chrome; of a thread, its posts.
Then come readability, and text that the page has as JSON (docs/extraction.md has the scores).
"""

import importlib
from copy import copy
from typing import Any, Final, NamedTuple

from lxml import etree  # type: ignore[import-untyped]

from webtext.pipeline.documents import trafilatura_steps as steps
from webtext.pipeline.documents.frames import ENOUGH, anywhere, in_frame, is_sentence, renamed, without_noise
from webtext.pipeline.documents.page_kind import PageKind, kind_of
from webtext.pipeline.documents.posts import posts
from webtext.pipeline.documents.rendering import Block, joined, render
from webtext.pipeline.documents.tidy import tidy
from webtext.pipeline.documents.trafilatura_paths import SELECTORS
from webtext.pipeline.documents.whole_page import whole_page

# Share of the sentences on the page below which the own text gives way to all of them.
_SHARES: Final = {"article": 0.3, "documentation": 0.3, "listing": 0.7, "product": 0.7, "other": 0.7}
_COMPARED: Final = 0.4  # share of the cleaned page below which readability is asked
_MOST: Final = 0.7  # share of a page's text that no comments have

_baseline: Any = importlib.import_module("trafilatura.baseline")  # which `trafilatura` hides behind a function
_external: Any = importlib.import_module("trafilatura.external")
_length_of: Final = etree.XPath("string-length(normalize-space(string(.)))")


class MainText(NamedTuple):
    """What was found on a page."""

    text: str
    """"" where there is none."""
    kind: PageKind


def find_main_text(tree: Any, favor_recall: bool = False) -> MainText:
    """The main text of a page. The tree, of `parsing.parse`, is used up.

    Args:
        tree: the page.
        favor_recall: take all sentences of the page, whatever its kind.
    """
    tidy(tree)
    kind = kind_of(tree)
    steps.processing.prune_unwanted_nodes(tree, SELECTORS.appended)
    if kind.name != "forum":
        _remove_comments(tree)
    steps.remove_scripts(tree)
    share = 1.0 if favor_recall else _SHARES.get(kind.name, 0.0)
    if kind.name == "forum":
        found = posts(renamed(copy(tree)))
        blocks = found if _length(found) >= ENOUGH else whole_page(tree, farms=True)
    else:
        blocks = _blocks(tree, kind.name, share)
    return MainText(joined(blocks or render(tree)), kind)


def _remove_comments(tree: Any) -> None:
    """Remove comments, but not what has nearly all of the text, and only a name like theirs."""
    if comments := [element for select in SELECTORS.comments for element in select(tree)]:
        most = _MOST * len(tree.text_content())
        for element in comments:
            if len(element.text_content()) < most:
                steps.processing.delete_element(element)


def _blocks(tree: Any, kind: str, share: float) -> list[Block]:
    cleaned = steps.clean_tree(copy(tree))
    blocks = in_frame(renamed(copy(cleaned)))
    if _length(blocks) < ENOUGH:
        blocks = _longer(blocks, anywhere(renamed(copy(cleaned))))
    on_page = _length_of(cleaned)
    if _length(blocks) < _COMPARED * on_page:
        blocks = _compared(blocks, tree)
    if _length(blocks) < ENOUGH:
        blocks = _longer(blocks, _in_json(tree))
    if _length(blocks) < max(ENOUGH, share * on_page):
        whole = whole_page(tree, farms=kind != "article")
        if _length_of_sentences(blocks) < share * _length_of_sentences(whole) or _length(blocks) < ENOUGH:
            blocks = _longer(blocks, whole)
    return blocks


def _compared(blocks: list[Block], tree: Any) -> list[Block]:
    """What readability finds where that is much more, or where what was found has no paragraph."""
    found = render(renamed(steps.clean_tree(_external.try_readability(copy(tree)))))
    own, other = _length(blocks), _length(found)
    has_paragraphs = any(block.kind == "paragraph" for block in blocks)
    if other > 2 * own or (other > 2 * ENOUGH and own <= 2 * other and not has_paragraphs):
        return without_noise(found, strict=False)
    return blocks


def _in_json(tree: Any) -> list[Block]:
    """Text in the page's JSON-LD or a preloaded thread: full texts, else descriptions of a product or film."""
    bodies, descriptions = _baseline._collect_json_content(tree)
    texts = [text for text in map(_baseline._render_text, bodies or descriptions) if text]
    return [Block("paragraph", text) for text in dict.fromkeys(texts)]


def _longer(a: list[Block], b: list[Block]) -> list[Block]:
    return b if _length(b) > _length(a) else a


def _length(blocks: list[Block]) -> int:
    return sum(len(block.text) + 1 for block in blocks)


def _length_of_sentences(blocks: list[Block]) -> int:
    return sum(len(block.text) for block in blocks if is_sentence(block))
