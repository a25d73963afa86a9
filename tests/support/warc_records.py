"""Records of web archives as bytes, in every container, and what an index says of them."""

import gzip
import hashlib
import io
from pathlib import Path

import lz4.frame
import pytest
import xxhash
import zstandard

from webtext.pipeline.archives.warc import Capture, index_archive
from webtext.schemas.records import Reason, Rejected

LIMIT = 2_000_000
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not (DATA / "warc").is_dir(), reason="real archives (../shared/data/warc) are not here")


def index(data, limit=LIMIT):
    return list(index_archive(io.BytesIO(data), "a.warc", limit))


def captures(found):
    return [entry for entry in found if isinstance(entry, Capture)]


def bad(found):
    return [entry for entry in found if isinstance(entry, Rejected) and entry.reason == Reason.BAD_RECORD]


def content(found):
    """What must not depend on the file around a record."""
    return [
        (e.url, e.captured_utc, e.status, e.content_type, e.verdict, e.digest)
        if isinstance(e, Capture)
        else (e.url, e.reason)
        for e in found
    ]


def digest(payload):
    return xxhash.xxh3_128_digest(payload)


def http(body, status="200 OK", content_type="text/html; charset=UTF-8", **fields):
    lines = [f"HTTP/1.1 {status}", *([f"Content-Type: {content_type}"] if content_type is not None else [])]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def warc(block, kind="response", url="http://a.example/", when="2020-01-02T03:04:05Z", end=b"\r\n", **fields):
    names = {"WARC-Type": kind, "WARC-Target-URI": url, "WARC-Date": when}
    names |= {"Content-Type": "application/http; msgtype=response", "Content-Length": len(block)}
    names |= {name.replace("_", "-"): value for name, value in fields.items()}
    head = end.join(f"{name}: {value}".encode() for name, value in names.items() if value is not None)
    return b"WARC/1.0" + end + head + end + end + block + end + end


def page(n):
    words = ["alpha", "beta", "gamma", "delta", "omega"]
    text = " ".join(words[hashlib.sha256(b"%d %d" % (n, i)).digest()[0] % 5] for i in range(40 + 13 * n))
    return f"<!doctype html><html><body><p>{n} {text}</body></html>".encode()


RECORDS = [
    warc(b"software: test\r\n", kind="warcinfo", url=None, Content_Type="application/warc-fields"),
    *(warc(http(page(n)), url=f"http://a.example/{n}") for n in range(3)),
    warc(b"GET / HTTP/1.1\r\n\r\n", kind="request"),
    warc(http(b"gone", status="404 Not Found"), url="http://a.example/gone"),
    warc(http(page(9)), url="http://a.example/9"),
]
ONE_MEMBER = gzip.compress(b"".join(RECORDS), mtime=0)
FORMS = {
    "plain": b"".join(RECORDS),
    "gz per record": b"".join(gzip.compress(record, mtime=0) for record in RECORDS),
    "gz one member": ONE_MEMBER,
    "gz members that cut records": b"".join(
        gzip.compress(b"".join(RECORDS)[i : i + 333], mtime=0) for i in range(0, sum(map(len, RECORDS)), 333)
    ),
    "zst per record": b"".join(zstandard.compress(record) for record in RECORDS),
    "zst one frame": zstandard.compress(b"".join(RECORDS)),
    "lz4 per record": b"".join(lz4.frame.compress(record) for record in RECORDS),
    "lz4 one frame": lz4.frame.compress(b"".join(RECORDS)),
    "lz4 linked blocks": lz4.frame.compress(
        b"".join(RECORDS), block_size=lz4.frame.BLOCKSIZE_MAX64KB, content_checksum=True, store_size=False
    ),
}
