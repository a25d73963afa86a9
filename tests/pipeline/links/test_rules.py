import collections
import dataclasses
import json
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from hypothesis import given, settings
from hypothesis import strategies as st

from webtext.pipeline.identity.urls import canonicalize, link_key
from webtext.pipeline.links.dumps import Post, read_posts
from webtext.pipeline.links.rules import Lists, end_of, merge_posts, select_post
from webtext.pipeline.settings import LinkSettings
from webtext.schemas.records import Link, Reason, Rejected, Submission

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
WEBTEXT = LinkSettings()
POST = Post("89", "http://example.com/a", 26, 1119552369, "x", "Nerds")
LAST = 1514764799  # 2017-12-31 23:59:59 UTC


def select(settings=WEBTEXT, **changes):
    return select_post(dataclasses.replace(POST, **changes), settings, Lists.load(settings))


# Selection.


def test_a_link():
    assert select(url="HTTP://Example.com/a?utm_source=x#b") == (
        link_key("http://example.com/a"),
        "http://example.com/a",
    )


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"is_self": True}, Reason.SELF_POST, "text on Reddit"),
        ({"url": "https://www.reddit.com/r/x/comments/89/nerds/"}, Reason.SELF_POST, "comments"),
        ({"url": "http://np.reddit.com/r/y/comments/1/other/?context=3"}, Reason.SELF_POST, "comments"),
        ({"url": "/r/x/comments/89/nerds/"}, Reason.SELF_POST, "comments"),
        ({"url": "https://www.reddit.com/r/x/wiki"}, Reason.BLOCKED_DOMAIN, "reddit.com is on the list webtext"),
        ({"url": "/r/x/wiki"}, Reason.BAD_URL, "not an absolute URL"),
        ({"url": "httpx/comments/"}, Reason.BAD_URL, "not an absolute URL"),
        ({"url": ""}, Reason.BAD_URL, "is empty"),
        ({"url": "ftp://example.com/"}, Reason.BAD_URL, "scheme 'ftp:'"),
        ({"url": "http://\ud800/"}, Reason.BAD_URL, "surrogate"),
        ({"url": "http://localhost/a.html"}, Reason.BAD_URL, "has the host 'localhost'"),
        ({"url": "https://Intranet.:8080/"}, Reason.BAD_URL, "has the host 'intranet'"),
        ({"url": "http://http//example.com/"}, Reason.BAD_URL, "has the host 'http'"),
        ({"created_utc": LAST + 1}, Reason.AFTER_CUTOFF, "posted on 2018-01-01, the last day is 2017-12-31"),
        ({"url": "https://en.m.wikipedia.org/wiki/A"}, Reason.WIKIPEDIA, "en.m.wikipedia.org"),
        ({"url": "http://i.imgur.com/a.jpg"}, Reason.BLOCKED_DOMAIN, "imgur.com is on the list webtext"),
        ({"url": "http://example.com/a.PDF?b"}, Reason.BLOCKED_FILE_TYPE, ".pdf is on the list default"),
    ],
)
def test_reasons(changes, reason, detail):
    rejected = select(**changes)
    assert isinstance(rejected, Rejected)
    assert (rejected.stage, rejected.reason) == ("posts", reason)
    assert rejected.detail.startswith("post 89: ")
    assert detail in rejected.detail
    try:
        url = canonicalize(changes.get("url", POST.url))
    except ValueError:
        assert (rejected.key, rejected.url) == (b"", changes["url"])
    else:
        assert (rejected.key, rejected.url) == (link_key(url), url)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[2001:db8::1]:81", "8.8.8.8", "xn--e1afmkfd.xn--p1ai", "com.com"]
)
def test_addresses_and_hosts_with_a_dot_are_links(host):
    assert select(url=f"http://{host}/a") == (link_key(f"http://{host}/a"), f"http://{host}/a")


def test_reasons_are_checked_in_their_published_order():
    # A post with every fault loses them one by one.
    settings = LinkSettings(over_18=False)
    faults = {"is_self": True, "over_18": True, "url": "ftp://a/", "created_utc": LAST + 1}
    pdf = "https://en.wikipedia.org/a.pdf"
    steps = [
        ({}, Reason.SELF_POST),
        ({"is_self": False}, Reason.OVER_18),
        ({"over_18": False}, Reason.BAD_URL),
        ({"url": pdf}, Reason.AFTER_CUTOFF),
        ({"created_utc": LAST}, Reason.WIKIPEDIA),
        ({"url": "https://i.imgur.com/a.pdf"}, Reason.BLOCKED_DOMAIN),
        ({"url": "https://example.com/a.pdf"}, Reason.BLOCKED_FILE_TYPE),
    ]
    for changes, reason in steps:
        faults |= changes
        assert select(settings, **faults).reason == reason
    assert select(settings, **faults | {"url": "https://example.com/a"})[1] == "https://example.com/a"


def test_settings_decide():
    assert isinstance(select(over_18=True), tuple)
    assert isinstance(select(created_utc=LAST), tuple)
    assert isinstance(select(LinkSettings(until=""), created_utc=LAST + 10**9), tuple)
    assert isinstance(select(url="https://github.com/a"), tuple)
    openwebtext = LinkSettings(blocked_domains="openwebtext")
    assert select(openwebtext, url="https://github.com/a").reason == Reason.BLOCKED_DOMAIN
    assert select(openwebtext, url="https://en.wikipedia.org/").reason == Reason.WIKIPEDIA
    nothing = LinkSettings(blocked_domains="none", blocked_file_types="none")
    assert isinstance(select(nothing, url="https://en.wikipedia.org/a.pdf"), tuple)


@pytest.mark.parametrize("until", ["2017-13-01", "31.12.2017", "yesterday"])
def test_until_must_be_a_day(until):
    with pytest.raises(ValueError, match=rf"until is '{until}', expected a day as YYYY-MM-DD"):
        end_of(until)


def test_a_line_of_a_list_has_no_date_and_names_itself():
    assert isinstance(select(id="", created_utc=0), tuple)
    assert select(id="", created_utc=0, url="nothing").detail.startswith("line without an id: ")


# Merging.


def submission(identity, score, created=100, title=""):
    return Submission(identity, "as posted", score, created, "x", title)


def test_one_post():
    post = submission("a", 3)
    link, duplicates = merge_posts([("http://example.com/", post)], WEBTEXT)
    assert link == Link(link_key("http://example.com/"), "http://example.com/", 3, 100, (post,))
    assert duplicates == []


def test_the_first_post_names_the_link_and_the_best_one_scores_it():
    first, second, third = submission("a", 1, 100), submission("b", 9, 100), submission("0", 4, 200)
    posts = [("https://example.com/c", third), ("http://example.com/c", second), ("http://www.example.com/c/", first)]
    link, duplicates = merge_posts(posts, WEBTEXT)
    assert (link.url, link.score, link.created_utc) == ("http://www.example.com/c/", 9, 100)
    assert link.posts == (first, second, third)
    assert duplicates == []


def test_score_rules():
    posts = [("http://example.com/", submission("a", 2)), ("http://example.com/", submission("b", 2))]
    rejected, duplicates = merge_posts(posts, WEBTEXT)
    assert rejected == Rejected(
        "links", Reason.BELOW_SCORE, link_key(posts[0][0]), posts[0][0], "best 2 of 2 posts, needs 3"
    )
    assert duplicates == []
    summed = LinkSettings(score_rule="summed")
    assert merge_posts(posts, summed)[0].score == 4
    down = [*posts, ("http://example.com/", submission("c", -2))]
    assert merge_posts(down, summed)[0].detail == "sum 2 of 3 posts, needs 3"


def test_a_post_from_two_dumps_counts_once():
    young, old = submission("a", 2), submission("a", 7)
    link, duplicates = merge_posts([("http://example.com/", young), ("http://example.com/", old)], WEBTEXT)
    assert link.posts == (old,)
    assert [(row.stage, row.reason, row.detail) for row in duplicates] == [
        ("links", Reason.DUPLICATE_POST, "post a with score 2, kept with score 7")
    ]
    summed, _ = merge_posts([("http://example.com/", young)] * 5, LinkSettings(score_rule="summed"))
    assert summed.reason == Reason.BELOW_SCORE


def test_lines_of_lists():
    line = submission("", 3, 0)
    link, duplicates = merge_posts(
        [("http://a.com/", line), ("http://a.com/", line), ("https://a.com/", line)], WEBTEXT
    )
    assert link.posts == (line, line)
    assert [row.url for row in duplicates] == ["http://a.com/"]
    assert link.created_utc == 0
    # A post tells the date that the list does not know.
    link, _ = merge_posts([("http://a.com/", line), ("http://a.com/", submission("b", 1, 500))], WEBTEXT)
    assert link.created_utc == 500


_POSTS = st.lists(
    st.tuples(
        st.sampled_from(["http://a.com/", "https://a.com/", "https://www.a.com/"]),
        st.builds(
            Submission,
            id=st.sampled_from(["", "a", "b", "c"]),
            url=st.sampled_from(["as posted", "as posted#"]),
            score=st.integers(-2, 4),
            created_utc=st.integers(0, 3),
            subreddit=st.sampled_from("xy"),
            title=st.sampled_from("pq"),
        ),
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(_POSTS, st.randoms(use_true_random=False), st.sampled_from(["per-post", "summed"]))
def test_the_order_of_the_input_does_not_matter(posts, order, rule):
    settings = LinkSettings(score_rule=rule)
    shuffled = list(posts)
    order.shuffle(shuffled)
    assert merge_posts(posts, settings) == merge_posts(shuffled, settings)


@settings(deadline=None)
@given(_POSTS, st.sampled_from(["per-post", "summed"]))
def test_every_post_is_kept_once_or_a_duplicate(posts, rule):
    link, duplicates = merge_posts(posts, LinkSettings(score_rule=rule, score=-100))
    assert len(link.posts) + len(duplicates) == len(posts)
    assert len({post.id for post in link.posts if post.id}) == len({post.id for _, post in posts if post.id})
    assert list(link.posts) == sorted(link.posts, key=lambda post: (post.created_utc, post.id))
    best = {}
    for url, post in posts:
        name = post.id or url
        best[name] = max(best.get(name, -9), post.score)
    assert link.score == (sum if rule == "summed" else max)(best.values())


# Real data.


def outcomes(path, settings):
    lists = Lists.load(settings)
    found = collections.defaultdict(list)
    with path.open("rb") as stream:
        for record in read_posts(stream, path.name, settings.score):
            result = record if isinstance(record, Rejected) else select_post(record, settings, lists)
            if isinstance(result, Rejected):
                found[result.reason].append(result)
            else:
                found["post"].append((result, record))
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "umbrae_top2013",
            {
                "post": 13490,
                "self_post": 19565,
                "bad_url": 4,
                "wikipedia": 159,
                "blocked_domain": 32590,
                "blocked_file_type": 1909,
            },
        ),
        ("RS_v2_2005-06", {"post": 52}),
        ("RS_v2_2005-07", {"post": 523, "wikipedia": 2, "blocked_file_type": 2}),
        ("RS_2024_schema", {"post": 7, "self_post": 7, "after_cutoff": 1, "blocked_domain": 1}),
        (
            "praw_api_t3",
            {
                "post": 320,
                "self_post": 704,
                "after_cutoff": 305,
                "wikipedia": 37,
                "blocked_domain": 615,
                "blocked_file_type": 26,
            },
        ),
    ],
)
def test_every_line_of_a_real_dump_has_one_outcome(name, expected):
    path = SHARED / "reddit" / f"{name}.ndjson.zst"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    counts = {str(reason): len(rows) for reason, rows in outcomes(path, WEBTEXT).items()}
    print(name, counts)
    # Every line is in here; a change of a rule or list shows as a difference to explain in the CHANGELOG.
    assert counts == expected


@pytest.fixture(scope="module")
def miniweb():
    folder = SHARED / "miniweb"
    if not folder.exists():
        pytest.skip("shared/data/miniweb is not here")
    expected = [json.loads(line) for line in (folder / "expected.jsonl").read_text("utf-8").splitlines()]
    return expected, outcomes(folder / "submissions.ndjson.zst", WEBTEXT), folder


def test_no_rule_drops_a_link_of_the_mini_web(miniweb):
    expected, found, _ = miniweb
    keys = collections.defaultdict(list)
    for (key, url), post in found["post"]:
        keys[key].append((url, post))
    links = [row for row in expected if row["want"] == "link"]
    assert len(links) > 100
    for row in links:
        result, _ = merge_posts(keys[link_key(canonicalize(row["url"]))], WEBTEXT)
        assert isinstance(result, Link), row
    assert len(found[Reason.BAD_LINE]) == len(found[Reason.BAD_URL]) == 1  # the two planted ones


def test_captures_of_the_mini_web_meet_their_posts(miniweb):
    # Posts carry tracking parameters, fragments, the other scheme and &amp;, captures none of them.
    expected, found, folder = miniweb
    posted = {key for (key, _), _ in found["post"]} | {
        row.key for reason, rows in found.items() if reason != "post" for row in rows
    }
    captured = set()
    for path in sorted(folder.glob("*.warc.gz")):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=False):
                captured.add(link_key(canonicalize(record.headers["WARC-Target-URI"])))
    for row in expected:
        key = link_key(canonicalize(row["url"]))
        assert (key in posted) == (row["want"] != "not_linked"), row
        assert (key in captured) == (row["want"] != "no_page"), row


def test_variants_of_the_mini_web_are_posts_of_one_link(miniweb):
    expected, found, _ = miniweb
    posts = collections.Counter(key for (key, _), post in found["post"] if post.id.startswith("mw"))
    varied = [row for row in expected if row.get("note") == "url variants" or row["want"] == "crosspost_2+2"]
    assert len(varied) > 50
    assert {posts[link_key(canonicalize(row["url"]))] for row in varied} == {2}
