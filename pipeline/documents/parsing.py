"""A page's characters to a tree."""

import re
from typing import Any, Final

from lxml import etree  # type: ignore[import-untyped]
from lxml.html import HtmlComment, HtmlElement  # type: ignore[import-untyped]

# As trafilatura's, but with the limit of nesting at 2,048 instead of 256: lxml cuts a page off where it is deeper, and
# real pages are 660 deep.
_PARSER: Final = etree.HTMLParser(
    encoding="utf-8", collect_ids=False, default_doctype=False, remove_comments=True, remove_pis=True, huge_tree=True
)
# One class for all elements: lxml.html asks a Python function for each of them, 8 % of the time.
_PARSER.set_element_class_lookup(etree.ElementDefaultClassLookup(element=HtmlElement, comment=HtmlComment))

_CONTROLS: Final = bytes(code for code in range(32) if code not in b"\t\n\r\f")
_BLANKS: Final = bytes.maketrans(b"\f", b" ")
# lxml gives characters that XML forbids, but takes none back when text moves in the tree. References to them:
_REFERENCES: Final = re.compile(
    rb"&#(?:0*+(?:[0-8]|1[124-9]|2\d|3[01]|6553[45])(?!\d)|[xX]0*+(?:[0-8bcefBCEF]|1[\da-fA-F]|[fF]{3}[efEF])(?![\da-fA-F]));?"
)
_NO_CHARACTERS: Final = ("\ufffe", "\uffff")
# Two faults that libxml2 can't read past, as in trafilatura.utils.repair_faulty_html: a slash in the doctype (lxml bug
# 1955915), and <html ... />.
_HEAD: Final = 4096  # bytes in which they are looked for
_DOCTYPE: Final = re.compile(rb"\A\s*<\s?!\s?doctype[^<>/]*+/[^<>]*+>", re.IGNORECASE)
_CLOSED_HTML: Final = re.compile(rb"<html[^<>]*+(?<=/)>", re.IGNORECASE)

_END: Final = re.compile(r"</html\s*+>", re.IGNORECASE)
_ENDS: Final = re.compile(r"</(?:html|body)\s*+>", re.IGNORECASE)
_LEAST: Final = 200  # characters behind the end that are worth a look: scripts of 40 words and more are there often
_SILENT: Final = ("script", "style", "noscript", "template", "head")


def parse(html: str) -> Any | None:
    """The page as a tree of lxml.html elements; None where there is not one element."""
    for character in _NO_CHARACTERS:
        html = html.replace(character, "")
    page = _REFERENCES.sub(b"", html.encode("utf-8", "replace").translate(_BLANKS, _CONTROLS))
    head = _CLOSED_HTML.sub(_opened, _DOCTYPE.sub(b"", page[:_HEAD], count=1), count=1)
    try:
        return etree.fromstring(head + page[_HEAD:], _PARSER)
    except (etree.ParserError, etree.XMLSyntaxError):
        return None


def _opened(tag: re.Match[bytes]) -> bytes:
    return tag[0][:-2].rstrip() + b">"


def parse_beyond_end(html: str, least: int) -> Any | None:
    """The page with what stands behind </html>, which libxml2 drops; None where that has less text than `least`.

    Browsers go on in the body: HTML section 13.2.6.4.22.
    """
    end = _END.search(html)
    if end is None or len(html) - end.end() < max(least, _LEAST):
        return None
    rest = parse(html[end.end() :])
    if rest is None:
        return None
    etree.strip_elements(rest, *_SILENT, with_tail=False)
    if len(" ".join(rest.text_content().split())) < max(least, _LEAST):
        return None
    return parse(_ENDS.sub("", html))
