import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webtext.pipeline.files.lines import MAX_LINE, TruncatedInputError
from webtext.pipeline.links.dumps import Post, read_posts
from webtext.pipeline.links.exports import TableError
from webtext.schemas.records import Reason, Rejected

REDDIT = Path(__file__).resolve().parents[4] / "shared" / "data" / "reddit"
HEADER = "id,url,score,created_utc,subreddit,title\n"
ROW = "89,http://example.com/a,26,1119552369.0,x,Nerds\n"
POST = Post("89", "http://example.com/a", 26, 1119552369, "x", "Nerds")


def read_all(text, name="x", **limit):
    data = text if isinstance(text, bytes) else text.encode()
    return list(read_posts(io.BytesIO(data), name, 3, **limit))


# Tables.


def test_a_row():
    assert read_all(HEADER + ROW) == [POST]


@pytest.mark.parametrize(
    "text", ["\ufeff" + HEADER + ROW, "\n\n" + HEADER + "\n" + ROW, (HEADER + ROW).replace("\n", "\r\n")]
)
def test_byte_order_mark_blank_lines_and_line_ends(text):
    assert read_all(text) == [POST]


def test_columns_are_known_by_name():
    text = "Name,over_18,URL,extra,is_self,score,created_utc,permalink\n" + (
        "t3_89,True,http://a/,?,FALSE,3,5,http://www.reddit.com/r/pics/comments/89/x/\n90,,http://b/,?,,4.0,6,\n"
    )
    assert read_all(text) == [
        Post("89", "http://a/", 3, 5, "pics", "", False, True),
        Post("90", "http://b/", 4, 6, "", ""),
    ]


def test_quotes_commas_and_line_feeds_in_a_title():
    title = 'He said "a, b",\n\n  then "c"'
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(
        [["url", "id", "score", "created_utc", "title"], ["u", "1", 2, 3, title]]
    )
    assert read_all(out.getvalue() + "v,2,2,3,b\n") == [Post("1", "u", 2, 3, "", title), Post("2", "v", 2, 3, "", "b")]


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        ("89,http://a/\n", "has 2 fields, the header 6"),
        ("89,http://a/,3,5,x,t,7\n", "has 7 fields, the header 6"),
        ("89,http://a/,,5,x,t\n", "score is missing"),
        ("89,http://a/,many,5,x,t\n", "score is 'many', not a number"),
        ("89,http://a/,3,yesterday,x,t\n", "created_utc is 'yesterday'"),
        (",http://a/,3,5,x,t\n", "id is missing"),
        ('89,http://a/,3,5,x,"t"u\n', "expected after"),
        ('89,http://a/,3,5,x,"t\n', "a quote stays open"),
        (b"89,http://a/,3,5,x,\xff\n", "0xff"),
        ("89,http://a/,3,5,x,t\r90\n", "new-line"),
    ],
)
def test_a_bad_row_costs_itself_only(row, detail):
    row = row if isinstance(row, bytes) else row.encode()
    first, bad, *rest = read_all(HEADER.encode() + ROW.encode() + row + ROW.encode() * 2)
    assert (bad.stage, bad.reason) == ("posts", Reason.BAD_LINE)
    assert detail in bad.detail
    assert [first, *rest] == [POST] * 3


def test_a_boolean_that_is_none():
    [bad] = read_all("id,url,score,created_utc,is_self\n1,u,2,3,maybe\n")
    assert "is_self is 'maybe', not true or false" in bad.detail


def test_a_record_has_a_bound():
    stray = '89,http://a/,3,5,x,"t\n'
    found = read_all(HEADER + stray + ROW * 100 + stray + ROW, longest_record=1000)
    assert [type(entry) for entry in found] == [Rejected] + [Post] * 100 + [Rejected, Post]
    [long, last] = read_all(HEADER + ROW.replace("Nerds", '"' + "x" * 2000 + '"') + ROW, longest_record=1000)
    assert "has more than 1000 bytes" in long.detail
    assert last == POST


def test_a_line_too_long_is_one_bad_line():
    found = read_all(HEADER + ROW + "x" * (MAX_LINE + 1) + "\n" + ROW)
    assert [type(entry) for entry in found] == [Post, Post, Rejected]


def test_a_cut_file_yields_its_whole_records():
    data = gzip.compress((HEADER + ROW * 5000).encode())
    found, records = [], read_posts(io.BytesIO(data[: len(data) - 12]), "x.csv.gz", 3)
    with pytest.raises(TruncatedInputError):
        found.extend(records)
    assert found
    assert set(found) == {POST}


@pytest.mark.parametrize("text", ["http://a/?id,url\n", "url\nhttp://a/\n", "#url,title\nhttp://a/\n", "title,by\n"])
def test_what_is_no_header_begins_a_url_list(text):
    assert all(post.id == "" for post in read_all(text))


@pytest.mark.parametrize("delimiter", "\t,;|")
@pytest.mark.parametrize("before", ["", "\n", "# made by hand\n#\n", "\ufeff", "#"])
def test_a_table_of_urls_and_scores(delimiter, before):
    rows = [["URL", "other", "Score"], ["http://a/?x=1", '5 inches: 5"', "7"], ["http://b/", "", "-2"]]
    text = before + "".join(delimiter.join(row) + "\n" for row in rows)
    assert read_all(text) == [Post("", "http://a/?x=1", 7, 0, "", ""), Post("", "http://b/", -2, 0, "", "")]


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("id,url,created_utc,title", "has no column score"),
        ("url\ttitle", "has no column score"),
        ("id;score;title", "has no column url"),
        ("subreddit|title", "has no column url and no score"),
        ("author,score,created,link,body", "has no column url"),  # to_csv.py's of comments
        ("id,url,score,url", "has a column twice"),
    ],
)
def test_a_table_without_what_is_needed_is_refused(header, problem):
    with pytest.raises(TableError) as caught:
        read_all(f"{header}\nhttp://a/,http://b/,3\n", "posts.csv")
    assert str(caught.value).startswith(f"posts.csv: its header {problem}: b'{header[:2]}")
    assert "needs url and score" in caught.value.why


def test_the_table_of_to_csv():
    """https://github.com/Watchful1/PushshiftDumps/blob/master/scripts/to_csv.py writes these columns."""
    rows = [
        ["author", "title", "score", "created", "link", "text", "url"],
        ["u/a", "T, 1", "12", "2014-05-06 07:08", "https://www.reddit.com/r/x/comments/1a2b/t_1/", "", "http://a/"],
        ["u/a", "T2", "3", "2014-05-06 07:08", "https://www.reddit.com/r/x/comments/1a2c/t2/", 'a\n"b"', "http://b/"],
    ]
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    assert read_all(out.getvalue()) == [
        Post("1a2b", "http://a/", 12, 1399360080, "x", "T, 1"),
        Post("1a2c", "http://b/", 3, 1399360080, "x", "T2"),
    ]


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("1399360080", 1399360080),
        ("1399360080.0", 1399360080),
        ("2014-05-06", 1399334400),
        ("2014-05-06 07:08:00+02:00", 1399352880),
        ("2014-05-06T07:08:00Z", 1399360080),
    ],
)
def test_dates_of_tables(date, seconds):
    assert [post.created_utc for post in read_all(f"id,url,score,created_utc\n1,u,2,{date}\n")] == [seconds]


def test_quotes_open_where_a_field_begins():
    titles = ['5" disks', 'the "best"', 'a"', '"He said" it', '"a" and "b"']
    rows = [f"{number}\thttp://a/\t3\t{title}" for number, title in enumerate(titles)]
    for end in ("\n", "\r\n"):
        assert [post.title for post in read_all(end.join(["id\turl\tscore\ttitle", *rows, ""]))] == titles


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=30)


@settings(deadline=None)
@given(st.lists(st.tuples(_TEXT, st.integers(-99, 99)), max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_what_csv_writes_is_read_back(rows, end):
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=end)
    writer.writerow(["title", "id", "score", "url", "created_utc"])
    writer.writerows([title, f"i{n}", score, "u", 0] for n, (title, score) in enumerate(rows))
    assert [(post.title, post.score) for post in read_all(out.getvalue())] == rows


@settings(deadline=None)
@given(st.lists(st.sampled_from([*'",\n\r x', "89", "http://a/", ROW]), max_size=60).map("".join))
def test_any_text_becomes_posts_and_bad_lines(text):
    assert all(isinstance(found, Post | Rejected) for found in read_all(HEADER + text))


def test_csv_and_json_of_one_corpus_give_equal_posts():
    paths = [REDDIT / "umbrae_top2013_sample.csv", REDDIT / "umbrae_top2013.ndjson.zst"]
    for path in paths:
        if not path.exists():
            pytest.skip(f"{path.name} is not here")
    rows, lines = (list(read_posts(io.BytesIO(path.read_bytes()), path.name, 3)) for path in paths)
    by_id = {post.id: post for post in lines}
    assert len(rows) == 1153
    assert rows == [by_id[row.id] for row in rows]


# OpenWebText2's lists.

LISTS = {
    "id": ["89", "90"],
    "score": [2, None],
    "title": ["a", "b"],
    "subreddit": ["x", "y"],
    "created_utc": ["2011-01-01T00:00:00", 1293840001],
}
POSTS = [Post("89", "http://a/?b&c", 2, 1293840000, "x", "a"), Post("90", "http://a/?b&c", 0, 1293840001, "y", "b")]


@pytest.mark.parametrize(
    "record",
    [
        {"text": "http://a/?b&amp;c", "meta": LISTS},
        {"url": "http://a/?b&c", **LISTS},
        {"text": "the page", "meta": {"url": "http://a/?b&c", **{f"reddit_{name}": LISTS[name] for name in LISTS}}},
        {
            "text": "the page",
            "meta": {
                "url": "http://a/?b&c",
                "reddit_id": LISTS["id"],
                "reddit_scores": LISTS["score"],
                "reddit_titles": LISTS["title"],
                "reddit_subreddits": LISTS["subreddit"],
                "reddit_created_utc": LISTS["created_utc"],
            },
        },
    ],
)
def test_each_post_of_the_lists(record):
    assert read_all(json.dumps(record)) == POSTS


@pytest.mark.parametrize("page", [rb'"cut \ud83d"', b"NaN", b'"\xff"', b'"a raw \t"'])
def test_what_is_not_read_costs_no_list(page):
    lists = json.dumps({"url": "http://a/?b&c", **LISTS}).encode()
    assert read_all(b'{"content": %b, %b' % (page, lists[1:])) == POSTS


def test_lists_among_posts_and_bad_lines():
    line = json.dumps({"text": "http://a/?b&c", "meta": LISTS})
    found = read_all(f"nothing\n{line}\n".replace("nothing", '{"id": 5}') + line[:-1] + "\n")
    assert [type(entry) for entry in found] == [Rejected, Post, Post, Rejected]


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"score": [1]}, "don't match: 2 of id, 1 of score"),
        ({"id": [], "score": [], "title": [], "subreddit": [], "created_utc": []}, "don't match: 0 of id"),
        ({"created_utc": ["once", 5]}, "created_utc is 'once', not a number"),
        ({"id": [5, "90"]}, "Expected `str | null`, got `int`"),
        ({"score": 5}, "id"),
    ],
)
def test_bad_lists(changes, detail):
    bad, *rest = read_all(json.dumps({"text": "http://a/?b&c", "meta": LISTS | changes}))
    assert bad.reason == Reason.BAD_LINE
    assert detail in bad.detail
    assert [post.id for post in rest] in (["90"], [])


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["id", "score", "title", "subreddit", "created_utc", "url", "meta", "text"]),
        st.one_of(
            st.none(),
            st.text(max_size=3),
            st.lists(st.one_of(st.none(), st.text(max_size=3), st.integers()), max_size=2),
        ),
    )
)
def test_any_lists_become_posts_and_bad_lines(record):
    assert all(isinstance(found, Post | Rejected) for found in read_all(json.dumps(record)))
