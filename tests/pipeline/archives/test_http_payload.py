import gzip
import zlib

import brotli
import pytest

from webtext.pipeline.archives.http_payload import charset, decode_body, is_html, media_type, parse_response

PAGE = b"<!doctype html><html><title>Ferries</title><p>" + b"The ferry leaves at noon. " * 200


def response(*fields, body=PAGE):
    return parse_response(b"\r\n".join([b"HTTP/1.1 200 OK", *fields, b"", body]))


def chunked(body):
    return b"%x\r\n%s\r\n7;name=value\r\n<p>end.\r\n0\r\n\r\n" % (len(body), body)


# Types.


@pytest.mark.parametrize(
    "value",
    [
        b"text/html charset=iso-8859-1",
        b'"text/html"',
        b"'text/html' ; charset=utf-8",
        b"text/html: charset=utf-8",
        b"text/html/",
        b"text / html",
        b"text/html (utf-8)",
        b"=text/html",
        b"Content-Type: text/html",
        b"text/",
        b"/html",
        b"text/html\xa0",
        b"html",
        b"",
        b"*/*",
    ],
)
def test_a_type_that_cannot_be_parsed_is_none_so_that_the_first_bytes_decide(value):
    assert media_type(value) == ""
    assert is_html(media_type(value), PAGE)
    assert not is_html(media_type(value), b"Dear reader, this is <b>no</b> page.")
    assert not is_html(media_type(value), b"%PDF-1.7 <html>")


@pytest.mark.parametrize(
    ("value", "kind", "encoding"),
    [
        (b"TEXT/Html;Charset=UTF-8", "text/html", "utf-8"),
        (b"text/plain", "text/plain", None),
        (b"image/svg+xml; charset=utf-8", "image/svg+xml", "utf-8"),
        # Of several, the last that is one; the charset stays where the type does.
        (b"text/plain, text/html", "text/html", None),
        (b"text/html, text/plain", "text/plain", None),
        (b"text/html; charset=koi8-r, text/html", "text/html", "koi8-r"),
        (b"text/html; charset=koi8-r, text/html; charset=utf-8", "text/html", "utf-8"),
        (b"text/plain; charset=koi8-r, text/html", "text/html", None),
        (b"text/html, ", "text/html", None),
        (b"text/html, */*", "text/html", None),
        (b"text/html, charset=utf-8", "text/html", "utf-8"),
        # No type, and yet a charset.
        (b"text/html charset=iso-8859-1", "", "iso-8859-1"),
    ],
)
def test_types(value, kind, encoding):
    assert (media_type(value), charset(value)) == (kind, encoding)


# Fields that are there more than once.


def test_fields_of_one_name_are_joined_in_their_order():
    message = response(b"Vary: a", b"vary:  b ", b"X-A: 1", b"VARY: c", b"Location: /a, b", b"Location: /c")
    assert message.fields == {b"vary": b"a, b, c", b"x-a": b"1", b"location": b"/a, b"}


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ((b"Content-Encoding: gzip", b"Content-Encoding: gzip"), gzip.compress(gzip.compress(PAGE))),
        ((b"Content-Encoding: gzip", b"Content-Encoding: gzip"), gzip.compress(PAGE)),  # a crawler told it twice
        ((b"Content-Encoding: deflate", b"Content-Encoding: br"), brotli.compress(zlib.compress(PAGE))),
        ((b"Content-Encoding: identity", b"Content-Encoding: br"), brotli.compress(PAGE)),
        ((b"Content-Encoding: br", b"Content-Encoding:"), brotli.compress(PAGE)),
        ((b'Content-Encoding: "gzip"',), gzip.compress(PAGE)),
        ((b"Content-Encoding: gzip;q=1.0",), gzip.compress(PAGE)),
        ((b"Content-Encoding: UTF-8, gzip, none, binary",), gzip.compress(PAGE)),
    ],
)
def test_content_codings_over_several_fields(fields, body):
    assert decode_body(response(*fields, body=body), 10**6) == PAGE


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ((b"Transfer-Encoding: gzip, chunked",), chunked(gzip.compress(PAGE))),
        ((b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"), chunked(gzip.compress(PAGE))),
        ((b"Transfer-Encoding: x-gzip,chunked,",), chunked(gzip.compress(PAGE))),
        ((b"Transfer-Encoding: deflate , Chunked",), chunked(zlib.compress(PAGE))),
        ((b"Transfer-Encoding: gzip",), gzip.compress(PAGE)),
        ((b"Transfer-Encoding: gzip, chunked",), gzip.compress(PAGE)),  # a crawler has undone the chunks
        ((b"Transfer-Encoding: gzip, chunked", b"Content-Encoding: br"), chunked(gzip.compress(brotli.compress(PAGE)))),
    ],
)
def test_transfer_codings(fields, body):
    assert decode_body(response(*fields, body=body), 10**6) == PAGE


def test_chunks_are_undone_once_however_often_they_are_named():
    page = b"2024\r\n" + PAGE
    message = response(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=chunked(page))
    assert decode_body(message, 10**6) == page + b"<p>end."


def test_the_codings_of_both_fields_together_are_limited():
    body = PAGE
    for _ in range(4):
        body = gzip.compress(body)
    message = response(b"Transfer-Encoding: gzip, gzip", b"Content-Encoding: gzip, gzip", body=body)
    assert decode_body(message, 10**6) == body
