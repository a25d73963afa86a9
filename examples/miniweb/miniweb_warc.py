"""The archive files of the mini web: gzip WARC whose bytes depend on nothing but the captures."""

import hashlib
import io
import uuid
import zlib
from pathlib import Path
from typing import NamedTuple

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter


def choose(key: str, among: int) -> int:
    """A number in [0, among) that depends on nothing but `key`."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") % among


class Capture(NamedTuple):
    """One response in the archive."""

    url: str
    status: str
    content_type: str
    body: bytes


def write_warc(path: Path, captures: list[Capture], version: str) -> None:
    """One gzip member per record; identifiers and dates come from the content."""
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=True, warc_version=version)

        def write(url: str, kind: str, body: bytes, http: StatusAndHeaders | None, **headers: str) -> None:
            identity = hashlib.sha256(kind.encode() + url.encode() + body).hexdigest()
            day = f"2017-{1 + choose(url, 12):02d}-{1 + choose(url + ' day', 28):02d}T12:00:00Z"
            fixed = {"WARC-Record-ID": f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, identity)}>", "WARC-Date": day}
            payload, fixed = io.BytesIO(body), fixed | headers
            writer.write_record(writer.create_warc_record(url, kind, payload, len(body), "", fixed, None, http))

        about = f"description: mini web of the webtext project\r\nformat: {version}\r\n".encode()
        write("", "warcinfo", about, None, **{"WARC-Filename": path.name})
        for url, status, content_type, content in captures:
            headers, body = [("Content-Type", content_type)], content
            coding = choose(url + " coding", 25) if content else -1
            if coding == 0:
                packer = zlib.compressobj(wbits=31)  # a gzip header without a time
                headers, body = [*headers, ("Content-Encoding", "gzip")], packer.compress(content) + packer.flush()
            if coding == 1:
                headers.append(("Transfer-Encoding", "chunked"))
                body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
            else:
                headers.append(("Content-Length", str(len(body))))
            write(url, "response", body, StatusAndHeaders(status, headers, protocol="HTTP/1.1"))
