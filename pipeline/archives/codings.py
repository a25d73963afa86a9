"""Content codings undone: gzip, deflate, br and zstd, of pages as far as they go, of robots.txt to the end.

Servers send more than a stream (comments, line ends, NUL behind it), less (cut), and other bytes (checksums of a page
that was changed on its way). Browsers show what there is, and so does `undo`.
"""

import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

import zstandard
from fastwarc.stream_io import BrotliReader

from webtext.pipeline.archives.decompressors import DAMAGED, GzipMember, Member, ZstdMember

MAX_CODINGS: Final = 3
"""More codings than this on one message is an attack: each multiplies the work."""

_MAX_STREAMS: Final = 1000  # gzip members or zstd frames of one body; servers send one, and each costs up to 25 us
_GZIP: Final = b"\x1f\x8b\x08"  # no stream of another coding begins like this, but one of br in millions
_FIRST_OF_GZIP: Final = re.compile(_GZIP)
_FIRST_OF_ZSTD: Final = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
_MAX_WINDOW_BYTES: Final = 2**27
_STEP_BYTES: Final = 32 * 2**10
_DRIP_BYTES: Final = 16
_CUT: Final = "cut short"

_CODING: Final = re.compile(rb'[^\s,;"]+')
# Codings whose streams begin with no mark of theirs, so that text may look like one for some bytes.
_UNMARKED: Final = frozenset({b"br", b"deflate"})
# MIME Sniffing standard, section 3: "binary data byte". UTF-16 is text all the same.
_BINARY: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")
_SNIFFED_BYTES: Final = 1024


class _Decoded(NamedTuple):
    output: bytes
    fault: str = ""  # what is wrong with the bytes behind it


def codings(field: bytes) -> list[bytes]:
    """The names in a Content-Encoding or Transfer-Encoding, lower case, in the order in which they were applied."""
    return _CODING.findall(field.lower())


def undo(body: bytes, applied: Sequence[bytes], limit: int) -> bytes:
    """`body` without those of the applied codings that it has; not much longer than `limit` bytes.

    What follows a stream is ignored. Of a damaged or cut one, what precedes the damage is given.

    Source: RFC 9110 section 8.4 (gzip, deflate, br), RFC 8878 (zstd).
    """
    known = [coding for coding in applied if coding in _DECODERS]
    if len(known) <= MAX_CODINGS:
        for coding in reversed(known):
            output, fault = _DECODERS[coding](body, limit)
            # Nothing comes out: the crawler had decoded it before (very common), or it is not what the header says.
            if output and not (fault and coding in _UNMARKED and _is_text(body)):
                body = output
    return body


def undo_whole(body: bytes, content_encoding: bytes, limit: int) -> bytes:
    """`body` without its content codings: all of it, or its first `limit` bytes.

    For what must not be misread: unlike `undo`, a coding that can't be undone is an error. A stream that begins like
    gzip is taken as gzip, announced or not: servers send files that are stored compressed.

    Raises:
        ValueError: a coding is unknown, there are too many, or the stream is damaged or cut short before `limit`.
    """
    applied = [coding for coding in codings(content_encoding) if coding != b"identity"]
    if len(applied) > MAX_CODINGS:
        raise ValueError(f"{len(applied)} content codings, at most {MAX_CODINGS} are undone")
    for announced in (*reversed(applied), b""):
        coding = b"gzip" if body.startswith(_GZIP) else announced
        if not coding or not body:  # the last turn is for gzip that is not announced; nothing has no coding
            continue
        name = coding.decode("latin-1")[:40]
        if coding not in _DECODERS:
            known = ", ".join(known.decode() for known in _DECODERS)
            raise ValueError(f"content coding {name!r} is unknown, known are {known}")
        body, fault = _DECODERS[coding](body, limit)
        if fault and len(body) < limit:
            raise ValueError(f"damaged {name}: {fault}")
    return body[:limit]


def _is_text(body: bytes) -> bool:
    return body.startswith(_UTF_16) or _BINARY.search(body, 0, _SNIFFED_BYTES) is None


def _gunzip(body: bytes, limit: int) -> _Decoded:
    return _streams(GzipMember, _FIRST_OF_GZIP, body, limit)


def _unzstd(body: bytes, limit: int) -> _Decoded:
    context = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
    return _streams(partial(ZstdMember, context), _FIRST_OF_ZSTD, body, limit)


def _inflate(body: bytes, limit: int) -> _Decoded:
    """RFC 9110 calls zlib's form "deflate", many servers send the bare form."""
    found, _ = _stream(partial(GzipMember, zlib.MAX_WBITS), body, 0, limit)
    return found if found.output else _stream(partial(GzipMember, -zlib.MAX_WBITS), body, 0, limit)[0]


def _streams(make: Callable[[], Member], first: re.Pattern[bytes], body: bytes, limit: int) -> _Decoded:
    """What the streams of a body give, one behind the other. `first`: how each of them begins."""
    parts: list[bytes] = []
    at = size = 0
    for _ in range(_MAX_STREAMS):
        (output, fault), at = _stream(make, body, at, limit - size)
        parts.append(output)
        size += len(output)
        if fault or size >= limit or not first.match(body, at):
            return _Decoded(b"".join(parts), fault)
    return _Decoded(b"".join(parts), f"more than {_MAX_STREAMS} streams")


def _stream(make: Callable[[], Member], body: bytes, start: int, limit: int) -> tuple[_Decoded, int]:
    """What one stream from body[start:] gives until it has given `limit` bytes, and where it ends."""
    member, at, steps, size = make(), start, 0, 0
    parts: list[bytes] = []
    while size < limit and not member.ended:
        try:
            output, used = member.feed(body, at)
        except DAMAGED as error:
            parts.extend(_up_to_fault(make(), body, start, steps))
            return _Decoded(b"".join(parts), str(error)), at
        if not output and used == at:
            return _Decoded(b"".join(parts), _CUT), at
        steps, size, at = steps + 1, size + len(output), used
        parts.append(output)
    return _Decoded(b"".join(parts)), at


def _up_to_fault(member: Member, body: bytes, at: int, steps: int) -> Iterator[bytes]:
    """What a stream gives behind so many steps: byte by byte, since a step that fails gives nothing."""
    for _ in range(steps):
        _, at = member.feed(body, at)
    try:
        while at < len(body):
            output, used = member.feed(body[at : at + 1], 0)
            at += used
            yield output
    except DAMAGED:
        return


def _unbrotli(body: bytes, limit: int) -> _Decoded:
    parts: list[bytes] = []
    try:
        parts.extend(_steps(BrotliReader(io.BytesIO(body)), _STEP_BYTES, limit))
        return _Decoded(b"".join(parts))
    except (OSError, ValueError) as error:  # from the decoder: there is no I/O behind BytesIO
        fault = str(error)
    # It gives nothing of what it has decoded when it comes upon a fault, so now it gets little at a time.
    parts.clear()
    with suppress(OSError, ValueError):
        parts.extend(_steps(BrotliReader(_Drip(body)), _DRIP_BYTES, limit))
    return _Decoded(b"".join(parts), fault)


class _Drip(io.BytesIO):
    """Bytes that come a few at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(_DRIP_BYTES if size is None or size < 0 else min(size, _DRIP_BYTES))


def _steps(reader: BrotliReader, step: int, limit: int) -> Iterator[bytes]:
    """Small parts of what a reader gives, at most `limit` bytes. Raises what the reader does."""
    while limit > 0 and (part := reader.read(min(step, limit))):
        yield part
        limit -= len(part)


_DECODERS: Final[Mapping[bytes, Callable[[bytes, int], _Decoded]]] = {
    b"gzip": _gunzip,
    b"x-gzip": _gunzip,
    b"br": _unbrotli,
    b"zstd": _unzstd,
    b"deflate": _inflate,
}
