"""What an archived HTTP message says: status, header fields, decoded payload, and whether that is a web page.

Archives hold what servers sent and what crawlers made of it: headers that announce a coding already undone, chunked
bodies cut by a size limit, PDF under the name of HTML. So each announced coding is tried and dropped where the bytes
disprove it, and no amount of input makes a result larger than its limit.
"""

import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from fastwarc.stream_io import BrotliReader, GzipReader, ZstdReader

MAX_HEAD_BYTES: Final = 64 * 2**10
"""Longest block of header fields that is read: twice what servers and fastwarc allow."""

# More codings than this on one message is an attack: each multiplies the work.
_MAX_CODINGS: Final = 3
_MAX_MEMBERS: Final = 16  # gzip members or zstd frames of a body that is to be decoded whole; servers send one
_GZIP: Final = b"\x1f\x8b\x08"  # no stream of another coding begins like this, but one of br in millions
_MAX_FRAMES: Final = 1000  # zstd frames of a body that is read as far as it goes: each costs ZstdReader up to 60 us
_ZSTD_FRAME: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE_FRAME: Final = b"\x2a\x4d\x18"  # after an octet of any low half
_ANY_ZSTD_FRAME: Final = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
_STEP_BYTES: Final = 32 * 2**10

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_STATUS_LINE = re.compile(rb"HTTP(?:/[\d.]*)?[ \t]+(\d{3})(?!\d)")
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]{0,1024})?\r?\n")
_CHUNK_END = re.compile(rb"\r?\n")
_CHARSET = re.compile(rb"charset\s*+=\s*+[\"']?+\s*+([\w.:+-]{1,40})", re.IGNORECASE)
_NOT_BLANK = re.compile(rb"[^\s\0\xef\xbb\xbf\xfe\xff]")

_HTML_TYPES: Final = frozenset({"text/html", "application/xhtml+xml"})
# A type that says nothing, by the MIME Sniffing standard section 7. text/plain is not among them: it is shown as text.
_NO_TYPES: Final = frozenset({"", "unknown/unknown", "application/unknown", "*/*"})
_MAGIC: Final = (
    b"%PDF-",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"\xff\xd8\xff",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"Rar!\x1a\x07",
    b"7z\xbc\xaf\x27\x1c",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    b"\x28\xb5\x2f\xfd",
    b"wOFF",
    b"wOF2",
    b"OggS",
)
# What may stand before the first tag: white space, comments, an XML declaration.
_PROLOGUE = re.compile(rb"(?:\s++|<!--.*?-->|<\?xml[^>]*+>)*+", re.DOTALL)
_FIRST_TAG = re.compile(rb"<!doctype\s+html|<html[\s>]", re.IGNORECASE)
_EARLY_TAG = re.compile(rb"<(?:head|body)[\s>]", re.IGNORECASE)
_SNIFF_BYTES: Final = 2048


@dataclass(frozen=True, slots=True)
class HttpMessage:
    """A response as archived: nothing decoded."""

    status: int
    fields: Mapping[bytes, bytes]  # names in lower case; of equal names the first
    body: bytes


def parse_fields(head: bytes) -> dict[bytes, bytes]:
    """Header fields of `head`, whose first line (version or status) is skipped. Names in lower case, the first wins.

    Source: RFC 9112 section 5 (folded lines: section 5.2); WARC 1.1 section 4 uses the same form.
    """
    fields: dict[bytes, bytes] = {}
    for line in _FOLD.sub(b" ", head).split(b"\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return fields


def field_lines(head: bytes) -> list[tuple[str, str]]:
    """All header fields of `head` in their order, its first line skipped. For fields of which each line counts."""
    lines = (line.partition(b":") for line in _FOLD.sub(b" ", head).split(b"\n")[1:])
    return [(name.strip().decode("latin-1"), value.strip().decode("latin-1")) for name, colon, value in lines if colon]


def parse_response(block: bytes) -> HttpMessage | None:
    """The response in `block`, or None where it does not begin with a status line or its head exceeds MAX_HEAD_BYTES.

    A head without its closing empty line is taken as a message without body.

    Source: RFC 9112 sections 2.1 and 4.
    """
    status = _STATUS_LINE.match(block)
    if status is None:
        return None
    end = _HEAD_END.search(block, 0, MAX_HEAD_BYTES)
    if end is None and len(block) > MAX_HEAD_BYTES:
        return None
    head, body = (block, b"") if end is None else (block[: end.start()], block[end.end() :])
    return HttpMessage(int(status[1]), parse_fields(head), body)


def media_type(value: bytes) -> str:
    """Lower-case type/subtype of a Content-Type, without parameters; "" where it names none."""
    # Some servers send the field twice, which archives join by a comma.
    name = value.partition(b";")[0].partition(b",")[0].strip().lower()
    return name.decode("ascii", "replace") if b"/" in name else ""


def charset(value: bytes) -> str | None:
    """Lower-case charset parameter of a Content-Type, or None."""
    match = _CHARSET.search(value)
    return match[1].decode("ascii", "replace").lower() if match else None


def decode_body(message: HttpMessage, limit: int) -> bytes:
    """The body without transfer and content codings, at most `limit` bytes of it.

    A coding that the body does not have is ignored. Of a damaged or cut body, what precedes the damage is given.

    Source: RFC 9112 section 7.1 (chunked); RFC 9110 section 8.4 (gzip, deflate, br), RFC 8878 (zstd).
    """
    body = message.body
    if b"chunked" in message.fields.get(b"transfer-encoding", b"").lower():
        body = _dechunk(body)
    codings = _codings(message.fields.get(b"content-encoding", b""))
    if len(codings) <= _MAX_CODINGS:
        for coding in reversed(codings):
            decoder = _DECODERS.get(coding)
            decoded = decoder(body, limit) if decoder else b""
            # Nothing came out: the crawler had decoded it before (very common), or it is not what the header says.
            body = decoded or body
    return body[:limit]


def decode_whole(body: bytes, content_encoding: bytes, limit: int) -> bytes:
    """`body` without its content codings: all of it, or its first `limit` bytes.

    For what must not be misread: unlike decode_body, a coding that can't be undone is an error. A stream that begins
    like gzip is taken as gzip, announced or not: servers send files that are stored compressed.

    Raises:
        ValueError: a coding is unknown, there are too many, or the stream is damaged or cut short before `limit`.
    """
    codings = [coding for coding in _codings(content_encoding) if coding != b"identity"]
    if len(codings) > _MAX_CODINGS:
        raise ValueError(f"{len(codings)} content codings, at most {_MAX_CODINGS} are undone")
    for announced in (*reversed(codings), b""):
        coding = b"gzip" if body.startswith(_GZIP) else announced
        if not coding or not body:  # the last turn is for gzip that is not announced; nothing has no coding
            continue
        name = coding.decode("latin-1")[:40]
        if coding not in _WHOLE_DECODERS:
            known = ", ".join(known.decode() for known in _WHOLE_DECODERS)
            raise ValueError(f"content coding {name!r} is unknown, known are {known}")
        try:
            body = _WHOLE_DECODERS[coding](body, limit)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise ValueError(f"damaged {name}: {error}") from error
    return body[:limit]


def _codings(content_encoding: bytes) -> list[bytes]:
    return content_encoding.lower().replace(b",", b" ").split()


def _dechunk(body: bytes) -> bytes:
    """`body` without chunked coding; `body` itself where its first chunk shows that it has none."""
    chunks: list[bytes] = []
    at = 0
    while size := _CHUNK_SIZE.match(body, at):
        start, length = size.end(), int(size[1], 16)
        chunks.append(body[start : start + length])
        if length == 0 or start + length >= len(body):  # the last chunk, or the crawler stopped here
            return b"".join(chunks)
        end = _CHUNK_END.match(body, start + length)
        if end is None:
            break
        at = end.end()
    # A page that begins with a line like "2024" has one "chunk" without an end; a fault later on cuts the page.
    return b"".join(chunks) if at else body


class _Reader(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _steps(open_reader: Callable[[io.BytesIO], _Reader], body: bytes, limit: int) -> Iterator[bytes]:
    """Small parts of what `body` decodes to, at most `limit` bytes. Raises what the reader does."""
    reader = open_reader(io.BytesIO(body))
    while limit > 0 and (part := reader.read(min(_STEP_BYTES, limit))):
        yield part
        limit -= len(part)


def _drain(open_reader: Callable[[io.BytesIO], _Reader]) -> Callable[[bytes, int], bytes]:
    def decode(body: bytes, limit: int) -> bytes:
        parts: list[bytes] = []
        with suppress(OSError, ValueError, EOFError):  # from the decoder: there is no I/O behind BytesIO
            parts.extend(_steps(open_reader, body, limit))  # what came before the damage stays
        return b"".join(parts)

    return decode


def _unzstd(body: bytes, limit: int) -> bytes:
    """What 1,000 frames give; those behind them are taken as damage."""
    if _zstd_frames(body) > _MAX_FRAMES:
        last = next(islice(_ANY_ZSTD_FRAME.finditer(body), _MAX_FRAMES, None))
        body = body[: last.start()]
    return _drain(ZstdReader)(body, limit)


def _zstd_frames(body: bytes) -> int:
    """Frames at most; 3 or 4 bytes of one are there by chance as well."""
    return body.count(_ZSTD_FRAME) + body.count(_ZSTD_SKIPPABLE_FRAME)


def _inflate(body: bytes, limit: int) -> bytes:
    """RFC 9110 calls zlib's form "deflate", many servers send the bare form."""
    for window in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        try:
            return zlib.decompressobj(window).decompress(body, limit)
        except zlib.error:
            continue
    return b""


def _gunzip_whole(body: bytes, limit: int) -> bytes:
    """What follows the last member is padding. GzipReader takes a cut stream as whole."""
    decoded = b""
    for _ in range(_MAX_MEMBERS):
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        decoded += stream.decompress(body, limit - len(decoded))
        if len(decoded) >= limit:
            return decoded
        if not stream.eof:
            raise ValueError("cut short")
        body = stream.unused_data
        if not body.startswith(_GZIP):
            return decoded
    raise ValueError(f"more than {_MAX_MEMBERS} members")


def _inflate_whole(body: bytes, limit: int) -> bytes:
    for window in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        stream = zlib.decompressobj(window)
        try:
            decoded = stream.decompress(body, limit)
        except zlib.error:
            continue
        if stream.eof or len(decoded) >= limit:
            return decoded
    raise ValueError("no whole stream")


def _unbrotli_whole(body: bytes, limit: int) -> bytes:
    return b"".join(_steps(BrotliReader, body, limit))  # it raises where a stream is cut short, as ZstdReader does


def _unzstd_whole(body: bytes, limit: int) -> bytes:
    if _zstd_frames(body) > _MAX_MEMBERS:
        raise ValueError(f"more than {_MAX_MEMBERS} frames")
    return b"".join(_steps(ZstdReader, body, limit))


_DECODERS: Final[Mapping[bytes, Callable[[bytes, int], bytes]]] = {
    b"gzip": _drain(GzipReader),
    b"x-gzip": _drain(GzipReader),
    b"br": _drain(BrotliReader),
    b"zstd": _unzstd,
    b"deflate": _inflate,
}
_WHOLE_DECODERS: Final[Mapping[bytes, Callable[[bytes, int], bytes]]] = {
    b"gzip": _gunzip_whole,
    b"x-gzip": _gunzip_whole,
    b"br": _unbrotli_whole,
    b"zstd": _unzstd_whole,
    b"deflate": _inflate_whole,
}


def is_blank(payload: bytes) -> bool:
    """True where there is nothing but white space, NUL and byte-order marks."""
    return _NOT_BLANK.search(payload) is None


def is_html(content_type: str, payload: bytes) -> bool:
    """Whether this is a web page: by its type where that says something, else by its first bytes, never against magic.

    Source: WHATWG MIME Sniffing sections 6 and 7 (the scan for <head> and <body> is wider than the standard's).
    """
    if payload.startswith(_MAGIC):
        return False
    return content_type in _HTML_TYPES or (content_type in _NO_TYPES and _sniffs_as_html(payload))


def _sniffs_as_html(payload: bytes) -> bool:
    # NUL is dropped so that UTF-16 looks like ASCII, the marks so that the first tag comes first.
    start = payload[:_SNIFF_BYTES].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xfe\xff")
    prologue = _PROLOGUE.match(start)
    first = prologue.end() if prologue else 0
    return _FIRST_TAG.match(start, first) is not None or _EARLY_TAG.search(start, first) is not None
