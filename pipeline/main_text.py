"""The main text of a page, by trafilatura without comments.

Measured on 439 pages with true texts (word F1 of scrapinghub and WCXB, snippet F1 of trafilatura's own set):

    trafilatura's defaults, comments on   0.946  0.835  0.915
    comments off                          0.962  0.832  0.918
    fast                                  0.963  0.792  0.922
    fast, favor_recall                    0.962  0.788  0.917

`fast` leaves out the comparison with readability and jusText, which saves pages that are no article. So it stays, but
is only made where it can change the outcome; the other half of the speed comes from how the page is parsed.
"""

import importlib
import itertools
import re
from collections.abc import Sequence
from copy import copy
from typing import Any, Final

import trafilatura
from justext import core as justext  # type: ignore[import-untyped]
from lxml import etree  # type: ignore[import-untyped]
from lxml.html import HtmlComment, HtmlElement  # type: ignore[import-untyped]
from trafilatura import external
from trafilatura.settings import Extractor

from pipeline import main_text_paths
from pipeline.settings import ExtractSettings

# Readability's text replaces trafilatura's own only when it is more than twice as long, or when trafilatura's has no
# paragraphs or more tables than paragraphs (`_prefer_readability`); it is never longer than the cleaned page.
_SHARE: Final = 0.5

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

_NEIGHBOURS: Final = 500  # paragraphs

_CONTROLS: Final = bytes(code for code in range(32) if code not in b"\t\n\r\f")
# Two faults that libxml2 can't read past, as in trafilatura.utils.repair_faulty_html: a slash in the doctype (lxml bug
# 1955915), and <html ... />.
_HEAD: Final = 4096  # bytes in which they are looked for
_DOCTYPE: Final = re.compile(rb"\A\s*<\s?!\s?doctype[^<>]*/[^<>]*>", re.IGNORECASE)
_CLOSED_HTML: Final = re.compile(rb"(<html[^<>]*?)\s*/>", re.IGNORECASE)

_text_length = etree.XPath("string-length(normalize-space(string(.)))")
_paragraph_text = etree.XPath("boolean(.//p//text())")
_unclean = etree.XPath(f"boolean({external.SANITIZED_XPATH})")


def parse(html: str) -> Any | None:
    """The page as a tree of lxml.html elements; None where there is not one element."""
    page = html.encode("utf-8", "replace").translate(None, _CONTROLS)
    head = _CLOSED_HTML.sub(rb"\1>", _DOCTYPE.sub(b"", page[:_HEAD], count=1), count=1)
    try:
        return etree.fromstring(head + page[_HEAD:], _PARSER)
    except etree.ParserError:
        return None
    except etree.XMLSyntaxError:
        return None


def find(tree: Any, settings: ExtractSettings) -> str:
    """The main text of a page, "" where there is none. The tree is left as it is. Not thread-safe."""
    # For the time of this call only: who else uses trafilatura in this process gets what it ships.
    _put(_REPLACED)
    try:
        return trafilatura.extract(tree, options=_RECALL if settings.favor_recall else _OPTIONS) or ""
    finally:
        _put(_THEIRS)


def _put(parts: Sequence[tuple[Any, str, Any]]) -> None:
    for owner, name, value in parts:
        setattr(owner, name, value)


def _extract_and_compare(cleaned: Any, backup: Any, tree: Any, options: Extractor) -> tuple[Any, str]:
    """trafilatura.core's function of this name, which makes the comparison always."""
    body, text = _core.extract_content(cleaned, options)
    if options.fast or _is_certain(body, text, backup, options):
        return body, text
    chosen: tuple[Any, str] = _core.compare_extraction(backup, copy(tree), body, text, options)
    return chosen


def _is_certain(body: Any, text: str, page: Any, options: Extractor) -> bool:
    """Whether trafilatura's own text wins against whatever readability and jusText can make of this page."""
    return (
        len(text) >= options.min_extracted_size
        and len(text) >= _SHARE * _text_length(page)
        and options.focus == "balanced"
        and len(body.findall(".//table")) <= len(body.findall(".//p"))
        and _paragraph_text(body)
        and not _unclean(body)
    )


def load_models() -> None:
    """Load what `main_text` would load at the first page that needs it."""
    external.jt_stoplist_init()


def _neighbour(i: int, paragraphs: Any, ignore_neargood: bool, inc: int, boundary: int) -> str:
    """justext.core's function of this name, which looks any distance ahead: 5 s for 6,000 short paragraphs."""
    for j in itertools.islice(range(i + inc, boundary, inc), _NEIGHBOURS):
        kind: str = paragraphs[j].class_type
        if kind in ("good", "bad") or (kind == "neargood" and not ignore_neargood):
            return kind
    return "bad"


# jusText writes a path from the root for each paragraph, which nobody reads and which is long in a deep page.
_REPLACED: Final[Sequence[tuple[Any, str, Any]]] = (
    (_core, "_extract_and_compare", _extract_and_compare),
    (justext, "_get_neighbour", _neighbour),
    (justext.PathInfo, "xpath", property(lambda _: "")),
    *main_text_paths.REPLACEMENTS,
)
_THEIRS: Final = tuple((owner, name, vars(owner)[name]) for owner, name, _ in _REPLACED)
