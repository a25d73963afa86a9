import collections
import io
import json
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from webtext.pipeline.identity.urls import canonicalize, link_key
from webtext.pipeline.links.dumps import Post, parse_submission, parse_url_line, read_posts
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


def read_all(data, name="x", score=3):
    return list(read_posts(io.BytesIO(data), name, score))


def parse(**changes):
    return parse_submission(json.dumps({k: v for k, v in (POST | changes).items() if v is not ...}).encode())


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
        b'{"id": "a\xff", "score": 3, "created_utc": 5}',
        b'{"id": "a\\ud800", "score": 3, "created_utc": 5}',
        b'{"id": "a", "score": 3, "created_utc": 5, "url": "http://a/\xff"}',
        b'{"id": "a", "score": 3, "created_utc": 5, "url": "http://a/\\udc00 lone"}',
        b'{"id": "a", "score": 3, "created_utc": 5, "title": NaN}',
        b'{"id": "a", "score": Infinity, "created_utc": 5, "other": NaN}',
        b'{"id": "a", "score": ' + b"9" * 5000 + b"}",
        b'{"id": "a", "score": 1e999}',
    ],
)
def test_what_is_no_record_is_a_bad_line(line):
    rejected = parse_submission(line)
    assert isinstance(rejected, Rejected)
    assert rejected.reason == Reason.BAD_LINE
    assert rejected.detail


@pytest.mark.parametrize(
    "value",
    [
        *(rb'"cut \ud83c"', rb'"\udf75 cut"', rb'{"deep": ["\ud83d", {"\udc00": 1}]}', b"NaN", b"[-Infinity]"),
        *(b'"\xff\xfe and \\ud83d"', b'"raw \t and \x01"', b"9" * 5000, b"-1e999", b"[" * 900 + b"]" * 900),
    ],
)
@pytest.mark.parametrize("name", [b"link_flair_text", rb"\ud83d"])
def test_a_field_that_is_not_read_costs_no_post(name, value):
    line = json.dumps(POST).encode()
    assert parse_submission(b'{"%b": %b, %b' % (name, value, line[1:])) == parse()
    assert parse_submission(line[:-1] + b', "_meta": %b}' % value) == parse()


@pytest.mark.parametrize("damage", [b"\xe2\x98", rb"\ud83d", rb"\udc4d"])
def test_damage_in_a_title_is_shown_and_in_a_url_refused(damage):
    line = json.dumps(POST).encode()
    found = parse_submission(line.replace(b"Nerds", b"Nerds" + damage))
    assert isinstance(found, Post)
    assert found.title.rstrip("\ufffd") == "Nerds"
    assert found.title.endswith("\ufffd")
    rejected = parse_submission(line.replace(b"com/a", b"com/a" + damage))
    assert isinstance(rejected, Rejected)
    assert (rejected.url, rejected.key) == ("", b"")
    assert "url has half a surrogate pair or octets that are not UTF-8" in rejected.detail


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
    text = b"# from somewhere\nhttp://example.com/?a&amp;b\n\n  https://example.org  \r\n#http://no/\nno-url\n\xff\n"
    first, second, third, fourth = read_all(text)
    assert first == Post("", "http://example.com/?a&b", 3, 0, "", "")
    assert second.url == "https://example.org"
    assert third.url == "no-url"
    assert fourth.reason == Reason.BAD_LINE
    assert "0xff" in fourth.detail


@pytest.mark.parametrize("rest", [b"\tA title", b" A title", b"\t12", b"\x0b12", b" \t "])
def test_what_stands_behind_a_url_is_no_part_of_it(rest):
    first, second = read_all(b"http://example.com/a\nhttp://example.com/b" + rest)
    assert first.url == "http://example.com/a"
    if rest.strip():
        assert (second.reason, second.url) == (Reason.BAD_URL, "http://example.com/b" + rest.decode())
    else:
        assert second.url == "http://example.com/b"


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
