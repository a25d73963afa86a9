"""Steps of trafilatura and jusText with the same results in less time, and in linear time."""

import importlib
import itertools
import re
from collections.abc import Sequence
from typing import Any, Final

from justext import core as justext  # type: ignore[import-untyped]
from justext.utils import get_stoplist, get_stoplists  # type: ignore[import-untyped]
from lxml import etree  # type: ignore[import-untyped]
from trafilatura import settings

from webtext.pipeline.documents import trafilatura_paths

_processing: Any = importlib.import_module("trafilatura.htmlprocessing")
_core: Any = importlib.import_module("trafilatura.core")
_external: Any = importlib.import_module("trafilatura.external")
_link_density_test: Final = _processing.link_density_test
_their_tree_cleaning: Final = _processing.tree_cleaning

_CLEANED: Final = [tag for tag in settings.MANUALLY_CLEANED if tag != "form"]
_LAYOUT: Final = ("presentation", "none")  # roles of tables

# jusText, as trafilatura asks for it: external.try_justext.
_LENGTH_LOW, _LENGTH_HIGH, _MAX_HEADING_DISTANCE = 50, 150, 150  # characters
_STOPWORDS_LOW, _STOPWORDS_HIGH, _LINKS_HIGH = 0.1, 0.2, 0.25
_NEIGHBOURS: Final = 500  # paragraphs
_stopwords: set[str] = set()

# What is not already as jusText wants it: one blank or line feed.
_SPACE: Final = re.compile(r"\s{2,}|[^\S \n]")


class _Paragraph:
    """What justext.core.revise_paragraph_classification wants of a paragraph."""

    __slots__ = ("cf_class", "class_type", "text")
    heading: Final = False  # headings get no special treatment

    def __init__(self, text: str, kind: str) -> None:
        self.text = text
        self.cf_class = kind
        self.class_type = ""


def _normal(text: str) -> str:
    return _SPACE.sub(_one_space, text)


def _one_space(run: re.Match[str]) -> str:
    return "\n" if "\n" in run[0] or "\r" in run[0] else " "


def _paragraphs(tree: Any) -> list[_Paragraph]:
    """justext.core.ParagraphMaker and classify_paragraphs in one pass, without an object for each element."""
    found: list[_Paragraph] = []
    pieces: list[str] = []
    in_links = selects = 0  # characters, open elements
    in_select = in_link = after_break = False
    breaks = justext.PARAGRAPH_TAGS

    def close() -> None:
        nonlocal in_links, in_select
        text = _normal("".join(pieces).strip())
        if text:
            found.append(_Paragraph(text, _kind(text, in_links, in_select)))
        pieces.clear()
        in_links, in_select = 0, selects > 0

    def add(text: str | None) -> None:
        nonlocal in_links, after_break
        if text and not text.isspace():
            text = _normal(text)
            pieces.append(text)
            in_links += len(text) if in_link else 0
            after_break = False

    for event, element in etree.iterwalk(tree, events=("start", "end", "comment", "pi")):
        tag = element.tag
        if event == "start":
            selects += "select" in tag
            if tag in breaks or (tag == "br" and after_break):
                close()
            else:
                after_break = tag == "br"
                if after_break:
                    pieces.append(" ")
                elif tag == "a":
                    in_link = True
            add(element.text)
            continue
        if event == "end":
            selects -= "select" in tag
            if tag in breaks:
                close()
            if tag == "a":
                in_link = False
        add(element.tail)
    close()
    return found


def _kind(text: str, in_links: int, in_select: bool) -> str:
    length = len(text)
    if in_links / length > _LINKS_HIGH or "\xa9" in text or "&copy" in text or in_select:
        return "bad"
    if length < _LENGTH_LOW:
        return "bad" if in_links else "short"
    words = text.lower().split()
    density = sum(map(_stopwords.__contains__, words)) / len(words)
    if density >= _STOPWORDS_HIGH:
        return "good" if length > _LENGTH_HIGH else "neargood"
    return "neargood" if density >= _STOPWORDS_LOW else "bad"


def _try_justext(tree: Any, url: str | None, target_language: str | None) -> Any:
    """trafilatura.external's function of this name, for a text of any language."""
    del url, target_language
    load_models()
    paragraphs = _paragraphs(tree)
    justext.revise_paragraph_classification(paragraphs, _MAX_HEADING_DISTANCE)
    body = etree.Element("body")
    for paragraph in paragraphs:
        if paragraph.class_type == "good":
            etree.SubElement(body, "p").text = paragraph.text
    return body


def load_models() -> None:
    """Load what jusText would load at its first page."""
    if not _stopwords:
        _stopwords.update(word.lower() for language in get_stoplists() for word in get_stoplist(language))


def _neighbour(i: int, paragraphs: Any, ignore_neargood: bool, inc: int, boundary: int) -> str:
    """justext.core's function of this name, which looks any distance ahead: 5 s for 6,000 short paragraphs."""
    for j in itertools.islice(range(i + inc, boundary, inc), _NEIGHBOURS):
        kind: str = paragraphs[j].class_type
        if kind in ("good", "bad") or (kind == "neargood" and not ignore_neargood):
            return kind
    return "bad"


def _density_test(element: Any, favor_precision: bool = False) -> tuple[bool, bool]:
    """trafilatura.htmlprocessing's function of this name; most elements have no link."""
    if next(element.iterdescendants("ref"), None) is None:
        return False, False
    found: tuple[bool, bool] = _link_density_test(element, favor_precision)
    return found


def remove_scripts(tree: Any) -> None:
    """Remove what every step of trafilatura removes first or passes over, so that it is copied and searched no more.

    Scripts in JSON-LD stay, which trafilatura reads, and all where its cleaning would leave no paragraph: then it may
    go without, and counts scripts as text.
    """
    paragraphs = list(tree.iter("p"))
    if paragraphs and all(next(element.iterancestors(*_CLEANED), None) is not None for element in paragraphs):
        return
    for element in list(tree.iter("script", "style")):
        if element.tag == "style" or element.get("type") != "application/ld+json":
            _processing.delete_element(element)


def _tree_cleaning(tree: Any, options: Any) -> Any:
    """trafilatura.htmlprocessing's function of this name, which walks the tree once for each of fifty tags."""
    if options.focus == "recall" or options.images or not options.tables:
        return _their_tree_cleaning(tree, options)
    _processing.recover_math(tree)
    for element in tree.iter("figure", "table"):
        if element.find(".//table") is not None if element.tag == "figure" else element.get("role") in _LAYOUT:
            element.tag = "div"
    etree.strip_tags(tree, *settings.MANUALLY_STRIPPED)
    _delete(tree, _CLEANED)
    if "form" in settings.MANUALLY_CLEANED:
        _processing._handle_forms(tree)
    return _processing.prune_html(tree, options.focus)


def _delete(tree: Any, tags: Sequence[str]) -> None:
    """Tag by tag, `for element in tree.iter(tag): delete_element(element)`."""
    found: dict[str, list[Any]] = {}
    for element in tree.iter(*tags):
        found.setdefault(element.tag, []).append(element)
    for tag in tags:
        elements = found.get(tag, ())
        # Where they are nested, trafilatura's loop goes on inside of what it removed, and ends there.
        if len(elements) > 1 and any(next(element.iterancestors(tag), None) is not None for element in elements):
            elements = tree.iter(tag)
        for element in elements:
            _processing.delete_element(element)


_texts: Final = etree.XPath(".//text()", smart_strings=False)


def longest(tree: Any) -> int:
    """Characters that html2txt finds, at most."""
    body = tree.find(".//body")
    return len(" ".join(" ".join(_texts(tree if body is None else body)).split()))


REPLACEMENTS: Final[Sequence[tuple[Any, str, Any]]] = (
    (_core, "tree_cleaning", _tree_cleaning),
    (_external, "tree_cleaning", _tree_cleaning),
    (_external, "try_justext", _try_justext),
    (justext, "_get_neighbour", _neighbour),
    (_processing, "link_density_test", _density_test),
    *trafilatura_paths.REPLACEMENTS,
)
