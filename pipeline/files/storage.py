"""Files by path, wherever they are: list, read, publish.

A local path is handled by the operating system, a path with a scheme (gs://, s3://, ...) by Beam's FileSystems. Beam is
imported only then, so that processes that never see such a path start a second sooner.
"""

import fcntl
import glob
import hashlib
import io
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, BinaryIO

from webtext.pipeline.files.checksums import BlockSums

# What `configure` imports: 2.5 s of processor time, which a fork server spends once for all its processes.
MODULES = ("webtext.pipeline.files.object_stores",)

_COPY = 2**20  # bytes
_UNPUBLISHED = ".tmp"  # ending of files that are being written; listings skip them, as their names begin with a dot


@dataclass(frozen=True, slots=True)
class Found:
    """One file of a listing."""

    path: str
    bytes: int
    changed: float  # seconds since 1970-01-01 UTC, 0 where the store does not tell

    def line(self) -> str:
        """A line that changes when the file does."""
        return f"{self.path} {self.bytes} {self.changed}"

    @classmethod
    def of_line(cls, line: str) -> "Found":
        """The file of such a line. Raises ValueError for another text."""
        path, size, changed = line.rsplit(" ", 2)
        return cls(path, int(size), float(changed))


def configure(flags: Sequence[str]) -> None:
    """Give Beam's FileSystems this process's flags (endpoints, keys). Needed once in each process for remote paths."""
    if flags:
        from webtext.pipeline.files import object_stores

        object_stores.configure(flags)


def is_local(path: str) -> bool:
    """Whether the operating system handles this path."""
    return "://" not in path


def join(folder: str, *names: str) -> str:
    """`folder/name/...`; all stores use the slash."""
    return "/".join([folder.rstrip("/") or "/", *names])


def expand(patterns: Iterable[str]) -> list[Found]:
    """Files that the patterns name, each once, in order of their paths.

    Raises:
        FileNotFoundError: a pattern matches nothing; the error names it.
    """
    found: dict[str, Found] = {}
    for pattern in patterns:
        matches = _match(pattern)
        if not matches:
            raise FileNotFoundError(f"no file matches {pattern!r}")
        found.update((entry.path, entry) for entry in matches)
    return [found[path] for path in sorted(found)]


def changed(then: Iterable[Found]) -> list[str]:
    """Paths of the files that are no longer what was found then."""
    now: dict[str, list[Found]] = {}  # of far folders, which are listed once each
    gone = []
    for found in then:
        place = found.path if is_local(found.path) else join(found.path.rsplit("/", 1)[0], "*")
        if place not in now:
            now[place] = _match(place)
        if found not in now[place]:
            gone.append(found.path)
    return gone


def listing(folder: str) -> dict[str, int]:
    """Sizes in bytes of the files directly inside `folder`, by name; empty where there is no such folder."""
    if is_local(folder):
        entries = os.scandir(folder) if os.path.isdir(folder) else ()
        return {e.name: e.stat().st_size for e in entries if e.is_file() and not e.name.startswith(".")}
    return {entry.path.rsplit("/", 1)[-1]: entry.bytes for entry in _match(join(folder, "*"))}


def _match(pattern: str) -> list[Found]:
    if is_local(pattern):
        # A name with glob characters in it can still be given literally.
        paths = [pattern] if os.path.isfile(pattern) else glob.glob(pattern, recursive=True)
        stats = [(path, os.stat(path)) for path in paths if os.path.isfile(path)]
        return [Found(path, stat.st_size, stat.st_mtime) for path, stat in stats]
    from webtext.pipeline.files.object_stores import FileSystems

    with _told(pattern):
        [result] = FileSystems.match([pattern])
    return [
        Found(entry.path, entry.size_in_bytes, entry.last_updated_in_seconds or 0.0) for entry in result.metadata_list
    ]


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Give errors of a store's client, which are of any class, as an OSError with the path."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if is_local(path):
            raise
        raise OSError(f"{path}: {type(error).__name__}: {error}") from error


def open_binary(path: str) -> BinaryIO:
    """A seekable stream of the file's bytes, never decompressed. Raises OSError."""
    if is_local(path):
        return open(path, "rb")
    from apache_beam.io.filesystem import CompressionTypes

    from webtext.pipeline.files.object_stores import FileSystems

    with _told(path):
        stream: BinaryIO = FileSystems.open(
            path, "application/octet-stream", compression_type=CompressionTypes.UNCOMPRESSED
        )
    return stream


def read_bytes(path: str, limit: int = -1) -> bytes:
    """The whole file, or its first `limit` bytes. Raises OSError."""
    with _told(path), open_binary(path) as stream:
        return stream.read(limit)


def exists(path: str) -> bool:
    """Whether there is such a file."""
    if is_local(path):
        return os.path.isfile(path)
    from webtext.pipeline.files.object_stores import FileSystems

    with _told(path):
        return bool(FileSystems.exists(path))


def delete(paths: Sequence[str]) -> None:
    """Delete these files; one that is gone already is no error."""
    remote = [path for path in paths if not is_local(path)]
    for path in paths:
        if is_local(path) and os.path.exists(path):
            os.unlink(path)
    if remote:
        from webtext.pipeline.files.object_stores import FileSystems

        with _told(remote[0]):
            FileSystems.delete([path for path in remote if FileSystems.exists(path)])


class HashingSink(io.RawIOBase):
    """A write-only stream that knows the size and sha256 of what went through it."""

    def __init__(self, inner: IO[bytes], path: str = "") -> None:
        """`path` names the local file behind `inner`, where there is one."""
        self._inner = inner
        self._path = path
        self._hash = hashlib.sha256()
        self._sums = BlockSums()
        self._discarded = False
        self.size = 0
        self.rows = 0
        """Of the table that these bytes are, where they are one: for the writer to state."""

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, data: Any, /) -> int:
        """Pass `data` (bytes-like) on. Raises OSError."""
        view = memoryview(data).cast("B")
        if self._discarded:
            return len(view)
        self._inner.write(view)
        self._count(view)
        return len(view)

    def _count(self, view: memoryview) -> None:
        self._hash.update(view)
        self._sums.update(view)
        self.size += len(view)

    def take(self, source: str) -> None:
        """Write a whole local file, and nothing else.

        Where the file system can, the result is a second name of that file and not a copy. So its bytes must not be
        changed any more; its first name may go.
        """
        with open(source, "rb") as stream:
            if self._path and not self.size and _link(source, self._path):
                os.fsync(stream.fileno())
                while block := stream.read(_COPY):
                    self._count(memoryview(block))
            else:
                shutil.copyfileobj(stream, self, _COPY)

    def discard(self) -> None:
        """Swallow all that follows: the file is given up, but a writer may still want to close it."""
        self._discarded = True

    def tell(self) -> int:
        """Bytes written so far."""
        return self.size

    @property
    def sha256(self) -> str:
        """Hex digest of the bytes written so far."""
        return self._hash.hexdigest()

    @property
    def sums(self) -> str:
        """Checksums of their blocks, see checksums.py."""
        return self._sums.text()


@contextmanager
def publish(path: str) -> Iterator[HashingSink]:
    """Write a file that appears under `path` whole or not at all.

    Local files are written under a temporary name, flushed to the disk, and renamed. An object store shows an object
    only when it is complete, so there the final name is written directly: a rename would be a copy and a delete.
    Two writers of one path are harmless as long as they write the same bytes.
    """
    if not is_local(path):
        from apache_beam.io.filesystem import CompressionTypes

        from webtext.pipeline.files.object_stores import FileSystems

        # S3 completes the upload of a writer that is closed, also by an error: so an upload begins when all is there.
        with tempfile.TemporaryFile() as whole:
            sink = HashingSink(whole)
            try:
                yield sink
            except BaseException:
                sink.discard()
                raise
            whole.seek(0)
            with _told(path), FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
                shutil.copyfileobj(whole, stream, _COPY)
        return
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}-{uuid.uuid4().hex}{_UNPUBLISHED}")
    os.makedirs(folder, exist_ok=True)
    try:
        local = open(temporary, "wb")  # noqa: SIM115  before the block, so that its failure is told as it is
    except OSError as error:
        error.filename = path
        raise
    sink = HashingSink(local, temporary)
    try:
        with local:
            yield sink
            local.flush()
            os.fsync(local.fileno())
        os.replace(temporary, path)
        if os.path.exists(temporary):  # POSIX: where both are names of one file, nothing happens
            os.unlink(temporary)
    except BaseException:
        sink.discard()
        with suppress(OSError):  # a disk that fails has failed already
            os.unlink(temporary)
        raise


def _link(source: str, path: str) -> bool:
    """Make `path`, which exists, another name of the file `source`; False where the file system refuses."""
    second = f"{path.removesuffix(_UNPUBLISHED)}.link{_UNPUBLISHED}"
    try:
        os.link(source, second)
    except OSError:  # another device, or a file system without hard links
        return False
    os.replace(second, path)
    return True


def publish_bytes(path: str, data: bytes) -> None:
    """`publish` for a small file."""
    with publish(path) as sink:
        sink.write(data)


@contextmanager
def lock(folder: str) -> Iterator[None]:
    """Keep a local folder to this process while the block runs. The lock ends with the process, however it dies.

    Raises:
        BlockingIOError: another process holds it.
    """
    if not is_local(folder):
        yield
        return
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, ".lock"), "wb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(error.errno, f"another build is at work in {folder!r}; wait for its end") from error
        yield


def clean_up(folder: str) -> None:
    """Remove what killed writers left behind in a local folder. Only for when none is at work there."""
    if is_local(folder) and os.path.isdir(folder):
        for entry in os.scandir(folder):
            if entry.name.startswith(".") and entry.name.endswith(_UNPUBLISHED):
                os.unlink(entry.path)
