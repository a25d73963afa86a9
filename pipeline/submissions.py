"""Reading Reddit submissions: dumps of any age and compression, and plain lists of URLs.

A line that is not a record becomes Rejected with BAD_LINE; only what ends a whole file raises.
"""

import lzma
import re
import zlib
from bz2 import BZ2Decompressor
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import BinaryIO, Final, Protocol

import msgspec
import zstandard

from pipeline.urls import canonicalize, link_key, unescape_ampersands
from schemas.records import Reason, Rejected, Submission

STAGE: Final = "posts"  # the stage that a rejection here belongs to
MAX_LINE: Final = 16 * 2**20
"""Longest line in bytes. The longest line of a real dump is below 1 MiB."""

_READ = 2**20  # bytes per read
_SLICE = 8192  # compressed bytes per decoder call: a bomb of zstd blocks gives at most 256 MiB for them
_WINDOW = 2**31  # bytes: Pushshift compresses with `zstd --long=31`, which readers refuse unless told
_EXCERPT = 80  # bytes of a bad line to show

_MAX_SCORE = 2**40
_MAX_TIME = 253_402_300_799  # end of the year 9999; a time in milliseconds is beyond it
_NUMBER = re.compile(r"(-?[0-9]{1,18})(?:\.[0-9]*)?")


@dataclass(frozen=True, slots=True)
class Post(Submission):
    """A submission with the two marks that only selection looks at."""

    is_self: bool = False
    over_18: bool = False


class TruncatedInput(ValueError):  # noqa: N818  a state of the input; callers count it and go on
    """A compressed file that is cut or damaged. All whole lines before the damage were yielded.

    Attributes:
        lines: how many whole lines, blank ones included, came before.
        lost: bytes of the line that the damage cut.
    """

    def __init__(self, name: str, lines: int, lost: int, why: str) -> None:
        super().__init__(
            f"{name}: {why} after {lines} whole lines and {lost} bytes of another; download it again and "
            "compare its checksum"
        )
        self.lines = lines
        self.lost = lost


# Bytes to lines.


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class _DamageError(Exception):
    """Compressed data are cut or damaged, and how."""


def _zstd_decoder() -> _Decoder:
    return zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()


_DECODERS: Final[dict[str, Callable[[], _Decoder]]] = {
    ".gz": partial(zlib.decompressobj, wbits=31),
    ".bz2": BZ2Decompressor,
    ".xz": lzma.LZMADecompressor,
    ".zst": _zstd_decoder,
}
_MAGIC: Final = (
    (re.compile(rb"\x1f\x8b"), ".gz"),
    (re.compile(rb"BZh[1-9]"), ".bz2"),
    (re.compile(rb"\xfd7zXZ\0"), ".xz"),
    (re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), ".zst"),  # a frame, or a skippable one as pzstd writes
)


def open_lines(stream: BinaryIO, name: str) -> Iterator[bytes | Rejected]:
    """The lines of a text file, plain or compressed with gzip, bzip2, xz or zstd.

    What the bytes say about the compression counts before the name. Members and frames may follow one another. Blank
    lines are skipped, blanks around a line, CR LF and a UTF-8 byte order mark are removed; the last line needs no line
    feed.

    Args:
        stream: the file; read to its end, not closed, need not be seekable.
        name: its path, for the ending and for messages.

    Yields:
        A line, or Rejected with BAD_LINE in place of a line longer than MAX_LINE.

    Raises:
        TruncatedInput: after all whole lines, where compressed data are cut or damaged.
        OSError: the stream can't be read. Never raised for what the file contains.
    """
    lines, carry, skipping = 0, b"", False
    try:
        for piece in _pieces(stream, name):
            *whole, rest = piece.split(b"\n")
            if not whole:
                carry = b"" if skipping else carry + rest
            else:
                whole[0] = carry + whole[0]
                for line in whole[1:] if skipping else whole:
                    lines += 1
                    if text := _clean(line, lines):
                        yield text
                carry, skipping = rest, False
            if len(carry) > MAX_LINE:
                lines += 1
                yield _too_long()
                carry, skipping = b"", True
    except _DamageError as damage:
        raise TruncatedInput(name, lines, len(carry), str(damage)) from damage.__cause__
    if not skipping and (text := _clean(carry, lines + 1)):
        yield text


def _clean(line: bytes, number: int) -> bytes | Rejected:
    if len(line) > MAX_LINE:
        return _too_long()
    return (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).strip()


def _too_long() -> Rejected:
    return _bad_line(f"has more than {MAX_LINE} bytes")


def _pieces(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """The file's text in pieces of any size."""
    chunks = iter(lambda: stream.read(_READ), b"")
    first = next(chunks, b"")
    by_content = (kind for magic, kind in _MAGIC if magic.match(first))
    by_name = (kind for kind in _DECODERS if first and name.lower().endswith(kind))
    kind = next(chain(by_content, by_name), None)
    chunks = chain([first], chunks)
    return chunks if kind is None else _decompress(chunks, _DECODERS[kind], kind)


def _decompress(chunks: Iterable[bytes], new: Callable[[], _Decoder], kind: str) -> Iterator[bytes]:
    """Decode members or frames one after another.

    The libraries' own file objects are not used: zstandard's takes a cut file for a whole one, and bz2's reports damage
    with the OSError that a failing disk or network would raise.
    """
    decoder: _Decoder | None = None
    for chunk in chunks:
        for start in range(0, len(chunk), _SLICE):
            data = chunk[start : start + _SLICE]
            while data:
                if decoder is None:
                    data = data.lstrip(b"\0")  # padding between members: gzip on tape, xz by its standard
                    if not data:
                        break
                    decoder = new()
                try:
                    text = decoder.decompress(data)
                except (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError) as error:
                    raise _DamageError(f"its {kind} data are damaged ({error})") from error
                for at in range(0, len(text), _READ):  # a bomb of line feeds would be 300 million lines at once
                    yield text[at : at + _READ]
                data = b""
                if decoder.eof:
                    data, decoder = decoder.unused_data, None
    if decoder is not None:
        raise _DamageError(f"its {kind} data end early")


# Lines to posts.


class _Line(msgspec.Struct, gc=False):
    """What we read of a dump's line, in all the types that dumps of 2005 to 2024 and Reddit's API have used."""

    id: str | None = None
    name: str | None = None  # "t3_" + id; the only one of the two in some exports
    url: str | None = None
    score: int | float | str | None = None
    created_utc: int | float | str | None = None
    subreddit: str | None = None
    title: str | None = None
    is_self: bool | None = None
    over_18: bool | None = None
    domain: str | None = None


_DECODE = msgspec.json.Decoder(_Line).decode


def read_posts(stream: BinaryIO, name: str, list_score: int) -> Iterator[Post | Rejected]:
    """Every record of a file. It is NDJSON if its first line begins like JSON, else a list of URLs.

    Args:
        stream: see open_lines.
        name: see open_lines.
        list_score: what the lines of a URL list count for; a list has no scores.

    Raises:
        TruncatedInput: see open_lines.
        OSError: the stream can't be read.
    """
    parse: Callable[[bytes], Post | Rejected | None] | None = None
    for line in open_lines(stream, name):
        if isinstance(line, Rejected):
            yield line
            continue
        if parse is None:
            # A JSON array on one line is no dump either, but its message should speak of JSON, not of URLs.
            parse = parse_submission if line[0] in b"{[" else partial(parse_url_line, score=list_score)
        found = parse(line)
        if found is not None:
            yield found


def parse_submission(line: bytes) -> Post | Rejected:
    """One line of a dump.

    Rejected with BAD_LINE: no JSON object, a field of a type that no dump has (a Boolean score, a number as title), a
    missing id, score or created_utc, one out of range, a lone surrogate or text that is not UTF-8. Fractions are cut
    off. Where is_self is missing, the domain decides: Reddit shows self.SUBREDDIT for its own posts (self.com alone is
    a magazine). A missing url becomes "", which selection refuses.
    """
    try:
        record = _DECODE(line)
    except (ValueError, RecursionError) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        return _bad_line(f"{error}: {line[:_EXCERPT]!r}")
    url = unescape_ampersands(record.url or "")
    subreddit = record.subreddit or ""
    try:
        identity = (record.id or record.name or "").removeprefix("t3_")
        if not identity:
            raise ValueError("id is missing")
        return Post(
            identity,
            url,
            _whole(record.score, "score", -_MAX_SCORE, _MAX_SCORE),
            _whole(record.created_utc, "created_utc", 0, _MAX_TIME),
            subreddit,
            record.title or "",
            record.domain == f"self.{subreddit}" if record.is_self is None else record.is_self,
            record.over_18 or False,
        )
    except ValueError as error:
        return _bad_line(f"{error}: {line[:_EXCERPT]!r}", url)


def _whole(value: float | str | None, field: str, least: int, most: int) -> int:
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value)
        if match is None:
            raise ValueError(f"{field} is {value[:_EXCERPT]!r}, not a number")
        value = int(match[1])
    if value is None:
        raise ValueError(f"{field} is missing")
    if not least <= value <= most:
        raise ValueError(f"{field} is {value}, not within {least} to {most}")
    return int(value)


def parse_url_line(line: bytes, score: int) -> Post | Rejected | None:
    """One line of a URL list: a post without id, date, or title. None for a comment, which begins with `#`."""
    if line[:1] == b"#":
        return None
    try:
        url = line.decode()
    except UnicodeDecodeError as error:
        return _bad_line(f"{error}: {line[:_EXCERPT]!r}")
    return Post("", unescape_ampersands(url), score, 0, "", "")


def _bad_line(detail: str, url: str = "") -> Rejected:
    try:
        key = link_key(canonicalize(url))
    except ValueError:
        key = b""
    return Rejected(STAGE, Reason.BAD_LINE, key, url, detail)
