"""One page to a document: decode, extract with trafilatura, keep English texts of some length, tokenize, sign.

`extract_page` is pure. A build runs it in a sandbox (see sandboxed.py): guards.py keeps out what is known to take a
parser minutes, the sandbox ends the rest.
"""

from typing import Any

from webtext.pipeline.documents import guards, main_text, metadata, prefilter
from webtext.pipeline.documents.decode import decode
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
    tree = main_text.parse(html)
    if tree is None:
        return Loss(Reason.NO_TEXT, "no element in the markup")
    if refusal := guards.refuse_tree(tree):
        return refusal
    if settings.prefilter and (refusal := prefilter.unpromising(html, settings)):
        return refusal
    about = metadata.read(tree)
    text = text_of(tree, settings)
    if settings.walls and (refusal := walls.soft_failure(about.title, text, html)):
        return refusal
    if not text:
        return Loss(Reason.NO_TEXT, "trafilatura found no main text")
    if settings.wikipedia and (refusal := wikipedia.copied(html, text)):
        return refusal
    return judge(text, settings, about.title, about.published, about.html_lang)


def text_of(tree: Any, settings: ExtractSettings) -> str:
    """The main text of a page, safe to tokenize; "" where there is none. The tree is used up."""
    return clean(main_text.find_main_text(tree, settings))


def load_models() -> None:
    """Load what `extract_page` would load at its first page."""
    vocabulary.load()
    language.identify("warm up")
    main_text.load_models()
    minhash.signature("warm up " * 20)
