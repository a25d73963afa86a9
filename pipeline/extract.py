"""Pages to documents: decode, extract with trafilatura, keep English texts of some length, tokenize, sign.

`extract_page` is pure and sees one page. It runs in a sandbox (see sandbox.py), because hostile markup can keep lxml
busy for minutes. Settings were measured (F1 on three truth sets): `fast` costs no quality on articles at 1.4 times the
speed, comments cost quality, `deduplicate` leaks state from page to page.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import BinaryIO

import msgspec
import numpy as np
import trafilatura
from resiliparse.parse.encoding import detect_encoding
from trafilatura.settings import Extractor
from trafilatura.utils import load_html

from pipeline import language, minhash, storage, tabular, warc
from pipeline.sandbox import Failure, Sandbox
from pipeline.settings import ExtractSettings
from pipeline.stage import Part, PartOutput
from pipeline.tabular import TableWriter
from schemas import tables, vocabulary
from schemas.records import Page, Reason, Rejected

STAGE = "documents"

_MAX_TAGS = 50_000  # "<" in a page: trafilatura's time grows faster than the page
_MAX_ATTRIBUTES = 10_000  # in one tag: lxml's time is quadratic in them, 2.3 s for 20,000
_MAX_TITLE = 500  # characters
_MAX_TEXT = 2_000_000  # characters
_BATCH = 32  # pages per exchange with the sandbox
_OPEN_ARCHIVES = 64  # files that one part keeps open

_LONG_BLANK = re.compile(r"\s{1000,}")
_MANY_BLANKS = 500_000  # tiktoken panics at about 0.9 million blanks in a row, so a shorter text can't make it
_CONTROLS = bytes(code for code in range(32) if chr(code) not in "\t\n\r")
_LONG_TAG = re.compile("<[^<>]{65536,}")  # real pages have such, with a whole JSON document in one attribute


class Extracted(msgspec.Struct, tag=True):
    """What a page yields."""

    title: str
    text: str
    language_probability: float
    tokens: bytes  # little-endian uint16
    text_hash: bytes
    signature: bytes  # little-endian uint32


class Dropped(msgspec.Struct, tag=True):
    """Why a page yields nothing."""

    reason: Reason
    detail: str


_encode = msgspec.msgpack.Encoder().encode
_decode: Callable[[bytes], Extracted | Dropped] = msgspec.msgpack.Decoder(Extracted | Dropped).decode


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


def extract_page(payload: bytes, settings: ExtractSettings) -> Extracted | Dropped:
    """One page to one document, or the first reason against it.

    Args:
        payload: the page as the server sent it, transfer and content encodings undone.
        settings: limits and thresholds.
    """
    html = decode(payload)
    tags = html.count("<")
    if tags > _MAX_TAGS:
        return Dropped(Reason.PAGE_TOO_COMPLEX, f"{tags} tags, at most {_MAX_TAGS} are parsed")
    attributes = max((tag.group().count("=") for tag in _LONG_TAG.finditer(html)), default=0)
    if attributes > _MAX_ATTRIBUTES:
        return Dropped(
            Reason.PAGE_TOO_COMPLEX, f"{attributes} attributes in a tag, at most {_MAX_ATTRIBUTES} are parsed"
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


def make_extractor(settings: ExtractSettings) -> Callable[[bytes], bytes]:
    """`extract_page` from bytes to bytes, with all models loaded."""
    vocabulary.load()
    language.identify("warm up")
    minhash.sign(minhash.shingles("warm up"))
    return lambda payload: _encode(extract_page(payload, settings))


def run(settings: ExtractSettings, part: Part, output: PartOutput, blocks: Sequence[bytes]) -> None:
    """Stage `documents`: one part of the page index to one part of the documents, in order of the keys."""
    del blocks
    with (
        ExitStack() as archives,
        Sandbox(partial(make_extractor, settings), settings.cpu_seconds, settings.memory_mib) as sandbox,
        output.table("documents", tables.DOCUMENTS) as table,
    ):
        streams = _Archives(archives)
        for pages in _batches(part.inputs[0]):
            output.taken += len(pages)
            payloads = [_read(streams, page, settings.max_page_bytes) for page in pages]
            answers = sandbox.run([payload for payload in payloads if isinstance(payload, bytes)])
            for page, payload in zip(pages, payloads, strict=True):
                result = payload if isinstance(payload, Dropped) else _result(next(answers))
                if isinstance(result, Dropped):
                    output.reject(Rejected(STAGE, result.reason, page.key, page.url, result.detail))
                else:
                    _write(table, page, result)
                    output.passed += 1
                    output.counts["tokens"] += len(result.tokens) // 2
    output.rows = output.passed


def _batches(path: str) -> Iterator[list[Page]]:
    for batch in tabular.batches(path, rows=_BATCH):
        yield [Page(**row) for row in batch.to_pylist()]


class _Archives:
    """The archives of one part, opened at first use; the oldest closes when there are too many."""

    def __init__(self, stack: ExitStack) -> None:
        self._open: dict[str, BinaryIO] = {}
        stack.callback(self._close, 0)

    def __getitem__(self, path: str) -> BinaryIO:
        if path not in self._open:
            self._close(_OPEN_ARCHIVES - 1)
            self._open[path] = storage.open_binary(path)
        return self._open[path]

    def _close(self, keep: int) -> None:
        while len(self._open) > keep:
            self._open.pop(next(iter(self._open))).close()


def _read(streams: _Archives, page: Page, max_page_bytes: int) -> bytes | Dropped:
    try:
        raw = warc.read_page(streams[page.archive], page.offset, max_page_bytes)
    except warc.BadRecord as error:
        return Dropped(Reason.PAGE_UNREADABLE, str(error))
    if raw.truncated:
        return Dropped(Reason.PAGE_TOO_LARGE, f"over {max_page_bytes} bytes")
    return raw.payload


def _result(answer: bytes | Failure) -> Extracted | Dropped:
    return Dropped(answer.reason, answer.detail) if isinstance(answer, Failure) else _decode(answer)


def _write(table: TableWriter, page: Page, found: Extracted) -> None:
    table.add(
        page.key,
        page.url,
        page.score,
        page.created_utc,
        page.captured_utc,
        found.title,
        found.text,
        len(found.text),
        found.language_probability,
        np.frombuffer(found.tokens, "<u2"),
        len(found.tokens) // 2,
        found.text_hash,
        found.signature,
    )
