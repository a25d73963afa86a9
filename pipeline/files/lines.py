"""Lines of text files, plain or compressed with gzip, bzip2, xz or zstd, read as hostile input.

What the bytes say about the compression counts before the name of the file. Members and frames may follow one another.
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

import zstandard

from webtext.pipeline.files.expansion import MOST_TIMES, Expansion

MAX_LINE: Final = 16 * 2**20
"""Longest line in bytes. The longest line of a real dump is below 1 MiB."""

_READ = 2**20  # bytes per read
_PIECE = 2**16  # bytes that are given at once of what looks like a bomb, so that all before it comes first
_SLICE = 8192  # compressed bytes per decoder call: a bomb of zstd blocks gives at most 256 MiB for them
_WINDOW = 2**31  # bytes: Pushshift compresses with `zstd --long=31`, which readers refuse unless told


@dataclass(frozen=True, slots=True)
class TooLong:
    """Stands for a line of more bytes than are read."""

    longest: int

    def __str__(self) -> str:
        return f"has more than {self.longest} bytes"


class TruncatedInputError(ValueError):
    """A compressed file that is cut or damaged. All whole lines before the damage were yielded.

    Attributes:
        lines: how many whole lines, blank ones included, came before.
        lost: bytes of the line that the damage cut.
        why: what is wrong, and where.
    """

    def __init__(self, name: str, lines: int, lost: int, why: str) -> None:
        self.why = f"{why} after {lines} whole lines and {lost} bytes of another"
        super().__init__(f"{name}: {self.why}; download it again and compare its checksum")
        self.lines = lines
        self.lost = lost


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class _DamageError(Exception):
    """Compressed data are cut or damaged, and how."""


# For a file, what makes a decoder of each member.
_DECODERS: Final[dict[str, Callable[[], Callable[[], _Decoder]]]] = {
    ".gz": lambda: partial(zlib.decompressobj, wbits=31),
    ".bz2": lambda: BZ2Decompressor,
    ".xz": lambda: lzma.LZMADecompressor,
    ".zst": lambda: zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj,  # 50 us more than a tiny frame
}
_MAGIC: Final = (
    (re.compile(rb"\x1f\x8b"), ".gz"),
    (re.compile(rb"BZh[1-9]"), ".bz2"),
    (re.compile(rb"\xfd7zXZ\0"), ".xz"),
    (re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), ".zst"),  # a frame, or a skippable one as pzstd writes
)

_MAGIC_BYTES: Final = 6  # of the longest


def open_lines(stream: BinaryIO, name: str, longest: int = MAX_LINE) -> Iterator[bytes | TooLong]:
    """The lines of a text file as they stand there, blank ones too, without line feeds and a UTF-8 byte order mark.

    Args:
        stream: the file; read to its end, not closed, need not be seekable.
        name: its path, for the ending and for messages.
        longest: bytes of a line.

    Yields:
        A line, or TooLong in its place. The last line needs no line feed.

    Raises:
        TruncatedInputError: after all whole lines, where compressed data are cut or damaged.
        OSError: the stream can't be read. Never raised for what the file contains.
    """
    too_long = TooLong(longest)
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
                    yield too_long if len(line) > longest else _without_mark(line, lines)
                carry, skipping = rest, False
            if len(carry) > longest:
                lines += 1
                yield too_long
                carry, skipping = b"", True
    except _DamageError as damage:
        raise TruncatedInputError(name, lines, len(carry), str(damage)) from damage.__cause__
    if not skipping and (last := _without_mark(carry, lines + 1)):
        yield last


def cut_end(stream: BinaryIO, name: str, whole: bool) -> str:
    """What the end of a file that was read through without an error says of a cut, in words; "" for nothing.

    Args:
        stream: the file; seekable.
        name: its path.
        whole: whether its last record was one.
    """
    stream.seek(0)
    first = stream.read(_MAGIC_BYTES)
    kind = _kind(first, name)
    if not first and kind:
        return "it is empty"
    if not first or kind or whole:
        return ""
    stream.seek(-1, 2)
    return "" if stream.read(1) == b"\n" else "it ends inside a line"


def _without_mark(line: bytes, number: int) -> bytes:
    return line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line


def _pieces(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """The file's text in pieces of any size."""
    chunks = iter(lambda: stream.read(_READ), b"")
    first = next(chunks, b"")
    kind = _kind(first, name) if first else ""
    chunks = chain([first], chunks)
    return _decompress(chunks, _DECODERS[kind](), kind) if kind else chunks


def _kind(first: bytes, name: str) -> str:
    """The ending of the compression that a file's first bytes or, without such, its name tell of; "" for none."""
    by_content = (kind for magic, kind in _MAGIC if magic.match(first))
    by_name = (kind for kind in _DECODERS if name.lower().endswith(kind))
    return next(chain(by_content, by_name), "")


def _decompress(chunks: Iterable[bytes], new: Callable[[], _Decoder], kind: str) -> Iterator[bytes]:
    """Decode members or frames one after another.

    The libraries' own file objects are not used: zstandard's takes a cut file for a whole one, and bz2's reports damage
    with the OSError that a failing disk or network would raise.
    """
    decoder: _Decoder | None = None
    expansion = Expansion()
    for chunk in chunks:
        for start in range(0, len(chunk), _SLICE):
            data = chunk[start : start + _SLICE]
            expansion.used(len(data))
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
                size = _READ if len(text) < 100 * _SLICE else _PIECE
                for at in range(0, len(text), size):
                    piece = text[at : at + size]
                    if expansion.gave(len(piece), piece.count(b"\n")):
                        raise _DamageError(
                            f"its {kind} data give over {MOST_TIMES} times their bytes, or lines without end"
                        )
                    yield piece
                data = b""
                if decoder.eof:
                    data, decoder = decoder.unused_data, None
    if decoder is not None:
        raise _DamageError(f"its {kind} data end early")
