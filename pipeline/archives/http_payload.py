"""What an archived HTTP message says: status, header fields, decoded payload, and whether that is a web page.

Archives hold what servers sent and what crawlers made of it: headers that announce a coding already undone, chunked
bodies cut by a size limit, PDF under the name of HTML. So each announced coding is tried and dropped where the bytes
disprove it, and no amount of input makes a result larger than its limit.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from webtext.pipeline.archives.codings import codings, undo

MAX_HEAD_BYTES: Final = 64 * 2**10
"""Longest block of header fields that is read: twice what servers and fastwarc allow."""

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
"""Status of an answer that leads to its Location: RFC 9110 section 15.4."""

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_STATUS_LINE = re.compile(rb"HTTP(?:/[\d.]*)?[ \t]+(\d{3})(?!\d)")
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]{0,1024})?\r?\n")
_CHUNK_END = re.compile(rb"\r?\n")
# A token on both sides of the slash, by RFC 9110 section 5.6.2 but for "'": no type has one, and servers quote types.
_TYPE = re.compile(rb"[!#$%&*+.^_`|~0-9A-Za-z-]++/[!#$%&*+.^_`|~0-9A-Za-z-]++")
_CHARSET = re.compile(rb"charset\s*+=\s*+[\"']?+\s*+([\w.:+-]{1,40})", re.IGNORECASE)
_NOT_BLANK = re.compile(rb"[^\s\0\xef\xbb\xbf\xfe\xff]")

_NO_LISTS: Final = frozenset({b"location"})
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
    fields: Mapping[bytes, bytes]  # as `join_fields` gives them
    body: bytes


def parse_fields(head: bytes) -> dict[bytes, bytes]:
    """Header fields of `head`, whose first line (version or status) is skipped. Names in lower case, the first wins.

    Source: RFC 9112 section 5 (folded lines: section 5.2); WARC 1.1 section 4 uses the same form.
    """
    fields: dict[bytes, bytes] = {}
    for name, value in _fields_in(head):
        fields.setdefault(name, value)
    return fields


def _fields_in(head: bytes) -> Iterator[tuple[bytes, bytes]]:
    for line in _FOLD.sub(b" ", head).split(b"\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            yield name.strip().lower(), value.strip()


def join_fields(fields: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Fields by name, in lower case. Values of one name are joined by commas, in their order; of Location, the first.

    Source: RFC 9110 section 5.3.
    """
    found: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        found.setdefault(name.lower(), []).append(value)
    return {name: values[0] if name in _NO_LISTS else b", ".join(values) for name, values in found.items()}


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
    return HttpMessage(int(status[1]), join_fields(_fields_in(head)), body)


def media_type(value: bytes) -> str:
    """Lower-case type/subtype of a Content-Type, without parameters; "" where it names none that can be parsed."""
    return _parse_type(value)[0].decode("ascii")


def charset(value: bytes) -> str | None:
    """Lower-case charset parameter of a Content-Type, or None."""
    found = _parse_type(value)[1]
    return found.decode("ascii", "replace").lower() if found else None


def _parse_type(value: bytes) -> tuple[bytes, bytes]:
    """The last type of a list, and its charset: servers send the field twice. What is no type counts for nothing.

    Source: WHATWG Fetch, "extract a MIME type"; WHATWG MIME Sniffing, section 4.4. Unlike there, the charset is taken
    of what is no type too.
    """
    essence = encoding = b""
    for item in value.split(b","):
        name = item.partition(b";")[0].strip().lower()
        if _TYPE.fullmatch(name) and name != b"*/*":
            encoding = encoding if name == essence else b""
            essence = name
        parameter = _CHARSET.search(item)
        encoding = parameter[1] if parameter else encoding
    return essence, encoding


def decode_body(message: HttpMessage, limit: int) -> bytes:
    """The body without transfer and content codings, at most `limit` bytes of it.

    A coding that the body does not have is ignored. Of a damaged or cut body, what precedes the damage is given.

    Source: RFC 9112 sections 6.1 and 7 (chunked and other transfer codings); RFC 9110 section 8.4 (content codings).
    """
    body = message.body
    transfer = codings(message.fields.get(b"transfer-encoding", b""))
    if b"chunked" in transfer:  # the last one, and once, however often it is named
        body = _dechunk(body)
    return undo(body, codings(message.fields.get(b"content-encoding", b"")) + transfer, limit)[:limit]


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
