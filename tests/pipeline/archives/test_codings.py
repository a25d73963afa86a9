import gzip
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.archives.codings import undo_whole
from webtext.pipeline.archives.http_payload import HttpMessage, decode_body

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
    assert undo_whole(CODERS[coding](TEXT), field(coding).upper(), 10**6) == TEXT
    assert undo_whole(CODERS[coding](TEXT), field(coding), 100) == TEXT[:100]
    assert undo_whole(b"", field(coding), 100) == b""


@pytest.mark.parametrize("coding", CODERS)
def test_a_stream_that_is_cut_anywhere_is_refused(coding):
    stream = CODERS[coding](TEXT)
    for end in range(1, len(stream)):
        with pytest.raises(ValueError, match="damaged "):
            undo_whole(stream[:end], field(coding), 10**6)


@pytest.mark.parametrize("coding", CODERS)
@given(text=st.binary(max_size=300).map(b"#".__add__), limit=st.integers(1, 400))
def test_the_first_bytes_of_a_stream(coding, text, limit):
    assert undo_whole(CODERS[coding](text), field(coding), limit) == text[:limit]


@pytest.mark.parametrize("coding", CODERS)
def test_plain_text_under_the_name_of_a_coding_is_refused(coding):
    with pytest.raises(ValueError, match="damaged "):
        undo_whole(TEXT, field(coding), 10**6)


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
    assert undo_whole(body, codings, 10**6) == TEXT


@pytest.mark.parametrize(
    ("body", "codings", "message"),
    [
        (TEXT, b"compress", "content coding 'compress' is unknown, known are gzip, x-gzip, br, zstd, deflate"),
        (TEXT, b"gzip, gzip, gzip, gzip", "4 content codings, at most 3 are undone"),
        (gzip.compress(TEXT)[:-8] + b"\0" * 8, b"gzip", "damaged gzip: .*incorrect data check"),
        (gzip.compress(TEXT)[:40], b"", "damaged gzip: cut short"),
        (zstandard.compress(b"") * 20_000, b"zstd", "damaged zstd: more than 1000 streams"),
        (b"\x50\x2a\x4d\x18\0\0\0\0" * 20_000, b"zstd", "damaged zstd: more than 1000 streams"),
        (gzip.compress(b"") * 20_000, b"gzip", "damaged gzip: more than 1000 streams"),
    ],
)
def test_what_is_refused(body, codings, message):
    with pytest.raises(ValueError, match=message):
        undo_whole(body, codings, 10**6)


# Pages: as far as they go.

PAGE = b"<!doctype html><p>" + b"".join(b"%d quiet rivers, %d loud ones. " % (n * n, n**3 % 9973) for n in range(4000))
SIZES = (300, 5_000, 60_000, len(PAGE))  # on both sides of the steps in which decoders work


def decoded(body, coding, limit=10**6):
    return decode_body(HttpMessage(200, {b"content-encoding": field(coding)}, body), limit)


@pytest.mark.parametrize("tail", [b"<!-- served by a.example -->", b"\r\n\r\n", b"\0" * 700, b"\x1f\x8b", b"0"])
@pytest.mark.parametrize("coding", CODERS)
def test_what_follows_the_stream_of_a_page_is_ignored(coding, tail):
    for size in SIZES:
        assert decoded(CODERS[coding](PAGE[:size]) + tail, coding) == PAGE[:size]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize("place", [-1, -3, -4])
def test_a_page_whose_checksum_is_another_is_whole(coding, place):
    checked = zstandard.ZstdCompressor(write_checksum=True).compress if coding == "zstd" else CODERS[coding]
    for size in SIZES:
        body = bytearray(checked(PAGE[:size]))
        body[place] ^= 0x55
        assert decoded(bytes(body), coding) == PAGE[:size]


def test_a_gzip_page_whose_length_is_another_is_whole():
    for size in SIZES:
        assert decoded(gzip.compress(PAGE[:size])[:-4] + b"\xff" * 4, "gzip") == PAGE[:size]


@pytest.mark.parametrize(("coding", "lost"), [("gzip", 300), ("deflate", 300), ("bare deflate", 300), ("br", 700)])
def test_a_page_goes_as_far_as_its_bytes(coding, lost):
    body = CODERS[coding](PAGE)
    for share in (10, 50, 97):
        cut = body[: len(body) * share // 100]
        found = decoded(cut, coding)
        assert PAGE.startswith(found)
        assert len(found) > len(PAGE) * share / 100 * 0.7 - lost
        # Of what an inner coding has, nothing is lost where an outer one is cut.
        assert PAGE.startswith(decoded(gzip.compress(cut)[:-9], f"{field(coding).decode()}, gzip"))


def test_a_cut_zstd_page_has_its_whole_blocks():
    text = b"".join(b"<p>%d</p>" % (n**5 % 999_983) for n in range(40_000))
    body = zstandard.compress(text)
    found = decoded(body[: len(body) * 9 // 10], "zstd")
    assert text.startswith(found)
    assert len(found) == 3 * 2**17 < len(text) < 4 * 2**17


@pytest.mark.parametrize("coding", CODERS)
@pytest.mark.parametrize(
    "text",
    [
        PAGE,
        b"\n\n" + PAGE,
        b"\r\n <div>" + PAGE,
        b"xylophones " + PAGE,
        b"(just text) " + PAGE,
        PAGE.decode().encode("utf-16"),
        PAGE.decode().encode("utf-16-le"),
        b"\n<p>a",
    ],
)
def test_a_page_that_was_decoded_before_is_left_alone(coding, text):
    assert decoded(text, coding) == text


@pytest.mark.parametrize("coding", CODERS)
@given(damage=st.binary(min_size=1, max_size=40), place=st.integers(0, 2000), limit=st.integers(1, 3000))
def test_no_damage_makes_more_than_the_limit(coding, damage, place, limit):
    body = CODERS[coding](PAGE[:20_000])
    assert len(decoded(body[:place] + damage + body[place + len(damage) :], coding, limit)) <= limit


def test_a_body_of_thousands_of_frames_is_read_as_far_as_a_thousand():
    def decoded(body):
        return decode_body(HttpMessage(200, {b"content-encoding": b"zstd"}, body), 10**6)

    frame = zstandard.compress(b"a")
    assert decoded(frame * 900 + zstandard.compress(b"b")) == b"a" * 900 + b"b"
    assert decoded(frame * 5000) == b"a" * 1000
    assert decoded(frame + b"\x50\x2a\x4d\x18\0\0\0\0" * 60_000) == b"a"
