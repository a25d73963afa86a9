"""One page to a document: decode, extract with trafilatura, keep English texts of some length, tokenize, sign.

`extract_page` is pure. A build runs it in a sandbox (see documents.py), because hostile markup can keep lxml busy for
minutes. Settings were measured (F1 on three truth sets): `fast` costs no quality on articles at 1.4 times the
speed, comments cost quality, `deduplicate` leaks state from page to page.
"""

from typing import Any

import trafilatura
from trafilatura.settings import Extractor
from trafilatura.utils import load_html

from pipeline import guards, language, metadata, minhash, prefilter
from pipeline.decode import decode
from pipeline.judge import judge
from pipeline.settings import ExtractSettings
from pipeline.verdicts import Dropped, Extracted
from schemas import vocabulary
from schemas.records import Reason


def extract_page(
    url: str, payload: bytes, settings: ExtractSettings, charset: str | None = None
) -> Extracted | Dropped:
    """One page to one document, or the first reason against it.

    Args:
        url: the page's address.
        payload: the page as the server sent it, transfer and content encodings undone.
        settings: limits and thresholds.
        charset: what the HTTP header declares.
    """
    del url
    html = decode(payload, charset)
    if refusal := guards.refuse(html):
        return refusal
    if settings.prefilter and (refusal := prefilter.unpromising(html, settings)):
        return refusal
    tree = load_html(html)
    if tree is None:
        return Dropped(Reason.NO_TEXT, "no markup that can be parsed")
    about = metadata.read(tree)
    text = main_text(tree, settings)
    if not text:
        return Dropped(Reason.NO_TEXT, "trafilatura found no main text")
    return judge(text, settings, about.title, about.published, about.html_lang)


def main_text(tree: Any, settings: ExtractSettings) -> str:
    """The main text of a page, safe to tokenize; "" where there is none."""
    options = Extractor(output_format="txt", fast=True, comments=False, recall=settings.favor_recall)
    return guards.clean(trafilatura.extract(tree, options=options) or "")


def load_models() -> None:
    """Load what `extract_page` would load at its first page."""
    vocabulary.load()
    language.identify("warm up")
    minhash.sign(minhash.shingles("warm up"))
