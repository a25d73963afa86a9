"""One page to a document: decode, extract with trafilatura, keep English texts of some length, tokenize, sign.

`extract_page` is pure. A build runs it in a sandbox (see sandboxed.py): guards.py keeps out what is known to take a
parser minutes, the sandbox ends the rest.
"""

from typing import Any

from webtext.pipeline.documents import guards, metadata, prefilter
from webtext.pipeline.documents.decode import decode
from webtext.pipeline.documents.main_text import MainText, find_main_text
from webtext.pipeline.documents.parsing import parse, parse_beyond_end
from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text import language, minhash, walls, wikipedia
from webtext.pipeline.text.clean import clean
from webtext.pipeline.text.document import Document
from webtext.pipeline.text.judge import judge
from webtext.schemas import vocabulary
from webtext.schemas.records import Loss, Reason


def extract_page(payload: bytes, settings: ExtractSettings, charset: str | None = None) -> Document | Loss:
    """One page to one document, or the first reason against it.

    Args:
        payload: the page as the server sent it, transfer and content encodings undone.
        settings: limits and thresholds.
        charset: what the HTTP header declares.
    """
    html = decode(payload, charset)
    if refusal := guards.refuse(html):
        return refusal
    tree = parse(html)
    if tree is None:
        return Loss(Reason.NO_TEXT, "no element in the markup")
    if refusal := guards.refuse_tree(tree):
        return refusal
    if settings.prefilter and (refusal := prefilter.unpromising(html, settings)):
        return refusal
    about = metadata.read(tree)
    text, kind = text_of(html, tree, settings)
    if settings.walls and (refusal := walls.soft_failure(about.title, text, html)):
        return refusal
    if not text:
        return Loss(Reason.NO_TEXT, "the page has no text")
    if settings.wikipedia and (refusal := wikipedia.copied(html, text)):
        return refusal
    found = judge(text, settings, about.title, about.published, about.html_lang)
    if isinstance(found, Document):
        found.page_kind, found.page_kind_certainty = kind
    return found


def text_of(html: str, tree: Any, settings: ExtractSettings) -> MainText:
    """The main text of a page, safe to tokenize; "" where there is none. The tree, of `html`, is used up."""
    text, kind = _cleaned(tree, settings)
    beyond = parse_beyond_end(html, len(text) // 2)
    if beyond is not None and guards.refuse_tree(beyond) is None:
        longer = _cleaned(beyond, settings)
        if len(longer.text) > len(text):
            return longer
    return MainText(text, kind)


def _cleaned(tree: Any, settings: ExtractSettings) -> MainText:
    found = find_main_text(tree, settings.favor_recall)
    return MainText(clean(found.text), found.kind)


def load_models() -> None:
    """Load what `extract_page` would load at its first page."""
    vocabulary.load()
    language.identify("warm up")
    minhash.signature("warm up " * 20)
