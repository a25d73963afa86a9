"""Pages out of files as people have them: saved HTML and web archives, compressed or not, on disk or from a pipe.

Archives are judged as stages `captures` and `documents` judge them, record by record. Any other file is one page.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final

from webtext.pipeline.archives import warc
from webtext.pipeline.archives.http_payload import HttpMessage, decode_body, is_blank, is_html
from webtext.pipeline.archives.members import MAX_LINE_BYTES, RECORD_START, ArchiveReader
from webtext.pipeline.archives.warc import RawPage
from webtext.pipeline.files import storage
from webtext.pipeline.identity import urls
from webtext.schemas.records import Loss, Reason, Rejected

STDIN: Final = "-"

_ARCHIVE_NAMES: Final = tuple(f".{kind}{coding}" for kind in ("warc", "arc") for coding in ("", ".gz", ".zst", ".lz4"))
_CODINGS: Final = {b"\x1f\x8b": b"gzip", b"\x28\xb5\x2f\xfd": b"zstd"}  # by the first bytes of a file
_SHOWN_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class FilePage:
    """One page of a file, or one record of an archive."""

    file: str  # as it was asked for
    offset: int | None  # of a response in its archive, see warc.Capture; else None
    url: str  # canonical; as recorded if it is refused; "" if unknown
    content: RawPage | Loss  # or why there is no page
    opt_out: str = ""  # of a page whose opt-out is not obeyed: "signal: line"


def pages_of(file: str, url: str, max_page_bytes: int) -> Iterator[FilePage]:
    """The pages of a file, or of standard input, in their order. Archives are told by their name or first bytes.

    Args:
        file: local path, path with a scheme, or STDIN.
        url: address of the page where the file is no archive; may be empty.
        max_page_bytes: of the decoded page.

    Raises:
        OSError: the file can't be read.
    """
    with _reopenable(file) as path:
        with storage.open_binary(path) as stream:
            is_archive = file.lower().endswith(_ARCHIVE_NAMES) or _starts_with_record(ArchiveReader(stream))
        if is_archive:
            yield from _records(file, path, max_page_bytes)
        else:
            yield FilePage(file, None, url, _page(path, url, max_page_bytes))


@contextmanager
def _reopenable(file: str) -> Iterator[str]:
    """A path of the file that can be opened twice and sought in: pipes are copied to the disk."""
    if file != STDIN and (not storage.is_local(file) or os.path.isfile(file)):
        yield file
        return
    with (
        nullcontext(sys.stdin.buffer) if file == STDIN else open(file, "rb") as stream,
        tempfile.NamedTemporaryFile() as copy,
    ):
        shutil.copyfileobj(stream, copy)
        copy.flush()
        yield copy.name


def _starts_with_record(archive: ArchiveReader) -> bool:
    return archive.next_segment() and archive.skip_blank() and bool(RECORD_START.match(archive.read(MAX_LINE_BYTES)))


def _records(file: str, path: str, max_page_bytes: int) -> Iterator[FilePage]:
    # Two streams: the index reads ahead of the pages. A build reads archives twice too, which is 2 % of its work.
    with storage.open_binary(path) as ahead, storage.open_binary(path) as stream:
        reader = warc.PageReader(stream, max_page_bytes)
        for found in warc.index_archive(ahead, file, max_page_bytes):
            if isinstance(found, Rejected):
                yield FilePage(file, None, found.url, Loss(found.reason, found.detail))
                continue
            try:
                url = urls.canonicalize(found.url)
            except ValueError as error:
                yield FilePage(file, found.offset, found.url, Loss(Reason.BAD_URL, str(error)))
                continue
            yield FilePage(file, found.offset, url, _capture(reader, found, max_page_bytes))


def _capture(reader: warc.PageReader, capture: warc.Capture, max_page_bytes: int) -> RawPage | Loss:
    if capture.verdict:
        kind = f", {capture.content_type}" if capture.content_type else ""
        return Loss(Reason(capture.verdict), f"status {capture.status}{kind}")
    try:
        raw = reader.read(capture.offset)
    except warc.BadRecordError as error:
        return Loss(Reason.PAGE_UNREADABLE, str(error))
    return _too_large(max_page_bytes) if raw.truncated else raw


def _page(path: str, url: str, max_page_bytes: int) -> RawPage | Loss:
    """A file that is no archive. It is taken for HTML, whatever its name, unless its first bytes say otherwise."""
    most = 2 * max_page_bytes + 1  # of compressed bytes, as of records in archives
    with storage.open_binary(path) as stream:
        block = stream.read(most + 1)
    coding = next((name for magic, name in _CODINGS.items() if block.startswith(magic)), b"")
    payload = decode_body(HttpMessage(200, {b"content-encoding": coding} if coding else {}, block), max_page_bytes + 1)
    if len(payload) > max_page_bytes or len(block) > most:
        return _too_large(max_page_bytes)
    if is_blank(payload):
        return Loss(Reason.EMPTY_PAGE, f"{len(payload)} bytes without a character")
    if not is_html("text/html", payload):
        return Loss(Reason.NOT_HTML, f"starts with {payload[:_SHOWN_BYTES]!r}")
    return RawPage(url, 200, "text/html", None, payload, truncated=False)


def _too_large(max_page_bytes: int) -> Loss:
    return Loss(Reason.PAGE_TOO_LARGE, f"over {max_page_bytes} bytes")
