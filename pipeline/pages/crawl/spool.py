"""What a part has fetched so far, on local disk: an archive and a journal, so that a kill costs the URLs in flight.

A URL's records are appended to the archive, and then its line to the journal, with a checksum of the line and of all
that is in the archive by then. After a kill the archive is cut to the end that the last line states up to which all is
as it was written: what a flipped bit is in, and what follows it, is asked for again. Both survive a killed process at
once, and a crash of the machine but for the last second or so: `sync` is for the caller to call.
"""

import fcntl
import json
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, NamedTuple, Self

import msgspec
import xxhash

from webtext.pipeline.files import storage
from webtext.schemas.manifest import RECEIPT, ManifestError, Receipt

PREFIX: Final = ".spool-"
ARCHIVE: Final = "pages.warc.gz"
JOURNAL: Final = "journal.ndjson"
LIVE: Final = "live.json"
_SUM: Final = 17  # bytes in front of what a line says: its checksum, and a blank
_BLOCK: Final = 2**20  # bytes read at a time


class Entry(NamedTuple):
    """One finished URL: a line of the journal."""

    row: int  # in the part's list of links
    captured_utc: int
    status: int
    content_type: str
    verdict: str
    detail: str
    digest: str = bytes(16).hex()  # see pipeline.archives.warc.Capture
    offset: int = -1  # of the response in the archive; -1 where there is no page
    end: int = 0  # of the archive with the records of this URL
    payload: str = ""  # names the payload, where it is stored for the first time
    url: str = ""  # of the record that stores it
    date: str = ""  # and that record's WARC-Date
    again: bool = False  # its failure may pass: another run of the part asks for it once more
    signal: str = ""  # of the opt-out that is the verdict


class Spool:
    """The archive and the journal of one part. Not for two processes at once: the second waits."""

    def __init__(self, folder: str, fingerprint: str) -> None:
        """Continue what is in `folder` if it has this fingerprint, else begin anew.

        Raises:
            OSError: the folder can't be made or written.
        """
        os.makedirs(folder, exist_ok=True)
        self._folder = Path(folder)
        self._journal = (self._folder / JOURNAL).open("a+b")
        fcntl.flock(self._journal, fcntl.LOCK_EX)
        _own(self._folder / ARCHIVE)
        # Without a buffer, because whole records are written, and each is to be in the file before its line.
        self._archive = (self._folder / ARCHIVE).open("ab", buffering=0)
        self._head = msgspec.json.encode({"spool": 2, "fingerprint": fingerprint}) + b"\n"
        self._seen = xxhash.xxh3_64()  # of all bytes of the archive
        self.entries: list[Entry] = []
        """What was finished before."""
        self._recover()
        self.size = self._archive.seek(0, os.SEEK_END)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._archive.close()
        self._journal.close()

    @property
    def archive(self) -> Path:
        """The file with all records."""
        return self._folder / ARCHIVE

    def _recover(self) -> None:
        """Keep the lines, and what they vouch for, up to the first that is not as it was written, or its records."""
        self._journal.seek(0)
        lines = iter(self._journal.readlines())
        kept = archived = 0
        if next(lines, b"") == self._head:
            kept = len(self._head)
            with self.archive.open("rb") as archive:
                for line in lines:
                    entry = _entry(line)
                    if entry is None or entry.end < archived:
                        break
                    seen = self._seen.copy()
                    _read_on(archive, entry.end - archived, seen)
                    if line != _line(entry, seen):
                        break
                    self.entries.append(entry)
                    kept, archived, self._seen = kept + len(line), entry.end, seen
        self._journal.truncate(kept)
        self._archive.truncate(archived)
        if not kept:
            self._journal.write(self._head)
            self._journal.flush()

    def append(self, records: bytes) -> int:
        """Write records to the archive; they count once `finish` was called. Returns where they start."""
        start = self.size
        left = memoryview(records)
        while left:
            left = left[self._archive.write(left) :]
        self._seen.update(records)
        self.size += len(records)
        return start

    def finish(self, entry: Entry) -> None:
        """Note a URL as finished. `entry.end` is `self.size`."""
        self._journal.write(_line(entry, self._seen))
        self._journal.flush()

    def sync(self) -> None:
        """Bring both files to the disk. May be called from another thread."""
        os.fsync(self._archive.fileno())
        os.fsync(self._journal.fileno())

    def tell(self, live: dict[str, Any]) -> None:
        """State the figures of the moment, for whoever watches."""
        temporary = self._folder / f"{LIVE}.tmp"
        temporary.write_text(json.dumps(live))
        temporary.replace(self._folder / LIVE)


def _own(archive: Path) -> None:
    """An archive that was published has a second name, under which it must not change: go on with a copy."""
    try:
        published = archive.stat().st_nlink > 1
    except FileNotFoundError:
        return
    if published:
        copy = archive.with_suffix(".copy")
        shutil.copyfile(archive, copy)
        copy.replace(archive)


def _line(entry: Entry, seen: xxhash.xxh3_64) -> bytes:
    """The line of a URL when so much of the archive was there."""
    said = msgspec.json.encode(entry)
    return f"{xxhash.xxh3_64_hexdigest(said + seen.digest())} ".encode() + said + b"\n"


def _entry(line: bytes) -> Entry | None:
    if not line.endswith(b"\n"):
        return None
    try:
        return msgspec.json.decode(line[_SUM:], type=Entry)
    except msgspec.DecodeError:
        return None


def _read_on(archive: BinaryIO, size: int, seen: xxhash.xxh3_64) -> None:
    """Take so many bytes, or as many as there are."""
    while size > 0 and (block := archive.read(min(size, _BLOCK))):
        seen.update(block)
        size -= len(block)


def sweep(folder: str, fingerprint: str) -> None:
    """Remove the spools in a local folder whose part has its receipt. Before that, a kill would cost all of them."""
    if not storage.is_local(folder):
        return
    for entry in Path(folder).glob(f"{PREFIX}*"):
        path = Path(folder) / f"{entry.name.removeprefix(PREFIX)}{RECEIPT}"
        try:
            done = Receipt.from_json(path.read_bytes()).fingerprint == fingerprint
        except (OSError, ManifestError):
            continue
        if done:
            shutil.rmtree(entry, ignore_errors=True)
