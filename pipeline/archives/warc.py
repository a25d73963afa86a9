"""Web archives to captures: what every record of a WARC or ARC file is, and the page that stands at a given place.

Reads WARC 0.17 to 1.1 and ARC 1 and 2, plain, gzip, zstd or LZ4, with one member for each record or one for all. The
same record gives the same Capture in whatever file it stands, except for its offset. Bytes from archives are hostile:
every record that can't be read is given as Rejected, memory stays within a few times the page limit, and the only
exception that leaves is OSError from the caller's stream. WARC digests are not verified.
"""

import calendar
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import BinaryIO, Final

import xxhash

from webtext.pipeline.archives.http_payload import (
    MAX_HEAD_BYTES,
    REDIRECTS,
    HttpMessage,
    charset,
    decode_body,
    is_blank,
    is_html,
    media_type,
    parse_fields,
    parse_response,
)
from webtext.pipeline.archives.members import MAX_LINE_BYTES, ArchiveReader
from webtext.schemas.records import Reason, Rejected

_LINE_END: Final = re.compile(rb"(?=\n)")
_HEAD_END: Final = re.compile(rb"\n(?:\r?\n|(?=WARC/\d))")
_RECORD_END: Final = (b"\r\n\r\n", b"\n\n")
# A real record of a WARC or ARC has more bytes, also compressed: one this small costs 15 us, more than its bytes do.
_RECORD_BYTES: Final = 32
_FREE_RECORDS: Final = 10_000
# WARC 1.1 allows any length from the year on, ARC has the digits alone. A time zone other than Z is against both.
_DATE: Final = re.compile(
    r"(\d{4})(?:-?(\d\d)(?:-?(\d\d)(?:[T ]?(\d\d):?(\d\d)(?::?(\d\d))?)?)?)?[\d.,]*(?:Z|([+-])(\d\d):?(\d\d))?"
)


class BadRecordError(ValueError):
    """There is no page at a place of an archive. `reason` and `url` go into the Rejected record.

    `cut`: bytes are missing at the record's end.
    """

    def __init__(self, message: str, url: str = "", reason: Reason = Reason.BAD_RECORD, *, cut: bool = False) -> None:
        super().__init__(message)
        self.url = url
        self.reason = reason
        self.cut = cut


@dataclass(frozen=True, slots=True)
class Capture:
    """One HTTP response in an archive, without its bytes."""

    url: str  # the target URI as recorded, without the <> that some tools add
    captured_utc: int  # seconds since 1970-01-01 UTC; 0 where the date is missing or malformed
    status: int  # of HTTP; 200 for pages stored without HTTP header
    content_type: str  # lower-case type/subtype, "" where unknown
    verdict: str  # a Reason, or "" for a capture that can be a page
    digest: bytes  # 16 bytes: XXH3 of the decoded payload, of its first max_page_bytes + 1 bytes at most
    offset: int  # where to find it again: for `read_page`, see pipeline.archives.members.ArchiveReader.offset
    target: bytes = b""  # of a redirect the Location, of a revisit the URL of what it repeats; as recorded
    target_utc: int = 0  # when that was captured, where a revisit tells
    payload: str = ""  # WARC-Payload-Digest, in lower case: of a revisit, that of what it repeats


@dataclass(frozen=True, slots=True)
class Damaged(Rejected):
    """A record that shows that the file was whole once: it ends early, or bytes of it are others."""


@dataclass(frozen=True, slots=True)
class RawPage:
    """One HTTP response with its payload."""

    url: str
    status: int
    content_type: str  # lower-case type/subtype, "" where unknown
    charset: str | None  # from the Content-Type field, lower case, unchecked
    payload: bytes  # without transfer and content codings
    truncated: bool  # the payload has more than max_page_bytes; it ends one byte later
    head: bytes = b""  # of the HTTP response, as recorded; empty for pages stored without one


@dataclass(frozen=True, slots=True)
class _Record:
    """One whole record. `block` is empty for kinds that hold no page."""

    kind: str
    url: str
    date: str
    content_type: bytes  # of the block
    fields: Mapping[bytes, bytes]  # of WARC
    is_arc: bool
    length: int  # of the block in the archive, in bytes
    block: bytes  # its first bytes


def index_archive(stream: BinaryIO, name: str, max_page_bytes: int) -> Iterator[Capture | Rejected]:
    """Every record of an archive, in the order of the file: a Capture for an HTTP response, else Rejected.

    A record without proper end is BAD_RECORD together with the bytes up to the next record, and Damaged where the file
    is cut or damaged there. `Rejected.key` stays empty.

    Args:
        stream: opened in binary mode, seekable.
        name: of the archive, for the detail of rejected records.
        max_page_bytes: payloads are decoded this far and one byte more.

    Raises:
        OSError: the stream failed.
    """
    archive = ArchiveReader(stream)
    records, most = 0, _FREE_RECORDS + archive.size // _RECORD_BYTES
    while archive.next_segment():
        reported = False
        while archive.skip_blank():
            records += 1
            offset = archive.offset
            if records > most:
                yield _reject(name, offset, f"more than {most} records in {archive.size} bytes: the rest is not read")
                return
            try:
                record = _read_record(archive, max_page_bytes)
            except BadRecordError as error:
                # The way to the next record belongs to this loss, and so does damage on this way.
                found = archive.find_record()
                reported = not found and archive.damage != ""
                kind = Damaged if reported or (error.cut and not found and archive.at_end) else Rejected
                detail = f"{error}; {archive.damage}" if reported else str(error)
                yield _reject(name, offset, detail, error.url, kind=kind)
                continue
            try:
                page, verdict, target = _page_in(record, max_page_bytes)
            except BadRecordError as error:
                yield _reject(name, offset, str(error), error.url, reason=error.reason)
                continue
            yield Capture(
                *(page.url, parse_date(record.date), page.status, page.content_type, verdict),
                *(payload_digest(page.payload), offset, target),
                parse_date(_text(record.fields.get(b"warc-refers-to-date", b""))),
                _text(record.fields.get(b"warc-payload-digest", b"")).lower(),
            )
        if archive.damage and not reported:
            records += 1
            yield _reject(name, archive.offset, archive.damage, kind=Damaged)
    if not records:
        empty = "the file holds no record" if stream.seek(0, 2) else "the file is empty"
        yield _reject(name, 0, empty, kind=Damaged)


def payload_digest(payload: bytes) -> bytes:
    """16 bytes that tell the payload of a page from any other: Capture.digest."""
    return xxhash.xxh3_128_digest(payload)


def read_page(stream: BinaryIO, offset: int, max_page_bytes: int) -> RawPage:
    """The page of the record at `offset`, as `index_archive` gave it.

    Raises:
        BadRecordError: no HTTP response starts there.
        OSError: the stream failed.
    """
    return PageReader(stream, max_page_bytes).read(offset)


class PageReader:
    """Reads many pages of one archive.

    Ask in the order of `index_archive`: negative offsets, of files with one gzip member for many records, can only be
    reached by decompressing all before them, which is then done once.
    """

    def __init__(self, stream: BinaryIO, max_page_bytes: int) -> None:
        self._stream = stream
        self._max_page_bytes = max_page_bytes
        self._archive: ArchiveReader | None = None  # a reader that can go on to later positions

    def read(self, offset: int) -> RawPage:
        """The page of the record at `offset`.

        Raises:
            BadRecordError: no HTTP response starts there.
            OSError: the stream failed.
        """
        if offset >= 0:
            self._archive = None  # it would not find the stream where it left it
            archive = ArchiveReader(self._stream, offset)
            found = archive.next_segment()
        else:
            position = -1 - offset
            if self._archive is None or self._archive.position > position:
                self._archive = ArchiveReader(self._stream)
            archive = self._archive
            found = True
            while found and archive.position < position:
                found = archive.skip(position - archive.position) > 0 or archive.next_segment()
        if not found:
            raise BadRecordError(f"the archive ends before the record at {_place(offset)}")
        return _page_in(_read_record(archive, self._max_page_bytes), self._max_page_bytes)[0]


def _read_record(archive: ArchiveReader, max_page_bytes: int) -> _Record:
    """The record that starts here. Leaves the archive after it, at the next record or at the end of the segment.

    Raises:
        BadRecordError: none starts here, or it is damaged. The archive is then somewhere behind its first byte.
    """
    record = _read_head(archive)
    length = record.length
    if archive.remaining is not None and length > archive.remaining:
        # Known without reading: a wrong length must not cost the records behind it.
        problem = f"Content-Length {length}, but the file ends after {archive.remaining} bytes"
        raise BadRecordError(problem, record.url, cut=True)
    # Codings can make the body longer than the page. One that is still longer is cut, and counted as too large.
    wanted = 2 * max_page_bytes + MAX_HEAD_BYTES if record.kind in ("response", "resource", "revisit") else 0
    block = archive.read(min(length, wanted))
    present = len(block) + archive.skip(length - len(block))
    if present < length:
        raise BadRecordError(f"the record is cut: {present} bytes of {length}", record.url, cut=True)
    # A record that is closed as it should be is whole, whatever follows it.
    closed = not record.is_arc and archive.next_is(_RECORD_END)
    if archive.skip_blank() and not closed and not archive.at_record():
        raise BadRecordError(f"no record follows after Content-Length {length}", record.url)
    if archive.corrupt:
        raise BadRecordError("the record fails the checksum of its member", record.url)
    return replace(record, length=length, block=block)


def _read_head(archive: ArchiveReader) -> _Record:
    """All of a record but its block.

    Source: ISO 28500:2017 (WARC 1.1) section 4; Internet Archive "Arc File Format", versions 1 and 2.
    """
    line = archive.read_through(_LINE_END, MAX_LINE_BYTES)
    if line is None:
        archive.skip(MAX_LINE_BYTES)
        problem = f"no record: the first line does not end within {MAX_LINE_BYTES} bytes or is cut"
        raise BadRecordError(problem, cut=True)
    if line.startswith(b"WARC/"):
        head = archive.read_through(_HEAD_END, MAX_HEAD_BYTES)
        if head is None:
            raise BadRecordError(f"the record header does not end within {MAX_HEAD_BYTES} bytes or is cut", cut=True)
        if not head.endswith((b"\n\n", b"\n\r\n")):
            raise BadRecordError("the record header does not end before the next record")
        fields = parse_fields(head)
        url = _text(fields.get(b"warc-target-uri", b"")).removeprefix("<").removesuffix(">")
        length = fields.get(b"content-length", b"")
        kind = _text(fields.get(b"warc-type", b"")).lower()
        when, content_type, is_arc = fields.get(b"warc-date", b""), fields.get(b"content-type", b""), False
    else:
        # A URL may hold spaces; the other fields (4, or 9 in version 2) don't.
        parts = line.rstrip().rsplit(b" ", 4)
        if len(parts) == 5 and len(version_2 := line.rstrip().rsplit(b" ", 9)) == 10 and version_2[4].isdigit():
            parts = [*version_2[:4], version_2[9]]
        if len(parts) != 5 or b":" not in parts[0]:
            raise BadRecordError(f"no WARC or ARC record starts with {line[:40]!r}")
        archive.skip(1)  # the line end
        url, when, content_type, length = _text(parts[0]), parts[2], parts[3], parts[4]
        kind, fields, is_arc = "filedesc" if url.startswith("filedesc:") else "response", {}, True
    if not length.isdigit() or len(length) > 18:
        raise BadRecordError(f"Content-Length is {length[:40]!r}, not a number of bytes", url)
    return _Record(kind, url, _text(when), content_type, fields, is_arc, int(length), b"")


def _page_in(record: _Record, max_page_bytes: int) -> tuple[RawPage, str, bytes]:
    """The page in a record, the reason for which it is none of use, or "", and then where it leads.

    Raises:
        BadRecordError: the record holds no HTTP response.
    """
    is_web = record.url[:8].lower().startswith(("http://", "https://"))
    if not is_web or record.kind not in ("response", "resource", "revisit"):
        raise BadRecordError(f"{record.kind or 'record without type'}", record.url, Reason.NOT_A_RESPONSE)
    if record.kind == "revisit":
        return _revisit(record)
    message = parse_response(record.block) if record.kind == "response" else None
    if message is None:
        # ARC files of the first years and resource records hold the page alone.
        message = HttpMessage(200, {b"content-type": record.content_type}, record.block)
        if record.kind == "resource" and not is_html(media_type(record.content_type), b""):
            raise BadRecordError("resource that is no page", record.url, Reason.NOT_A_RESPONSE)
        if record.kind == "response" and not record.is_arc:
            raise BadRecordError("the response has no HTTP status line or an endless header", record.url)
    typed = message.fields.get(b"content-type", record.content_type if record.is_arc else b"")
    payload = decode_body(message, max_page_bytes + 1)
    truncated = len(payload) > max_page_bytes or record.length > len(record.block)
    head = record.block[: len(record.block) - len(message.body)]
    page = RawPage(record.url, message.status, media_type(typed), charset(typed), payload, truncated, head)
    if page.status != 200:
        return page, Reason.HTTP_STATUS, _location(message)
    if is_blank(payload):
        return page, Reason.EMPTY_PAGE, b""
    return page, "" if is_html(page.content_type, payload) else Reason.NOT_HTML, b""


def _revisit(record: _Record) -> tuple[RawPage, str, bytes]:
    """As `_page_in`, of a record that repeats another: it has the head of an answer at most.

    Source: ISO 28500:2017 sections 5.13 to 5.15, 6.7.
    """
    message = parse_response(record.block) or HttpMessage(200, {}, b"")
    typed = message.fields.get(b"content-type", b"")
    page = RawPage(record.url, message.status, media_type(typed), charset(typed), b"", truncated=False)
    if message.status not in (200, 304):  # 304: the server said that it has not changed
        return page, Reason.HTTP_STATUS, _location(message)
    return page, Reason.REVISIT, record.fields.get(b"warc-refers-to-target-uri", b"").strip(b"<>")


def _location(message: HttpMessage) -> bytes:
    return message.fields.get(b"location", b"") if message.status in REDIRECTS else b""


def parse_date(text: str) -> int:
    """Seconds since 1970 UTC of a WARC-Date (fractions are dropped) or an ARC date; 0 for what is neither.

    A date does not decide whether a page is read, so that a malformed one costs no page.

    Source: ISO 28500:2017 section 5.4; W3C "Date and Time Formats".
    """
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return 0
    parts = zip(match.groups()[:6], "011000", strict=True)
    year, month, day, hour, minute, second = (int(part or default) for part, default in parts)
    sign, zone_hours, zone_minutes = match[7], int(match[8] or 0), int(match[9] or 0)
    try:
        date(year, month, day)
    except ValueError:
        return 0
    if hour > 23 or minute > 59 or second > 60:  # 60 is a leap second
        return 0
    zone = (zone_hours * 60 + zone_minutes) * (-60 if sign == "-" else 60)
    return max(0, calendar.timegm((year, month, day, hour, minute, second)) - zone)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace").strip()


def _place(offset: int) -> str:
    return f"byte {offset}" if offset >= 0 else f"byte {-1 - offset} of the decompressed data"


def _reject(
    name: str,
    offset: int,
    detail: str,
    url: str = "",
    *,
    reason: Reason = Reason.BAD_RECORD,
    kind: type[Rejected] = Rejected,
) -> Rejected:
    return kind("captures", reason, b"", url, f"{name} at {_place(offset)}: {detail}")
