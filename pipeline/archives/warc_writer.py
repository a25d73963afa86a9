"""WARC 1.1 records of what a crawl sent and got, as bytes: one gzip member each, to be appended to a file.

Records are made whole before any is written, so that a journal can say where the last complete one ends. The tests
read them back with warcio, fastwarc and pipeline.archives.warc.

Source: ISO 28500:2017 (WARC 1.1) sections 5 and 6, annex C (revisit).
"""

import base64
import hashlib
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from isal import isal_zlib
from zlib_ng import zlib_ng

_GZIP: Final = 31  # window bits of zlib: 15, and 16 for gzip's frame
# Of a page of 144 kB, levels 0, 1 and 2 take 0.17, 0.18 and 0.19 ms and leave 39, 36 and 36 kB; zlib-ng's level 1 takes
# 0.30 ms and leaves 44 kB.
_LEVEL: Final = 1
# isal can't store, and what came with a content coding would grow by compression, in 0.03 ms instead of 0.003.
_STORED: Final = 0
_IDENTICAL: Final = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"
_CODING: Final = re.compile(rb"^content-encoding[ \t]*:[ \t]*(?!identity)\S", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its response."""

    url: str
    started: float  # seconds since 1970-01-01 UTC
    ip: str  # of the server, "" if unknown
    request: bytes  # the head as sent
    head: bytes  # of the response: status line and fields as they fit the payload, closed by an empty line
    payload: bytes  # without transfer coding, in its content coding
    truncated: str = ""  # why the payload is cut or missing, in WARC's words: "length", "time"; "" for a whole one

    @property
    def digest(self) -> str:
        """The payload's SHA-1 as archives write it: base 32."""
        return base64.b32encode(hashlib.sha1(self.payload, usedforsecurity=False).digest()).decode()


@dataclass(frozen=True, slots=True)
class Original:
    """The stored response whose payload a later one repeats."""

    url: str
    date: str  # its WARC-Date
    offset: int  # of its record in the file


def warc_date(seconds: float) -> str:
    """UTC time with microseconds, which WARC 1.1 allows and 1.0 doesn't."""
    # strftime takes 8 us, and two records of each page ask.
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def warcinfo(started: float, fields: Sequence[tuple[str, str]]) -> bytes:
    """The record that opens a file: who crawled, with what."""
    block = "".join(f"{name}: {_one_line(value)}\r\n" for name, value in fields).encode()
    return _record("warcinfo", started, [("Content-Type", "application/warc-fields")], [block])


def response(exchange: Exchange, digest: str) -> bytes:
    """The response as one record. `digest` is `exchange.digest`, which is dear enough to be computed once."""
    fields = _fields_of(exchange, "response", digest)
    if exchange.truncated:
        fields.append(("WARC-Truncated", exchange.truncated))
    coded = _CODING.search(exchange.head) is not None
    return _record("response", exchange.started, fields, [exchange.head, exchange.payload], coded)


def revisit(exchange: Exchange, digest: str, original: Original) -> bytes:
    """A response whose payload stands in the file already: its head alone, and where to look for the rest."""
    fields = [
        *_fields_of(exchange, "response", digest),
        ("WARC-Profile", _IDENTICAL),
        ("WARC-Refers-To-Target-URI", original.url),
        ("WARC-Refers-To-Date", original.date),
    ]
    return _record("revisit", exchange.started, fields, [exchange.head])


def request(exchange: Exchange) -> bytes:
    """The request as one record."""
    return _record("request", exchange.started, _fields_of(exchange, "request", ""), [exchange.request])


def _fields_of(exchange: Exchange, message: str, digest: str) -> list[tuple[str, str]]:
    fields = [
        ("WARC-Target-URI", _one_line(exchange.url)),
        ("Content-Type", f"application/http; msgtype={message}"),
    ]
    if exchange.ip:
        fields.append(("WARC-IP-Address", exchange.ip))
    if digest:
        fields.append(("WARC-Payload-Digest", f"sha1:{digest}"))
    return fields


def _record(
    kind: str, date: float, fields: Sequence[tuple[str, str]], block: Sequence[bytes], coded: bool = False
) -> bytes:
    lines = [
        "WARC/1.1",
        f"WARC-Type: {kind}",
        f"WARC-Record-ID: <urn:uuid:{uuid.uuid4()}>",
        f"WARC-Date: {warc_date(date)}",
        *(f"{name}: {value}" for name, value in fields),
        f"Content-Length: {sum(map(len, block))}",
    ]
    head = "\r\n".join([*lines, "", ""]).encode()
    pieces = (head, *block, b"\r\n\r\n")
    if coded:
        storer = zlib_ng.compressobj(_STORED, zlib_ng.DEFLATED, _GZIP)
        return b"".join([*map(storer.compress, pieces), storer.flush()])
    coder = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
    return b"".join([*map(coder.compress, pieces), coder.flush()])


def _one_line(value: str) -> str:
    """Servers choose URLs: none may add a field to a record."""
    return "".join(value.split("\r")).replace("\n", "")
