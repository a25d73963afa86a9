"""A parsed page made ready for extraction: what readers see stays, and what they don't see leaves.

trafilatura deletes elements that stand in the middle of sentences (time, math), and takes what is hidden.
"""

from typing import Any, Final

from lxml import etree  # type: ignore[import-untyped]
from trafilatura.htmlprocessing import recover_math
from trafilatura.xml import delete_element

from webtext.pipeline.documents.code_blocks import code_to_pre

_hidden: Final = etree.XPath("//*[@hidden and not(@hidden='until-found')]")
_notes: Final = etree.XPath(".//*[local-name()='annotation' or local-name()='annotation-xml']")
_MOST: Final = 0.5  # share of a page's text; what has more is a page that a script shows


def tidy(tree: Any) -> None:
    """Change the tree in place."""
    _remove_hidden(tree)
    for element in list(tree.iter("time", "math")):
        if element.tag == "math":
            _keep_math(element)
        else:
            element.tag = "span"
    code_to_pre(tree)


def _remove_hidden(tree: Any) -> None:
    if found := _hidden(tree):
        most = _MOST * len(tree.text_content())
        for element in found:
            if element.tag not in ("body", "html") and len(element.text_content()) <= most:
                delete_element(element)


def _keep_math(element: Any) -> None:
    """Its LaTeX source where it has one, or else what it shows."""
    tail = element.tail
    if len(element) or element.get("alttext"):
        recover_math(element)  # puts the source before the tail
    if element.tail != tail:
        delete_element(element)
        return
    for note in _notes(element):
        delete_element(note)
    for part in element.iter(etree.Element):
        part.tag = "span"
