"""One compressed member of an archive, decompressed step by step into bounded pieces."""

from typing import Final, Protocol

import lz4.frame  # type: ignore[import-untyped]
import zstandard
from zlib_ng import zlib_ng  # inflates at more than twice the speed of the standard library's zlib

_InflateError: type[Exception] = zlib_ng.error  # type: ignore[assignment]  # the stub takes it for an instance


class Lz4Error(Exception):
    """An LZ4 frame is damaged: what the library says in a RuntimeError."""


DAMAGED: Final = (_InflateError, zstandard.ZstdError, Lz4Error)
"""What `feed` raises for damaged data."""

_OUTPUT_BYTES: Final = 256 * 2**10


class Member(Protocol):
    """One compressed member, being decompressed."""

    @property
    def ended(self) -> bool:
        """Whether its end was reached."""

    def feed(self, data: bytes, at: int) -> tuple[bytes, int]:
        """Some output, of bounded size, from data[at:]; and how far the input was used."""


class Plain:
    """Bytes that are not compressed."""

    ended = False

    def feed(self, data: bytes, at: int) -> tuple[bytes, int]:
        """See Member."""
        return data[at:], len(data)


class GzipMember:
    """A gzip member; with other window bits than zlib has for gzip, a stream of zlib or of bare deflate."""

    # The decompressor hands back what it did not use as a copy: small steps keep that cheap where members are small.
    STEP_BYTES: Final = 16 * 2**10

    def __init__(self, window_bits: int = 16 + zlib_ng.MAX_WBITS) -> None:
        self._decompressor = zlib_ng.decompressobj(window_bits)

    @property
    def ended(self) -> bool:
        """See Member."""
        return self._decompressor.eof

    def feed(self, data: bytes, at: int) -> tuple[bytes, int]:
        """See Member."""
        step = memoryview(data)[at : at + self.STEP_BYTES]
        output = self._decompressor.decompress(step, _OUTPUT_BYTES)
        rest = self._decompressor.unused_data if self.ended else self._decompressor.unconsumed_tail
        return output, at + len(step) - len(rest)


class ZstdMember:
    """A zstd frame."""

    # The decompressor takes no output limit. A block of 4 bytes can give 128 KiB, so a step gives 8 MiB at most.
    STEP_BYTES: Final = 256

    def __init__(self, context: zstandard.ZstdDecompressor) -> None:
        """`context` serves one member after the other: it takes 25 us to make, tiny members less."""
        self._decompressor = context.decompressobj()

    @property
    def ended(self) -> bool:
        """See Member."""
        return self._decompressor.eof

    def feed(self, data: bytes, at: int) -> tuple[bytes, int]:
        """See Member."""
        step = data[at : at + self.STEP_BYTES]
        output = self._decompressor.decompress(step)
        return output, at + len(step) - (len(self._decompressor.unused_data) if self.ended else 0)


class Lz4Member:
    """An LZ4 frame."""

    # A step ends one block of 4 MiB, or some small ones of up to 255 times its bytes.
    STEP_BYTES: Final = 4096

    def __init__(self) -> None:
        self._decompressor = lz4.frame.LZ4FrameDecompressor()

    @property
    def ended(self) -> bool:
        """See Member."""
        return bool(self._decompressor.eof)

    def feed(self, data: bytes, at: int) -> tuple[bytes, int]:
        """See Member."""
        step = data[at : at + self.STEP_BYTES]
        try:
            output: bytes = self._decompressor.decompress(step)
        except RuntimeError as error:
            raise Lz4Error(str(error)) from error
        return output, at + len(step) - len(self._decompressor.unused_data or b"")
