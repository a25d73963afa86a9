"""Byte ranges of files that are far away: one record out of an archive, a few columns out of a table.

http and https URLs are asked with Range requests over kept connections; any other path is read through
files/storage.py. Servers are not trusted: an answer counts only if it is the very range that was asked for, redirects
are not followed, and no answer can be longer or slower than a bound.
"""

import io
import random
import re
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO, Final

import urllib3

from webtext.pipeline.files import storage
from webtext.pipeline.pages.commoncrawl.range_cache import RangeCache
from webtext.pipeline.pages.commoncrawl.settings import CommonCrawlSettings

_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_BUSY: Final = frozenset((408, 425, 429, 500, 502, 503, 504))
_LONGEST_WAIT: Final = 60.0  # seconds, whatever Retry-After says
_SLOWEST: Final = 5_000  # bytes per second: a slower answer is given up
_MAX_RUN: Final = 4 * 2**20  # bytes of one request for several ranges
_MAX_READ: Final = 16 * 2**20  # bytes of one request for a piece of a stream
_OUTAGE: Final = 8  # ranges in a row without an answer, or files in a row without a range: no property of the ranges


class RangeError(OSError):
    """A range that can't be had."""


class NoAnswerError(RangeError):
    """No answer at all, or a server that is too busy: it says nothing about the range."""


class _WrongAnswerError(RangeError):
    """An answer that isn't the range. May come right."""


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """So many bytes of a file."""

    path: str
    start: int
    length: int

    @property
    def end(self) -> int:
        """The byte behind the last one."""
        return self.start + self.length


def is_http(path: str) -> bool:
    """Whether this is a URL for Range requests."""
    return path.lower().startswith(("http://", "https://"))


def runs(wanted: Sequence[Range], gap: int) -> Iterator[list[Range]]:
    """Ranges that one request can read together: of one file, at most `gap` bytes apart. `wanted` is sorted."""
    run: list[Range] = []
    for one in wanted:
        if run and (
            one.path != run[0].path
            or one.start > max(other.end for other in run) + gap
            or one.end - run[0].start > _MAX_RUN
        ):
            yield run
            run = []
        run.append(one)
    if run:
        yield run


class RangeReader:
    """Reads ranges. May be shared by threads: what a server says about its load holds for all of them."""

    def __init__(self, settings: CommonCrawlSettings) -> None:
        self._settings = settings
        self._http = urllib3.PoolManager(
            num_pools=8,
            maxsize=settings.connections,
            block=True,
            headers={"User-Agent": settings.user_agent, "Accept-Encoding": "identity"},
        )
        self._cache = RangeCache(settings.cache) if settings.cache else None
        self._lock = threading.Lock()
        self._not_before = 0.0  # on the monotonic clock
        self.requests = 0
        self.retries = 0

    def read(self, wanted: Range) -> bytes:
        """The bytes of a range. Raises RangeError."""
        if wanted.start < 0 or wanted.length <= 0:
            raise RangeError(f"range of {wanted.length} bytes from byte {wanted.start}")
        if storage.is_local(wanted.path):
            return _read_stored(wanted)
        data: bytes = self._attempts(wanted)
        return data

    def read_once(self, wanted: Range) -> bytes:
        """`read`, out of the cache where there is one. Raises RangeError, and OSError from the cache."""
        if self._cache is None or storage.is_local(wanted.path):
            return self.read(wanted)
        data = self._cache.get(wanted.path, wanted.start, wanted.length)
        if data is None:
            data = self.read(wanted)
            self._cache.put(wanted.path, wanted.start, data)
        return data

    def size(self, url: str) -> int:
        """Bytes of the file at an http(s) URL. Raises RangeError."""
        size: int = self._attempts(Range(url, 0, 1), size=True)
        return size

    def close(self) -> None:
        """Close all connections."""
        self._http.clear()

    def _attempts(self, wanted: Range, size: bool = False) -> Any:
        attempt = 0
        while True:
            self._wait_for_server()
            try:
                return self._request(wanted, size) if is_http(wanted.path) else _read_stored(wanted)
            except (NoAnswerError, _WrongAnswerError) as error:
                if attempt >= self._settings.retries:
                    raise
                self._back_off(attempt, error)
            attempt += 1

    def _wait_for_server(self) -> None:
        with self._lock:
            self.requests += 1
            wait = self._not_before - time.monotonic()
        if wait > 0:
            time.sleep(wait)

    def _back_off(self, attempt: int, error: RangeError) -> None:
        longest = min(_LONGEST_WAIT, self._settings.backoff * 2**attempt)
        wait = longest * random.uniform(0.5, 1)  # noqa: S311 - so that workers don't come back all at once
        stated = error.args[1] if len(error.args) > 1 else None
        with self._lock:
            self.retries += 1
            if isinstance(error, NoAnswerError):
                if stated is not None:
                    wait = min(_LONGEST_WAIT, max(wait, stated))
                self._not_before = max(self._not_before, time.monotonic() + wait)
        if not isinstance(error, NoAnswerError):
            time.sleep(wait)

    def _request(self, wanted: Range, size: bool) -> bytes | int:
        try:
            response = self._http.request(
                "GET",
                wanted.path,
                headers={
                    "User-Agent": self._settings.user_agent,
                    "Accept-Encoding": "identity",
                    "Range": f"bytes={wanted.start}-{wanted.end - 1}",
                },
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=self._settings.timeout, read=self._settings.timeout),
            )
        except urllib3.exceptions.LocationParseError as error:
            raise RangeError(f"{wanted.path}: {error}") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise NoAnswerError(f"{wanted.path}: {error}", None) from error
        whole = False
        try:
            total = _check_head(response, wanted)
            data = _read_body(response, wanted, time.monotonic() + self._settings.timeout + wanted.length / _SLOWEST)
            whole = True
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if isinstance(error, RangeError):
                raise
            raise _WrongAnswerError(f"{wanted.path}: the answer broke off: {error}") from error
        finally:
            if not whole:
                response.close()  # what is left in it must not be taken for the next answer
            response.release_conn()  # also a closed one: its place in the pool is what other threads wait for
        if size:
            if total is None:
                raise RangeError(f"{wanted.path}: the server does not tell the size of the file")
            return total
        return data


def _check_head(response: urllib3.BaseHTTPResponse, wanted: Range) -> int | None:
    """The size of the file, where the answer is what was asked for. Raises RangeError."""
    status, path = response.status, wanted.path
    if status in _BUSY:
        raise NoAnswerError(f"{path}: HTTP status {status}", _retry_after(response.headers.get("Retry-After", "")))
    if status == 200:
        raise _WrongAnswerError(f"{path}: the server ignores Range")
    if status != 206:
        raise RangeError(
            f"{path}: HTTP status {status}" + (", redirects are not followed" if 300 <= status < 400 else "")
        )
    stated = response.headers.get("Content-Range", "")
    match = _CONTENT_RANGE.fullmatch(stated.strip())
    if match is None or (int(match[1]), int(match[2])) != (wanted.start, wanted.end - 1):
        raise _WrongAnswerError(f"{path}: asked for bytes {wanted.start}-{wanted.end - 1}, got {stated[:80]!r}")
    coding = response.headers.get("Content-Encoding", "identity")
    length = response.headers.get("Content-Length", str(wanted.length))
    if coding.lower() != "identity" or length != str(wanted.length):
        raise _WrongAnswerError(
            f"{path}: {length[:20]} bytes in coding {coding[:20]!r}, not {wanted.length} plain ones"
        )
    return None if match[3] == "*" else int(match[3])


def _read_body(response: urllib3.BaseHTTPResponse, wanted: Range, deadline: float) -> bytes:
    pieces = bytearray()
    while len(pieces) <= wanted.length:
        piece = response.read1(min(65_536, wanted.length + 1 - len(pieces)))
        if not piece:
            break
        pieces += piece
        if time.monotonic() > deadline:
            raise _WrongAnswerError(f"{wanted.path}: the answer is slower than {_SLOWEST} bytes per second")
    if len(pieces) != wanted.length:
        raise _WrongAnswerError(f"{wanted.path}: {len(pieces)} bytes came, asked for {wanted.length}")
    return bytes(pieces)


def _retry_after(value: str) -> float | None:
    """Seconds to wait by a Retry-After field (RFC 9110 section 10.2.3), or None."""
    if value.strip().isdigit():
        return float(value.strip()[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _read_stored(wanted: Range) -> bytes:
    try:
        with storage.open_binary(wanted.path) as stream:
            stream.seek(wanted.start)
            data = stream.read(wanted.length)
    except Exception as error:  # Beam's FileSystems raise what their client library raises
        kind = RangeError if storage.is_local(wanted.path) else NoAnswerError
        raise kind(f"{wanted.path}: {error}", None) from error
    if len(data) != wanted.length:
        raise RangeError(f"{wanted.path}: {len(data)} bytes from byte {wanted.start}, asked for {wanted.length}")
    return data


def read_all(
    reader: RangeReader, wanted: Sequence[Range], gap: int, connections: int
) -> Iterator[tuple[Range, bytes | RangeError]]:
    """Every range with its bytes, or with why it can't be had, in the order of `wanted`, which is sorted.

    Holds two requests per connection in memory, 4 MiB each (or one range, where that is larger).

    Raises:
        RangeError: many ranges in a row had no answer, or many files in a row: the fault is not with the ranges.
    """
    silent = 0
    failed: set[str] = set()  # files
    ready: deque[tuple[list[Range], Future[list[bytes | RangeError]]]] = deque()
    groups = runs(wanted, gap)
    threads = ThreadPoolExecutor(connections, "ranges")
    try:
        while True:
            while len(ready) < 2 * connections and (run := next(groups, None)):
                ready.append((run, threads.submit(_read_run, reader, run)))
            if not ready:
                return
            run, future = ready.popleft()
            for one, data in zip(run, future.result(), strict=True):
                silent = silent + 1 if isinstance(data, NoAnswerError) else 0
                failed = failed | {one.path} if isinstance(data, RangeError) else set()
                if isinstance(data, RangeError) and (silent >= _OUTAGE or len(failed) >= _OUTAGE):
                    raise RangeError(
                        f"no range could be read from {len(failed)} files in a row, so the fault is with the server or "
                        f"the prefix; the last: {data.args[0]}"
                    ) from data
                yield one, data
    finally:
        threads.shutdown(cancel_futures=True)


def _read_run(reader: RangeReader, run: Sequence[Range]) -> list[bytes | RangeError]:
    if len(run) > 1:
        start, end = run[0].start, max(one.end for one in run)
        try:
            data = reader.read_once(Range(run[0].path, start, end - start))
            return [data[one.start - start : one.end - start] for one in run]
        except NoAnswerError as error:
            return [error] * len(run)
        except RangeError:
            pass  # one of them may be behind the end of the file: the others are not to suffer for it
    return [_read_one(reader, one) for one in run]


def _read_one(reader: RangeReader, one: Range) -> bytes | RangeError:
    try:
        return reader.read_once(one)
    except RangeError as error:
        return error


class HttpFile(io.RawIOBase):
    """A file at an http(s) URL as a seekable stream. Every read is a request, so it wants a buffer in front of it."""

    def __init__(self, reader: RangeReader, url: str) -> None:
        self._reader = reader
        self._url = url
        self._size = reader.size(url)
        self._at = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place; returns it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"seek to byte {base + offset}")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """The place of the next byte."""
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Fill `buffer` as far as one request goes; 0 at the end. Raises RangeError."""
        length = min(len(buffer), self._size - self._at, _MAX_READ)
        if length <= 0:
            return 0
        buffer[:length] = self._reader.read(Range(self._url, self._at, length))
        self._at += length
        return length


def open_binary(reader: RangeReader, path: str) -> BinaryIO:
    """A seekable stream of a file that is behind a URL, or wherever pipeline.files.storage finds it. Raises OSError."""
    if is_http(path):
        return io.BufferedReader(HttpFile(reader, path), 2**20)
    return storage.open_binary(path)
