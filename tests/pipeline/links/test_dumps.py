import bz2
import collections
import gzip
import io
import json
import lzma
import random
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from webtext.pipeline.identity.urls import canonicalize, link_key
from webtext.pipeline.links import dumps as submissions
from webtext.pipeline.links.dumps import Post, TruncatedInput, open_lines, parse_submission, parse_url_line, read_posts
from webtext.schemas.records import Reason, Rejected

REDDIT = Path(__file__).resolve().parents[4] / "shared" / "data" / "reddit"
POST = {
    "id": "89",
    "url": "http://example.com/a",
    "score": 26,
    "created_utc": 1119552369,
    "title": "Nerds",
    "subreddit": "x",
}


def zstd(data):
    # As the command line does from a pipe: a checksum (without one, damage goes unnoticed), no content size.
    writer = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return writer.compress(data) + writer.flush()


PACKERS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}
COMPRESSED = {ending: pack for ending, pack in PACKERS.items() if ending}


def lines_of(data, name="x"):
    return list(open_lines(io.BytesIO(data), name))


def read_all(data, name="x", score=3):
    return list(read_posts(io.BytesIO(data), name, score))


def parse(**changes):
    return parse_submission(json.dumps({k: v for k, v in (POST | changes).items() if v is not ...}).encode())


# Lines.


@pytest.mark.parametrize("pack", COMPRESSED.values(), ids=COMPRESSED)
@pytest.mark.parametrize("name", ["RS_2011-01", "RS_2011-01.gz", "RS.zst"])
def test_content_decides_on_the_compression(pack, name):
    assert lines_of(pack(b"a\nb\n\nc"), name) == [b"a", b"b", b"c"]


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


def test_blanks_line_ends_and_byte_order_mark():
    assert lines_of(b"\xef\xbb\xbfa\r\n\r\n  \n\tb \nc\xef\xbb\xbf") == [b"a", b"b", b"c\xef\xbb\xbf"]
    assert lines_of(b"\xef\xbb\xbf") == []


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(1, 7), st.sampled_from(list(PACKERS)))
def test_lines_are_those_of_a_plain_split_however_the_bytes_arrive(text, size, ending):
    class Dribble(io.BytesIO):
        def read(self, wanted=-1):
            return super().read(min(size, wanted))

    text = b"first\n" + text  # not the magic bytes of a compressed file by chance
    expected = [line.strip() for line in text.split(b"\n") if line.strip()]
    stream = Dribble(PACKERS[ending](text))
    # A compression is known by its first bytes, and the first read gives fewer here: so the name tells it.
    assert list(open_lines(stream, f"x{ending}")) == expected


@pytest.mark.parametrize("pack", PACKERS.values(), ids=[ending or "plain" for ending in PACKERS])
@pytest.mark.parametrize("length", [99, 100, 101, 5000, 3_000_000])
def test_a_line_too_long_is_one_bad_line_and_the_rest_is_read(monkeypatch, pack, length):
    monkeypatch.setattr(submissions, "MAX_LINE", 100)
    long = b"x" * length
    first, middle, after, last = lines_of(pack(b"a\n" + long + b"\nb\n" + long))
    assert (first, after) == (b"a", b"b")
    if length <= 100:
        assert middle == last == long
    else:
        assert middle == last == Rejected("posts", Reason.BAD_LINE, b"", "", "has more than 100 bytes")


@pytest.mark.parametrize("ending", COMPRESSED)
def test_a_cut_file_yields_its_whole_lines_then_says_so(ending):
    draw = random.Random(0)
    text = [b"%d %x" % (number, draw.getrandbits(64)) for number in range(100_000)]
    data = COMPRESSED[ending](b"\n".join(text))
    for cut in (len(data) // 2, len(data) - 1):
        lines, got = open_lines(io.BytesIO(data[:cut]), f"RS{ending}"), []
        with pytest.raises(
            TruncatedInput, match=rf"RS\{ending}: its \{ending} data end early after \d+ whole"
        ) as caught:
            got.extend(lines)
        # list.extend keeps what came before the error.
        assert got == text[: len(got)]
        assert len(got) == caught.value.lines
        assert len(got) > 0.3 * cut / len(data) * len(text)


@pytest.mark.parametrize("ending", COMPRESSED)
def test_damage_is_no_read_error(ending):
    data = bytearray(COMPRESSED[ending](b"\n".join(b"%d" % number for number in range(50_000))))
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    with pytest.raises(TruncatedInput, match=r"damaged|end early"):
        lines_of(bytes(data), f"x{ending}")
    with pytest.raises(TruncatedInput, match="damaged"):
        lines_of(COMPRESSED[ending](b"a\n") + b"trailing garbage")


@pytest.mark.parametrize("ending", COMPRESSED)
def test_text_under_the_name_of_a_compressed_file(ending):
    with pytest.raises(TruncatedInput, match=r"damaged .* after 0 whole lines"):
        lines_of(b'{"id": "a"}\n' * 5, f"x{ending}")


@pytest.mark.parametrize("name", ["x", "x.gz", "x.bz2"])
def test_a_read_error_stays_a_read_error(name):
    class Failing(io.BytesIO):
        def read(self, wanted=-1):
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(open_lines(Failing(), name))


# Submissions.


def test_a_line_of_a_dump():
    assert parse() == Post("89", "http://example.com/a", 26, 1119552369, "x", "Nerds", False, False)


@pytest.mark.parametrize("value", [3, 3.0, "3", "3.0", 3.9, "3.9"])
@pytest.mark.parametrize("field", ["score", "created_utc"])
def test_numbers_of_all_ages(field, value):
    assert getattr(parse(**{field: value}), field) == 3


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"score": ...}, "score is missing"),
        ({"score": None}, "score is missing"),
        ({"score": True}, "got `bool`"),
        ({"score": ""}, "score is '', not a number"),
        ({"score": "many"}, "score is 'many', not a number"),
        ({"score": "1_000"}, "not a number"),
        ({"score": " 3"}, "not a number"),
        ({"score": "٣"}, "not a number"),
        ({"score": "nan"}, "not a number"),
        ({"score": 10**30}, "score is 1000000000000000000000000000000, not within"),
        ({"score": -(10**30)}, "not within"),
        ({"score": 1e300}, "not within"),
        ({"score": []}, "score"),
        ({"created_utc": ...}, "created_utc is missing"),
        ({"created_utc": False}, "got `bool`"),
        ({"created_utc": -1}, "created_utc is -1, not within"),
        ({"created_utc": 1119552369000}, "created_utc is 1119552369000, not within"),
        ({"created_utc": "2011-01-01"}, "not a number"),
        ({"id": ...}, "id is missing"),
        ({"id": None, "name": "t3_"}, "id is missing"),
        ({"id": 89}, "Expected `str | null`, got `int` - at `$.id`"),
        ({"url": 5}, "$.url"),
        ({"title": ["a"]}, "$.title"),
        ({"is_self": "false"}, "$.is_self"),
    ],
)
def test_a_field_that_no_dump_has(changes, detail):
    rejected = parse(**changes)
    assert isinstance(rejected, Rejected)
    assert (rejected.stage, rejected.reason) == ("posts", Reason.BAD_LINE)
    assert detail in rejected.detail


def test_a_bad_line_keeps_the_url_that_could_be_read():
    rejected = parse(score=None)
    assert rejected.url == POST["url"]
    assert rejected.key == link_key(canonicalize(POST["url"]))
    assert parse(score=None, url="nothing").key == b""


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b'{"id": "a", "url": "http://exam',
        b"[]",
        b"null",
        b"3",
        b"{} {}",
        b'{"id": NaN}',
        b'{"x":' + b"[" * 100_000,
        b'{"id": "a", "title": "\xff\xfe"}',
        b'{"id": "a", "title": "\\ud800 lone"}',
        b'{"id": "a", "title": "\\udc00 lone"}',
        b'{"id": "a", "score": ' + b"9" * 5000 + b"}",
        b'{"id": "a", "score": 1e999}',
    ],
)
def test_what_is_no_record_is_a_bad_line(line):
    rejected = parse_submission(line)
    assert isinstance(rejected, Rejected)
    assert rejected.reason == Reason.BAD_LINE
    assert rejected.detail


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_become_a_post_or_a_bad_line(line):
    assert isinstance(parse_submission(line), Post | Rejected)
    found = parse_url_line(line, 3)
    assert found is None if line[:1] == b"#" else isinstance(found, Post | Rejected)


_VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([]))


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*POST, "name", "is_self", "over_18", "domain"]), _VALUES))
def test_any_fields_become_a_post_or_a_bad_line(changes):
    found = parse_submission(json.dumps(POST | changes).encode())
    if isinstance(found, Post):
        assert type(found.score) is type(found.created_utc) is int
        assert abs(found.score) < 2**63
        assert found.id
        assert not found.id.startswith("t3_t3_")
    else:
        assert found.reason == Reason.BAD_LINE


@pytest.mark.parametrize("changes", [{"id": "t3_89"}, {"id": ..., "name": "t3_89"}, {"id": None, "name": "89"}])
def test_id_with_and_without_prefix(changes):
    assert parse(**changes).id == "89"


def test_missing_text_is_empty():
    post = parse(title=..., subreddit=None, url=...)
    assert (post.title, post.subreddit, post.url) == ("", "", "")


def test_ampersands_of_the_url_are_unescaped():
    assert parse(url="http://example.com/?a=1&amp;amp;b=2").url == "http://example.com/?a=1&b=2"


@pytest.mark.parametrize(
    ("changes", "is_self"),
    [
        ({"is_self": True}, True),
        ({"is_self": False}, False),
        ({}, False),
        ({"domain": "self.x"}, True),
        ({"domain": "self.x", "is_self": False}, False),
        ({"domain": "self.com"}, False),  # a magazine
        ({"domain": "example.com"}, False),
    ],
)
def test_self_posts(changes, is_self):
    assert parse(**changes).is_self is is_self


def test_over_18():
    assert [parse(over_18=mark).over_18 for mark in (True, False, None, ...)] == [True, False, False, False]


# URL lists.


def test_a_list_of_urls():
    text = b"# from somewhere\nhttp://example.com/?a&amp;b\n\n  https://example.org  \r\n#http://no/\nnot a url\n\xff\n"
    first, second, third, fourth = read_all(text)
    assert first == Post("", "http://example.com/?a&b", 3, 0, "", "")
    assert second.url == "https://example.org"
    assert third.url == "not a url"
    assert fourth.reason == Reason.BAD_LINE
    assert "0xff" in fourth.detail


@pytest.mark.parametrize(("text", "reason"), [(b"\n \n{}\nhttp://a/", Reason.BAD_LINE), (b"[{}]", Reason.BAD_LINE)])
def test_json_is_known_by_its_first_line(text, reason):
    assert {found.reason for found in read_all(text)} == {reason}


def test_when_the_score_was_read():
    def retrieved(**changes):
        return parse(created_utc=1000, **changes).retrieved_utc

    assert retrieved() == 0
    assert retrieved(retrieved_on=2000) == retrieved(retrieved_utc="2000.5") == retrieved(retrieved_on=2000.0) == 2000
    assert retrieved(retrieved_on=2000, _meta={"retrieved_2nd_on": 3000}) == 3000  # when the score was read again
    for nonsense in (999, -1, 10**18, "soon", True, [], {}, 1e300):
        assert retrieved(retrieved_on=nonsense) == 0
    assert retrieved(retrieved_on=2000, _meta=[]) == 2000


# Real dumps.


@pytest.mark.parametrize(
    ("name", "records", "bad"),
    [
        ("umbrae_top2013", 67_717, 0),
        ("RS_v2_2005-06", 52, 0),
        ("RS_v2_2005-07", 527, 0),
        ("RS_2024_schema", 16, 0),
        ("praw_api_t3", 2_007, 0),
    ],
)
def test_every_line_of_a_real_dump_is_accounted_for(name, records, bad):
    path = REDDIT / f"{name}.ndjson.zst"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    with path.open("rb") as stream:
        found = list(read_posts(stream, path.name, 3))
    with path.open("rb") as stream, zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(stream) as text:
        originals = [json.loads(line) for line in io.TextIOWrapper(text, "utf-8", newline="\n")]
    assert len(found) == len(originals) == records
    assert collections.Counter(type(entry) for entry in found)[Rejected] == bad
    for post, original in zip(found, originals, strict=True):
        assert (post.id, post.score, post.is_self) == (original["id"], original["score"], original["is_self"])
        assert post.created_utc == int(float(original["created_utc"]))
        assert post.title == original["title"]
