"""The main text of a page, by trafilatura without comments.

The cascade is trafilatura's: its own rules, the comparison with readability and jusText, and for pages of which little
was found so, other rules. `fast` leaves out the comparison, which saves pages that are no article (docs/extraction.md
has the scores). So it stays, but is only made where little of a page was found; the rest of the speed comes from how
the page is parsed and searched.
"""

import importlib
import re
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from typing import Any, Final

from lxml import etree  # type: ignore[import-untyped]
from lxml.html import HtmlComment, HtmlElement  # type: ignore[import-untyped]
from trafilatura.settings import Extractor

from webtext.pipeline.documents import trafilatura_steps
from webtext.pipeline.settings import ExtractSettings

# Readability's text is taken in place of trafilatura's own if it is more than twice as long, and it is never longer
# than the cleaned page. So from half of the page on, the comparison changes only texts without paragraphs and the like,
# where it did more harm than good; between two fifths and a half it changed one text of 504.
SHARE: Final = 0.4

_core: Any = importlib.import_module("trafilatura.core")  # for what it does not export

_OPTIONS: Final = Extractor(output_format="txt", comments=False)
_RECALL: Final = Extractor(output_format="txt", comments=False, recall=True)

# As trafilatura's, but with the limit of nesting at 2,048 instead of 256: lxml cuts a page off where it is deeper, and
# real pages are 660 deep.
_PARSER: Final = etree.HTMLParser(
    encoding="utf-8", collect_ids=False, default_doctype=False, remove_comments=True, remove_pis=True, huge_tree=True
)
# One class for all elements: lxml.html asks a Python function for each of them, 8 % of the time.
_PARSER.set_element_class_lookup(etree.ElementDefaultClassLookup(element=HtmlElement, comment=HtmlComment))

_CONTROLS: Final = bytes(code for code in range(32) if code not in b"\t\n\r\f")
# Two faults that libxml2 can't read past, as in trafilatura.utils.repair_faulty_html: a slash in the doctype (lxml bug
# 1955915), and <html ... />.
_HEAD: Final = 4096  # bytes in which they are looked for
_DOCTYPE: Final = re.compile(rb"\A\s*<\s?!\s?doctype[^<>/]*+/[^<>]*+>", re.IGNORECASE)
_CLOSED_HTML: Final = re.compile(rb"<html[^<>]*+(?<=/)>", re.IGNORECASE)

_text_length = etree.XPath("string-length(normalize-space(string(.)))")


def parse(html: str) -> Any | None:
    """The page as a tree of lxml.html elements; None where there is not one element."""
    page = html.encode("utf-8", "replace").translate(None, _CONTROLS)
    head = _CLOSED_HTML.sub(_opened, _DOCTYPE.sub(b"", page[:_HEAD], count=1), count=1)
    try:
        return etree.fromstring(head + page[_HEAD:], _PARSER)
    except etree.ParserError:
        return None
    except etree.XMLSyntaxError:
        return None


def _opened(tag: re.Match[bytes]) -> bytes:
    return tag[0][:-2].rstrip() + b">"


def find_main_text(
    tree: Any,
    settings: ExtractSettings,
    share: float = SHARE,
    steps: Sequence[tuple[Any, str, Any]] = trafilatura_steps.REPLACEMENTS,
) -> str:
    """The main text of a page, "" where there is none. The tree is used up. Not thread-safe.

    Args:
        tree: of `parse`.
        settings: whether more text is wanted.
        share: of the cleaned page, from which on trafilatura's own text is not compared with other libraries'.
        steps: of trafilatura that are replaced by faster ones, which change no text.
    """
    # For the time of this call only: who else uses trafilatura in this process gets what it ships.
    _put(steps)
    try:
        body, text = _cascade(tree, _RECALL if settings.favor_recall else _OPTIONS, share)
        return _core.normalize_unicode(_core.xmltotxt(body, False)).strip() if text else ""
    except (TypeError, ValueError):  # as trafilatura.extract
        return ""
    finally:
        _put(_THEIRS)


def _put(parts: Sequence[tuple[Any, str, Any]]) -> None:
    for owner, name, value in parts:
        setattr(owner, name, value)


def _cascade(tree: Any, options: Extractor, share: float) -> tuple[Any, str]:
    """trafilatura.core.trafilatura_sequence without comments, without copies of the page that nobody needs."""
    prune = _core.prune_unwanted_nodes
    is_forum = _core._forum_thread_page(tree)
    tree = prune(tree, _core.RAW_TREE_PRUNE_XPATH)
    if not is_forum:
        tree = prune(tree, _core.REMOVE_COMMENTS_AND_LISTS_XPATH)
    trafilatura_steps.remove_scripts(tree)
    body, text = _extract_and_compare(tree, options, share)
    if len(text) < options.min_extracted_size:
        other, other_text, length = _core.baseline(tree)
        if length > len(text):
            body, text = other, other_text
    if options.focus == "balanced" and _is_little(text, tree):
        body, text = _look_again(tree, options, share, body, text)
    return body, text


def _is_little(text: str, tree: Any) -> bool:
    if not 0 < len(text) < _core.ESCALATION_MAX_LENGTH:
        return False
    share: float = _core.ESCALATION_PAGE_SHARE
    # html2txt copies the page and cleans it; mostly a bound will do.
    return len(text) < share * trafilatura_steps.longest(tree) and len(text) < share * len(_core.html2txt(tree))


def _look_again(tree: Any, options: Extractor, share: float, body: Any, text: str) -> tuple[Any, str]:
    """Another text of a page of whose text little was found, if that is clearly longer."""
    recall = copy(options)
    recall.focus = "recall"
    retry, retry_text, rescue, rescue_text = None, "", None, ""
    # trafilatura goes on without a candidate that fails.
    with suppress(Exception):
        retry, retry_text = _extract_and_compare(tree, recall, share)
    with suppress(Exception):
        rescue, rescue_text = _core.justext_rescue(copy(tree), options)
    if len(rescue_text) > max(len(retry_text), _core.ESCALATION_JUSTEXT_RATIO * len(text)):
        return rescue, rescue_text
    enough = len(retry_text) >= options.min_extracted_size
    if enough and len(retry_text) > _core.ESCALATION_ACCEPT_RATIO * len(text):
        return retry, retry_text
    return body, text


def _extract_and_compare(tree: Any, options: Extractor, share: float) -> tuple[Any, str]:
    """trafilatura.core's function of this name, which always makes the comparison."""
    cleaned, backup = _core._prepare_tree(tree, options, None)
    body, text = _core.extract_content(cleaned, options)
    if _is_certain(text, backup, options, share):
        return body, text
    chosen: tuple[Any, str] = _core.compare_extraction(backup, copy(tree), body, text, options)
    return chosen


def _is_certain(text: str, cleaned: Any, options: Extractor, share: float) -> bool:
    """Whether trafilatura's own text is not to be compared with what readability and jusText make of this page."""
    return options.focus == "balanced" and len(text) >= share * _text_length(cleaned)


def load_models() -> None:
    """Load what `find` would load at the first page that needs it."""
    trafilatura_steps.load_models()


_THEIRS: Final = tuple((owner, name, vars(owner)[name]) for owner, name, _ in trafilatura_steps.REPLACEMENTS)
