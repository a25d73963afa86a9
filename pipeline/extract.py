"""One page to a document: decode, extract with trafilatura, keep English texts of some length, tokenize, sign.

`extract_page` is pure. A build runs it in a sandbox (see documents.py), because hostile markup can keep lxml busy for
minutes. Settings were measured (F1 on three truth sets): `fast` costs no quality on articles at 1.4 times the
speed, comments cost quality, `deduplicate` leaks state from page to page.
"""

import re

import trafilatura
from resiliparse.parse.encoding import detect_encoding
from trafilatura.settings import Extractor
from trafilatura.utils import load_html

from pipeline import language, minhash
from pipeline.settings import ExtractSettings
from pipeline.verdicts import Dropped, Extracted
from schemas import vocabulary
from schemas.records import Reason

_MAX_TAGS = 50_000  # "<" in a page: trafilatura's time grows faster than the page
_MAX_ATTRIBUTES = 10_000  # in one tag: lxml's time is quadratic in them, 2.3 s for 20,000
_MAX_TITLE = 500  # characters
_MAX_TEXT = 2_000_000  # characters

_LONG_BLANK = re.compile(r"\s{1000,}")
_MANY_BLANKS = 500_000  # tiktoken panics at about 0.9 million blanks in a row, so a shorter text can't make it
_CONTROLS = bytes(code for code in range(32) if chr(code) not in "\t\n\r")
_LONG_TAG = re.compile("<[^<>]{65536,}")  # real pages have such, with a whole JSON document in one attribute


def decode(payload: bytes) -> str:
    """The page's characters. UTF-8 if it is that, else as declared in the markup, else by statistics.

    A declaration of UTF-8 that does not hold is ignored: pages in latin-1 often carry one.
    """
    try:
        return payload.decode("utf-8-sig")
    except UnicodeDecodeError:
        encoding = detect_encoding(payload, from_html_meta=True)
    if encoding == "utf-8":
        encoding = detect_encoding(payload)
    return payload.decode(encoding or "utf-8", "replace")


def extract_page(url: str, payload: bytes, settings: ExtractSettings) -> Extracted | Dropped:
    """One page to one document, or the first reason against it.

    Args:
        url: the page's address.
        payload: the page as the server sent it, transfer and content encodings undone.
        settings: limits and thresholds.
    """
    del url
    html = decode(payload)
    tags = html.count("<")
    if tags > _MAX_TAGS:
        return Dropped(Reason.TOO_MANY_TAGS, f"{tags} tags, at most {_MAX_TAGS} are parsed")
    attributes = max((tag.group().count("=") for tag in _LONG_TAG.finditer(html)), default=0)
    if attributes > _MAX_ATTRIBUTES:
        return Dropped(
            Reason.TOO_MANY_ATTRIBUTES, f"{attributes} attributes in a tag, at most {_MAX_ATTRIBUTES} are parsed"
        )
    title, text = main_text(html, settings)
    if not text:
        return Dropped(Reason.NO_TEXT, "trafilatura found no main text")
    code, best, english = language.identify(text)
    if english < settings.language_probability:
        return Dropped(Reason.NOT_ENGLISH, f"{code} {best:.2f}, en {english:.2f}")
    ids = vocabulary.load().encode_to_numpy(text, disallowed_special=())
    if len(ids) < settings.min_tokens:
        return Dropped(Reason.TOO_SHORT, f"{len(ids)} tokens, at least {settings.min_tokens} are wanted")
    return Extracted(
        title=title,
        text=text,
        language_probability=english,
        tokens=ids.astype("<u2").tobytes(),
        text_hash=minhash.text_hash(text),
        signature=minhash.sign(minhash.shingles(text)).astype("<u4").tobytes(),
    )


def main_text(html: str, settings: ExtractSettings) -> tuple[str, str]:
    """(title, main text) of a page; "" where there is none. The text is safe to tokenize."""
    tree = load_html(html)
    if tree is None:
        return "", ""
    title = " ".join(clean(tree.findtext(".//title") or "").split())[:_MAX_TITLE]
    options = Extractor(output_format="txt", fast=True, comments=False, recall=settings.favor_recall)
    return title, clean(trafilatura.extract(tree, options=options) or "")


def clean(text: str) -> str:
    """Without control characters and lone surrogates, without endless blanks, of bounded length."""
    text = text.encode("utf-8", "ignore").translate(None, _CONTROLS).decode()  # "ignore" drops lone surrogates
    if len(text) > _MANY_BLANKS:
        text = _LONG_BLANK.sub(lambda run: run.group()[0], text)
    return text[:_MAX_TEXT].strip()


def load_models() -> None:
    """Load what `extract_page` would load at its first page."""
    vocabulary.load()
    language.identify("warm up")
    minhash.sign(minhash.shingles("warm up"))
