import bz2
import gzip
import io
import lzma
import random

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from webtext.pipeline.files.lines import TooLong, TruncatedInputError, cut_end, open_lines


def zstd(data):
    # As the command line does from a pipe: a checksum (without one, damage goes unnoticed), no content size.
    writer = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return writer.compress(data) + writer.flush()


PACKERS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}
COMPRESSED = {ending: pack for ending, pack in PACKERS.items() if ending}


def lines_of(data, name="x", **limit):
    return list(open_lines(io.BytesIO(data), name, **limit))


@pytest.mark.parametrize("pack", COMPRESSED.values(), ids=COMPRESSED)
@pytest.mark.parametrize("name", ["RS_2011-01", "RS_2011-01.gz", "RS.zst"])
def test_content_decides_on_the_compression(pack, name):
    assert lines_of(pack(b"a\nb\n\nc"), name) == [b"a", b"b", b"", b"c"]


@pytest.mark.parametrize("pack", COMPRESSED.values(), ids=COMPRESSED)
def test_members_and_frames_follow_one_another(pack):
    assert lines_of(pack(b"a\nb") + pack(b"c\nd") + pack(b"") + pack(b"\ne")) == [b"a", b"bc", b"d", b"e"]


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress], ids=["gz", "xz"])
def test_padding_between_and_after_members(pack):
    assert lines_of(pack(b"a\n") + bytes(8) + pack(b"b\n") + bytes(20_000)) == [b"a", b"b"]


def test_zstd_frame_with_a_window_of_two_gigabytes():
    # Frame header by RFC 8878: no content size, window descriptor 0xA8 = 2^31 bytes; then one raw block, the last.
    frame = b"\x28\xb5\x2f\xfd\x00\xa8" + (len(b"a\nb") << 3 | 1).to_bytes(3, "little") + b"a\nb"
    with pytest.raises(zstandard.ZstdError):
        zstandard.ZstdDecompressor().decompressobj().decompress(frame)
    assert lines_of(frame) == [b"a", b"b"]


def test_zstd_skippable_frame_comes_first():
    assert lines_of(b"\x50\x2a\x4d\x18\x04\0\0\0size" + zstd(b"a\nb")) == [b"a", b"b"]


@pytest.mark.parametrize("name", ["x", "x.gz", "x.bz2", "x.xz", "x.zst"])
def test_empty_file_has_no_lines(name):
    assert lines_of(b"", name) == []


def test_only_line_feeds_and_the_first_byte_order_mark_go():
    assert lines_of(b"\xef\xbb\xbfa\r\n\r\n  \n\tb \nc\xef\xbb\xbf") == [
        b"a\r",
        b"\r",
        b"  ",
        b"\tb ",
        b"c\xef\xbb\xbf",
    ]
    assert lines_of(b"\xef\xbb\xbf") == []


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(1, 7), st.sampled_from(list(PACKERS)))
def test_lines_are_those_of_a_plain_split_however_the_bytes_arrive(text, size, ending):
    class Dribble(io.BytesIO):
        def read(self, wanted=-1):
            return super().read(min(size, wanted))

    text = b"first\n" + text  # not the magic bytes of a compressed file by chance
    expected = text.split(b"\n")
    stream = Dribble(PACKERS[ending](text))
    # A compression is known by its first bytes, and the first read gives fewer here: so the name tells it.
    found = list(open_lines(stream, f"x{ending}"))
    assert found == (expected if expected[-1] else expected[:-1])


@pytest.mark.parametrize("pack", PACKERS.values(), ids=[ending or "plain" for ending in PACKERS])
@pytest.mark.parametrize("length", [99, 100, 101, 5000, 3_000_000])
def test_a_line_too_long_is_told_once_and_the_rest_is_read(pack, length):
    long = b"x" * length
    first, middle, after, last = lines_of(pack(b"a\n" + long + b"\nb\n" + long), longest=100)
    assert (first, after) == (b"a", b"b")
    if length <= 100:
        assert middle == last == long
    else:
        assert middle == last == TooLong(100)


@pytest.mark.parametrize("ending", COMPRESSED)
def test_a_cut_file_yields_its_whole_lines_then_says_so(ending):
    draw = random.Random(0)
    text = [b"%d %x" % (number, draw.getrandbits(64)) for number in range(100_000)]
    data = COMPRESSED[ending](b"\n".join(text))
    for cut in (len(data) // 2, len(data) - 1):
        lines, got = open_lines(io.BytesIO(data[:cut]), f"RS{ending}"), []
        with pytest.raises(
            TruncatedInputError, match=rf"RS\{ending}: its \{ending} data end early after \d+ whole"
        ) as caught:
            got.extend(lines)
        # list.extend keeps what came before the error.
        assert got == text[: len(got)]
        assert len(got) == caught.value.lines
        assert len(got) > 0.3 * cut / len(data) * len(text)


@pytest.mark.parametrize(
    ("name", "data", "whole", "words"),
    [
        ("x", b'{"a": 1}\n{"a', False, "it ends inside a line"),
        ("x", b'{"a": 1}\n{"a": 2}', True, ""),
        ("x", b'{"a": 1}\n{"a\n', False, ""),
        ("x", b"", True, ""),
        ("x.gz", b"", True, "it is empty"),
        ("x", gzip.compress(b"a"), False, ""),
    ],
)
def test_the_end_of_a_file_tells_of_a_cut(name, data, whole, words):
    assert cut_end(io.BytesIO(data), name, whole) == words


@pytest.mark.parametrize("ending", COMPRESSED)
def test_damage_is_no_read_error(ending):
    data = bytearray(COMPRESSED[ending](b"\n".join(b"%d" % number for number in range(50_000))))
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    with pytest.raises(TruncatedInputError, match=r"damaged|end early"):
        lines_of(bytes(data), f"x{ending}")
    with pytest.raises(TruncatedInputError, match="damaged"):
        lines_of(COMPRESSED[ending](b"a\n") + b"trailing garbage")


@pytest.mark.parametrize("ending", COMPRESSED)
def test_text_under_the_name_of_a_compressed_file(ending):
    with pytest.raises(TruncatedInputError, match=r"damaged .* after 0 whole lines"):
        lines_of(b'{"id": "a"}\n' * 5, f"x{ending}")


@pytest.mark.parametrize("name", ["x", "x.gz", "x.bz2"])
def test_a_read_error_stays_a_read_error(name):
    class Failing(io.BytesIO):
        def read(self, wanted=-1):
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(open_lines(Failing(), name))


@pytest.mark.parametrize("line", [b"\n", b"{}\n"])
def test_lines_without_end_are_told_after_those_that_a_file_can_hold(line):
    data = zstd(b"a\n" + line * 20_000_000)
    lines, got = open_lines(io.BytesIO(data), "x"), []
    with pytest.raises(TruncatedInputError, match="over 250 times their bytes, or lines without end") as caught:
        got.extend(lines)
    assert got[:2] == [b"a", line[:-1]]
    assert len(got) == caught.value.lines < 100_000 + 10 * len(data)


def test_text_that_repeats_is_no_bomb():
    text = [b'{"id": "%d", "url": "http://example.com/", "score": 3}' % number for number in range(20_000)]
    for pack in COMPRESSED.values():
        assert lines_of(pack(b"\n".join(text))) == text


def test_a_line_of_gigabytes_is_told():
    writer = zstandard.ZstdCompressor().compressobj()
    data = b"".join([writer.compress(b"a\n"), *(writer.compress(bytes(2**20)) for _ in range(1000)), writer.flush()])
    with pytest.raises(TruncatedInputError, match="over 250 times"):
        lines_of(data)
