"""Extraction as bytes to bytes, which is how a page goes into a sandbox and what is said of it comes out."""

from collections.abc import Callable

import msgspec

from webtext.pipeline.archives.warc import RawPage
from webtext.pipeline.documents.extract import extract_page, load_models
from webtext.pipeline.engine import pool
from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text.document import Document
from webtext.schemas.records import Loss

# Also in the workers of an engine, which import this module and no recipe: else each child would load all by itself.
pool.preload = "webtext.pipeline.preload"

_encode = msgspec.msgpack.Encoder().encode
_decode: Callable[[bytes], Document | Loss] = msgspec.msgpack.Decoder(Document | Loss).decode


def make_extractor(settings: ExtractSettings) -> Callable[[bytes], bytes]:
    """`extract_page` from bytes to bytes for a sandbox, with all models loaded."""
    load_models()

    def work(request: bytes) -> bytes:
        charset, payload = request.split(b" ", 1)
        return _encode(extract_page(payload, settings, charset.decode() or None))

    return work


def request(raw: RawPage) -> bytes:
    """A page as `make_extractor`'s function takes it."""
    return b" ".join(((raw.charset or "").encode(), raw.payload))  # a charset has no blanks


def verdict(answer: bytes | Loss) -> Document | Loss:
    """What a sandbox around `make_extractor`'s function says of a page."""
    return answer if isinstance(answer, Loss) else _decode(answer)
