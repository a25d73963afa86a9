import gzip
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.archives.http_payload import HttpMessage, decode_body, decode_whole

TEXT = b"User-agent: *\nDisallow: /private\n" * 50


def bare_deflate(text):
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(text) + stream.flush()


CODERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "deflate": zlib.compress,
    "bare deflate": bare_deflate,
}


def field(coding):
    return coding.removeprefix("bare ").encode()


@pytest.mark.parametrize("coding", CODERS)
def test_a_whole_stream(coding):
    assert decode_whole(CODERS[coding](TEXT), field(coding).upper(), 10**6) == TEXT
    assert decode_whole(CODERS[coding](TEXT), field(coding), 100) == TEXT[:100]
    assert decode_whole(b"", field(coding), 100) == b""


@pytest.mark.parametrize("coding", CODERS)
def test_a_stream_that_is_cut_anywhere_is_refused(coding):
    stream = CODERS[coding](TEXT)
    for end in range(1, len(stream)):
        with pytest.raises(ValueError, match="damaged "):
            decode_whole(stream[:end], field(coding), 10**6)


@pytest.mark.parametrize("coding", CODERS)
@given(text=st.binary(max_size=300).map(b"#".__add__), limit=st.integers(1, 400))
def test_the_first_bytes_of_a_stream(coding, text, limit):
    assert decode_whole(CODERS[coding](text), field(coding), limit) == text[:limit]


@pytest.mark.parametrize("coding", CODERS)
def test_plain_text_under_the_name_of_a_coding_is_refused(coding):
    with pytest.raises(ValueError, match="damaged "):
        decode_whole(TEXT, field(coding), 10**6)


@pytest.mark.parametrize(
    ("body", "codings"),
    [
        (TEXT, b""),
        (TEXT, b"identity"),
        (brotli.compress(gzip.compress(TEXT)), b"gzip, br"),
        (gzip.compress(brotli.compress(zlib.compress(TEXT))), b"deflate,br , gzip"),
        (gzip.compress(TEXT), b""),  # stored compressed, not announced
        (gzip.compress(TEXT), b"identity"),
        (gzip.compress(TEXT), b"br"),  # announced as something else
        (gzip.compress(TEXT), b"pack200"),
        (gzip.compress(gzip.compress(TEXT)), b"gzip"),  # stored compressed, and compressed on its way
        (gzip.compress(TEXT[:99]) + gzip.compress(TEXT[99:]), b"gzip"),
        (gzip.compress(TEXT) + b"\0" * 99, b"gzip"),
    ],
)
def test_what_servers_send(body, codings):
    assert decode_whole(body, codings, 10**6) == TEXT


@pytest.mark.parametrize(
    ("body", "codings", "message"),
    [
        (TEXT, b"compress", "content coding 'compress' is unknown, known are gzip, x-gzip, br, zstd, deflate"),
        (TEXT, b"gzip, gzip, gzip, gzip", "4 content codings, at most 3 are undone"),
        (gzip.compress(TEXT)[:-8] + b"\0" * 8, b"gzip", "damaged gzip: .*incorrect data check"),
        (gzip.compress(TEXT)[:40], b"", "damaged gzip: cut short"),
        (zstandard.compress(b"") * 20_000, b"zstd", "damaged zstd: more than 16 frames"),
        (b"\x50\x2a\x4d\x18\0\0\0\0" * 20_000, b"zstd", "damaged zstd: more than 16 frames"),
        (gzip.compress(b"") * 20_000, b"gzip", "damaged gzip: more than 16 members"),
    ],
)
def test_what_is_refused(body, codings, message):
    with pytest.raises(ValueError, match=message):
        decode_whole(body, codings, 10**6)


def test_a_body_of_thousands_of_frames_is_read_as_far_as_a_thousand():
    def decoded(body):
        return decode_body(HttpMessage(200, {b"content-encoding": b"zstd"}, body), 10**6)

    frame = zstandard.compress(b"a")
    assert decoded(frame * 900 + zstandard.compress(b"b")) == b"a" * 900 + b"b"
    assert decoded(frame * 5000) == b"a" * 1000
    assert decoded(frame + b"\x50\x2a\x4d\x18\0\0\0\0" * 60_000) == b"a"
