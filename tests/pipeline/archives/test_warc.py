import gzip
import io
import json
import re
import zlib

import brotli
import pytest
import zstandard
from fastwarc.warc import ArchiveIterator as FastIterator
from fastwarc.warc import WarcRecordType
from warc_records import (
    DATA,
    FORMS,
    LIMIT,
    ONE_MEMBER,
    bad,
    captures,
    content,
    digest,
    http,
    index,
    needs_data,
    page,
    warc,
)
from warcio.archiveiterator import ArchiveIterator as WarcioIterator
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from webtext.pipeline.archives.warc import BadRecordError, PageReader, index_archive, read_page
from webtext.schemas.records import Reason

# Real files

# file -> (records, html pages with status 200, why the count of warcio 1.8.1 in the manifest is not ours)
EXCEPTIONS = {
    "aut/badexample.arc.gz": (4, 0, "one gzip member for all records, which warcio refuses after the first"),
    "warcio/example-bad-non-chunked.warc.gz": (6, 1, "one gzip member for all records, refused by warcio"),
    "warcio/example-wrong-chunks.warc.gz": (2, 1, "a record goes on in a second gzip member, where warcio stops"),
    "ipwb/broken.warc": (6, 1, "warcio gives the image with the wrong Content-Length and its rest as two more records"),
    "resiliparse/clipped.warc.gz": (1, 0, "the only page is cut, warcio gives it as if it were whole"),
}


def manifest():
    path = DATA / "warc" / "manifest.json"
    return json.loads(path.read_text()) if path.exists() else []


@needs_data
@pytest.mark.parametrize("entry", manifest(), ids=lambda entry: entry["file"])
def test_real_archive_agrees_with_warcio(entry):
    counts = entry["warcio_counts"]
    by_type = json.loads(re.search(r"\{.*?\}", counts)[0].replace("'", '"'))
    expected = (sum(by_type.values()), int(re.search(r"html200= (\d+)", counts)[1]))
    if entry["file"] in EXCEPTIONS:
        expected = EXCEPTIONS[entry["file"]][:2]
    with (DATA / "warc" / entry["file"]).open("rb") as stream:
        found = list(index_archive(stream, entry["file"], LIMIT))
        pages = [c for c in captures(found) if c.status == 200 and c.content_type == "text/html"]
        pages = [c for c in pages if c.verdict != Reason.REVISIT]
        assert (len(found), len(pages)) == expected
        reader = PageReader(stream, LIMIT)
        for capture in captures(found):
            for raw in (read_page(stream, capture.offset, LIMIT), reader.read(capture.offset)):
                assert digest(raw.payload) == capture.digest
                assert (raw.url, raw.status, raw.content_type) == (capture.url, capture.status, capture.content_type)


@needs_data
@pytest.mark.parametrize("name", ["ipwb/sample-1.warc.gz", "pywb/iana.warc.gz", "dolma/sample-0000.warc.gz"])
def test_payloads_and_offsets_agree_with_fastwarc_and_warcio(name):
    data = (DATA / "warc" / name).read_bytes()
    ours = {c.offset: c.digest for c in captures(index(data, 10**9))}
    fast = {
        record.stream_pos
        for record in FastIterator(io.BytesIO(data))
        if record.record_type in (WarcRecordType.response, WarcRecordType.revisit) and record.is_http
    }
    assert ours.keys() == fast
    records = WarcioIterator(io.BytesIO(data))
    payloads = {}
    for record in records:
        if record.rec_type in {"response", "revisit"} and record.http_headers:
            payload = record.content_stream().read()
            payloads[records.get_record_offset()] = digest(payload)
    assert ours == payloads


@needs_data
def test_real_archive_is_the_same_in_any_container():
    data = (DATA / "warc" / "pywb" / "iana.warc.gz").read_bytes()
    plain = gzip.decompress(data)
    expected = content(index(data))
    for form in (plain, gzip.compress(plain, 1), zstandard.compress(plain, 1)):
        assert content(index(form)) == expected


# Containers


@pytest.mark.parametrize("form", FORMS)
def test_every_container_gives_the_same_captures(form):
    found = index(FORMS[form])
    assert content(found) == content(index(FORMS["plain"]))
    assert [type(entry).__name__ for entry in found] == ["Rejected", *["Capture"] * 3, "Rejected", *["Capture"] * 2]
    assert [c.verdict for c in captures(found)] == ["", "", "", "http_status", ""]
    stream = io.BytesIO(FORMS[form])
    for capture in reversed(captures(found)):
        assert digest(read_page(stream, capture.offset, LIMIT).payload) == capture.digest


def test_offsets_are_record_starts_where_the_file_has_them():
    data = FORMS["gz per record"]
    for capture in captures(index(data)):
        alone = data[capture.offset :]
        assert content(index(alone))[0] == content([capture])[0]
    assert all(c.offset < 0 for c in captures(index(ONE_MEMBER)))


def test_zstd_with_dictionary():
    pages = [warc(http(page(n)), url=f"http://a.example/{n}") for n in range(200)]
    dictionary = zstandard.train_dictionary(4096, pages)
    compressor = zstandard.ZstdCompressor(dict_data=dictionary)
    for stored in (dictionary.as_bytes(), zstandard.compress(dictionary.as_bytes())):
        head = b"\x5d\x2a\x4d\x18" + len(stored).to_bytes(4, "little") + stored
        data = head + b"".join(compressor.compress(record) for record in pages)
        found = index(data)
        assert content(found) == content(index(b"".join(pages)))
        assert read_page(io.BytesIO(data), found[150].offset, LIMIT).payload == page(150)


def test_archives_of_other_writers():
    target = io.BytesIO()
    writer = WARCWriter(target, gzip=True)
    for n in range(3):
        headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
        record = writer.create_warc_record(
            f"http://a.example/{n}", "response", payload=io.BytesIO(page(n)), http_headers=headers
        )
        writer.write_record(record)
    by_warcio = captures(index(target.getvalue()))
    from fastwarc.stream_io import GzipWriter

    copied = io.BytesIO()
    out = GzipWriter(copied)
    for record in FastIterator(io.BytesIO(target.getvalue()), parse_http=False):
        record.write(out)
        out.finish()
    by_fastwarc = captures(index(copied.getvalue()))
    assert [c.digest for c in by_warcio] == [digest(page(n)) for n in range(3)]
    assert content(by_warcio) == content(by_fastwarc)


def test_lf_line_ends_and_missing_blank_lines():
    lf = b"".join(warc(http(page(n)), url=f"http://a.example/{n}", end=b"\n").rstrip(b"\n") for n in range(3))
    assert [c.digest for c in captures(index(lf))] == [digest(page(n)) for n in range(3)]
    assert not bad(index(lf))


def test_arc_1_and_2():
    def arc(n, middle, block):
        return (
            f"http://a.example/{n} 1.2.3.4 2008043020482{n} text/html{middle} {len(block)}\n".encode() + block + b"\n"
        )

    first = b"1 0 Test\nURL IP-address Archive-date Content-type Archive-length\n"
    head = f"filedesc://a.arc 0.0.0.0 20080430204820 text/plain {len(first)}\n".encode() + first + b"\n"
    data = head + arc(1, "", http(page(1))) + arc(2, "", page(2)) + arc(3, " 200 - - 77 a.arc", http(page(3)))
    for form in (data, gzip.compress(data)):
        found = index(form)
        assert [e.reason for e in found[:1]] == [Reason.NOT_A_RESPONSE]
        assert [(c.digest, c.verdict, c.captured_utc % 60) for c in captures(found)] == [
            (digest(page(n)), "", 20 + n) for n in (1, 2, 3)
        ]


# Verdicts


@pytest.mark.parametrize(
    ("block", "verdict"),
    [
        (http(page(1)), ""),
        (http(b""), Reason.EMPTY_PAGE),
        (http(b"\xef\xbb\xbf \r\n\0"), Reason.EMPTY_PAGE),
        (http(b"", status="404 Not Found"), Reason.HTTP_STATUS),
        (http(page(1), status="301 Moved"), Reason.HTTP_STATUS),
        (http(page(1), content_type="application/xhtml+xml"), ""),
        (http(page(1), content_type="TEXT/HTML, text/html"), ""),
        (http(page(1), content_type="text/plain"), Reason.NOT_HTML),
        (http(page(1), content_type=None), ""),
        (http(page(1), content_type="html"), ""),
        (http(b"\xef\xbb\xbf <!-- x -->\n<HTML lang=en>hi", content_type=None), ""),
        (http(b"<?xml version='1.0'?><!DOCTYPE html>hi", content_type=None), ""),
        (http("<html>hi".encode("utf-16"), content_type=None), ""),
        (http(b"<title>x</title><body>hi", content_type="*/*"), ""),
        (http(b"<rss><channel>", content_type=None), Reason.NOT_HTML),
        (http(b"%PDF-1.4 ..."), Reason.NOT_HTML),
        (http(b"\x89PNG\r\n\x1a\n..."), Reason.NOT_HTML),
        (http(gzip.compress(page(1))), Reason.NOT_HTML),
    ],
)
def test_verdict(block, verdict):
    (found,) = index(warc(block))
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (warc(http(page(1)), kind="revisit", url="urn:x:y"), Reason.NOT_A_RESPONSE),
        (warc(page(1), kind="conversion", Content_Type="text/html"), Reason.NOT_A_RESPONSE),
        (warc(b"20200102", url="dns:a.example", Content_Type="text/dns"), Reason.NOT_A_RESPONSE),
        (warc(page(1), kind="resource", url="urn:x:y", Content_Type="text/html"), Reason.NOT_A_RESPONSE),
        (warc(b"\0", kind="resource", Content_Type="image/png"), Reason.NOT_A_RESPONSE),
        (warc(http(page(1)), url=None), Reason.NOT_A_RESPONSE),
        (warc(b"SSH-2.0"), Reason.BAD_RECORD),
        (warc(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000), Reason.BAD_RECORD),
        (warc(http(page(1)), Content_Length=-5), Reason.BAD_RECORD),
        (warc(http(page(1)), Content_Length=None), Reason.BAD_RECORD),
        (warc(http(page(1)), Content_Length="9" * 30), Reason.BAD_RECORD),
        (warc(http(page(1)), Content_Length=20), Reason.BAD_RECORD),
        (warc(http(page(1)), X="a" * 100_000), Reason.BAD_RECORD),
        (b"", Reason.BAD_RECORD),
        (b"<html>not an archive", Reason.BAD_RECORD),
        (bytes(100_000), Reason.BAD_RECORD),
        (b"\x1f\x8b\x08not gzip", Reason.BAD_RECORD),
        (gzip.compress(b""), Reason.BAD_RECORD),
    ],
)
def test_rejected(record, reason):
    (found,) = index(record)
    assert (found.reason, found.stage, found.key) == (reason, "captures", b"")
    with pytest.raises(BadRecordError):
        read_page(io.BytesIO(record), 0, LIMIT)


def test_resource_record_is_a_page():
    (found,) = index(
        warc(page(4), kind="resource", url="<http://a.example/>", Content_Type="text/html; charset=latin1")
    )
    assert (found.url, found.status, found.verdict, found.digest) == ("http://a.example/", 200, "", digest(page(4)))
    raw = read_page(io.BytesIO(warc(page(4), kind="resource", Content_Type="text/html; charset='Latin1'")), 0, LIMIT)
    assert raw.charset == "latin1"


# What leads elsewhere


def test_revisits_and_redirects_tell_where_they_lead():
    told = {"WARC_Payload_Digest": "SHA1:ABC", "WARC_Refers_To_Target_URI": "<http://b.example/>"}
    same = warc(http(b""), kind="revisit", WARC_Refers_To_Date="2020-01-02T03:04:05.6Z", **told)
    moved = warc(http(b"", status="302 Found", Location="/x, y"))
    gone = warc(http(b"", status="404 Not Found", Location="/x"), kind="revisit", **told)
    nothing = warc(b"", kind="revisit")
    whole = warc(http(page(1)), **told)
    found = index(same + moved + gone + nothing + whole)
    assert [(c.verdict, c.status, c.target, c.target_utc, c.payload) for c in found] == [
        (Reason.REVISIT, 200, b"http://b.example/", 1_577_934_245, "sha1:abc"),
        (Reason.HTTP_STATUS, 302, b"/x, y", 0, ""),
        (Reason.HTTP_STATUS, 404, b"", 0, "sha1:abc"),
        (Reason.REVISIT, 200, b"", 0, ""),
        ("", 200, b"", 0, "sha1:abc"),
    ]


# Codings


def chunked(body, size=100):
    chunks = [body[i : i + size] for i in range(0, len(body), size)] + [b""]
    return b"".join(b"%x;ext=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)


def bare_deflate(body):
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(body) + compressor.flush()


BODY = page(50)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (chunked(BODY), {"Transfer_Encoding": "chunked"}),
        (BODY, {"Transfer_Encoding": "chunked"}),
        (gzip.compress(BODY), {"Content_Encoding": "gzip"}),
        (gzip.compress(BODY[:50]) + gzip.compress(BODY[50:]), {"Content_Encoding": "x-gzip"}),
        (BODY, {"Content_Encoding": "gzip"}),
        (BODY, {"Content_Encoding": "br"}),
        (BODY, {"Content_Encoding": "deflate"}),
        (BODY, {"Content_Encoding": "zstd"}),
        (BODY, {"Content_Encoding": "made-up"}),
        (zlib.compress(BODY), {"Content_Encoding": "deflate"}),
        (bare_deflate(BODY), {"Content_Encoding": "deflate"}),
        (brotli.compress(BODY), {"Content_Encoding": "br"}),
        (zstandard.compress(BODY), {"Content_Encoding": "zstd"}),
        (chunked(gzip.compress(BODY)), {"Transfer_Encoding": "Chunked", "Content_Encoding": "GZIP"}),
        (gzip.compress(zlib.compress(BODY)), {"Content_Encoding": "deflate, gzip"}),
    ],
)
def test_codings(body, fields):
    raw = read_page(io.BytesIO(warc(http(body, **fields))), 0, LIMIT)
    assert raw.payload == BODY
    assert not raw.truncated


def test_a_cut_body_gives_what_came_before():
    for body, fields in [
        (chunked(BODY)[:-60], {"Transfer_Encoding": "chunked"}),
        (gzip.compress(BODY)[:-40], {"Content_Encoding": "gzip"}),
    ]:
        payload = read_page(io.BytesIO(warc(http(body, **fields))), 0, LIMIT).payload
        assert BODY.startswith(payload)
        assert len(payload) > len(BODY) // 2


def test_a_page_over_the_limit_keeps_its_verdict():
    body = b"<html>" + b"x" * 100_000
    for block in (http(body), http(gzip.compress(body), Content_Encoding="gzip"), http(body * 20)):
        (found,) = index(warc(block), 1000)
        raw = read_page(io.BytesIO(warc(block)), 0, 1000)
        assert (found.verdict, found.digest) == ("", digest(body[:1001]))
        assert (raw.payload, raw.truncated) == (body[:1001], True)
    exact = read_page(io.BytesIO(warc(http(body))), 0, len(body))
    assert (exact.payload, exact.truncated) == (body, False)
