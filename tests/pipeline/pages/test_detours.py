"""Redirects and revisits in archives: what leads where, and builds whose links have nothing else."""

import hashlib
from base64 import b32encode
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from warc_records import http, page, warc
from without_engine import run_here, run_until

from webtext.pipeline import flow
from webtext.pipeline.account.why import Build, tell
from webtext.pipeline.archives.warc import Capture
from webtext.pipeline.corpus import build_corpus
from webtext.pipeline.files import tabular
from webtext.pipeline.identity.urls import canonicalize, link_key
from webtext.pipeline.inputs import Inputs
from webtext.pipeline.pages import detours
from webtext.pipeline.settings import CorpusSettings, LinkSettings
from webtext.schemas.records import Reason

ASKED = "http://a.example/asked"
DAY = 86_400
POSTED = 1_460_000_000


def date(days):
    """A WARC-Date so many days after the post."""
    return str(np.datetime64(POSTED + days * DAY, "s")) + "Z"


def sha1(payload):
    return "sha1:" + b32encode(hashlib.sha1(payload, usedforsecurity=False).digest()).decode()


def response(url, number, days=0, **fields):
    payload = page(number)
    return warc(http(payload), url=url, when=date(days), WARC_Payload_Digest=sha1(payload), **fields)


def redirect(url, location, days=0, status="301 Moved Permanently"):
    return warc(http(b"", status=status, Location=location), url=url, when=date(days))


def revisit(url, number=None, days=0, of=None, of_days=None, block=None, **fields):
    """A revisit record: of what page `number` has, or of a URL (and date), or both."""
    names = {
        "WARC_Payload_Digest": None if number is None else sha1(page(number)),
        "WARC_Refers_To_Target_URI": of,
        "WARC_Refers_To_Date": None if of_days is None else date(of_days),
    }
    return warc(http(b"") if block is None else block, kind="revisit", url=url, when=date(days), **names, **fields)


def pages_of(folder, archives, links=(ASKED,), parts=3):
    """(page number or Reason of each link, the build), as far as stage `pages`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = (f'{{"id":"{n}","url":"{url}","score":9,"created_utc":{POSTED}}}\n' for n, url in enumerate(links))
    (folder / "posts.ndjson").write_text("".join(rows))
    for number, records in enumerate(archives):
        (folder / f"{number}.warc").write_bytes(b"".join(records))
    inputs = Inputs.find([str(folder / "posts.ndjson")], [str(folder / "*.warc")])
    settings = CorpusSettings(links=LinkSettings(score_rule="per-post"), parts=parts)
    work = folder / "work"
    with pytest.raises(InterruptedError):
        build_corpus(settings, inputs, str(work), run_until(flow.DOCUMENTS, run_here))
    build, found = Build(str(work)), {}
    for path in build.files(flow.PAGES, flow.PAGES_TABLE):
        for row in tabular.read_columns(path).to_pylist():
            found[row["url"]] = _number(row)
    for path in build.files(flow.PAGES, "rejected.parquet"):
        for row in tabular.read_columns(path).to_pylist():
            found[row["url"]] = row["reason"], row["detail"]
    return [found[canonicalize(url)] for url in links], build


def _number(row):
    with open(row["archive"], "rb") as stream:
        stream.seek(row["offset"])
        record = stream.read(4000)
    return int(record.split(b"<body><p>")[1].split(b" ")[0])


def page_of(folder, *archives):
    [found], _ = pages_of(folder, archives)
    return found


# What becomes of a link.


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_becomes_the_page_where_it_leads(tmp_path, status):
    records = [response("https://b.example/x/new", 3), redirect(ASKED, "//b.example/x/y/../new#part", status=status)]
    assert page_of(tmp_path, records) == 3


def test_the_page_may_stand_in_another_archive_and_before(tmp_path):
    assert page_of(tmp_path, [response("http://b.example/new", 4, -7)], [redirect(ASKED, "http://b.example/new")]) == 4


@pytest.mark.parametrize("hops", [2, 5, 6])
def test_redirects_are_followed_as_far_as_on_the_live_web(tmp_path, hops):
    names = [ASKED, *(f"http://b.example/{n}" for n in range(hops))]
    records = [redirect(url, target) for url, target in pairwise(names)]
    found = page_of(tmp_path, [*records, response(names[-1], 8)])
    assert found == (8 if hops <= detours.MOST else ("http_status", "status 301, a redirect to what no archive has"))


def test_loops_end(tmp_path):
    round_trip = [redirect(ASKED, "/1"), redirect("http://a.example/1", "/2"), redirect("http://a.example/2", "/asked")]
    lost = ("http_status", "status 301, a redirect to what no archive has")
    assert page_of(tmp_path / "three", round_trip) == lost
    assert page_of(tmp_path / "one", [redirect(ASKED, "https://www.a.example/asked/")]) == lost
    beside = [redirect(ASKED, "/1"), redirect("http://a.example/1", "/2"), redirect("http://a.example/2", "/1")]
    assert page_of(tmp_path / "beside", beside) == lost


def test_the_redirect_nearest_to_the_post_counts_and_of_its_target_the_capture_nearest_to_it(tmp_path):
    records = [
        redirect(ASKED, "/late", 400),
        redirect(ASKED, "/early", -30),
        response("http://a.example/late", 1, 0),
        response("http://a.example/early", 2, 1),
        response("http://a.example/early", 3, -32),
        response("http://a.example/early", 4, -90),
    ]
    assert page_of(tmp_path, records) == 3


def test_a_page_of_its_own_comes_before_one_elsewhere(tmp_path):
    records = [redirect(ASKED, "/new"), response("http://a.example/new", 1), response(ASKED, 2, 900)]
    assert page_of(tmp_path, records) == 2


def test_what_leads_to_a_front_page_is_gone(tmp_path):
    records = [redirect(ASKED, "http://b.example/"), response("http://b.example/", 1)]
    assert page_of(tmp_path, records) == ("soft_404", "status 301, a redirect to a front page")


def test_a_page_that_is_none_is_not_what_a_redirect_leads_to(tmp_path):
    gone = warc(http(page(1), status="404 Not Found"), url="http://a.example/new")
    lost = ("http_status", "status 302, a redirect to what no archive has")
    assert page_of(tmp_path / "gone", [redirect(ASKED, "/new", status="302 Found"), gone]) == lost
    for number, location in enumerate(["", "mailto:me@a.example", "http://", "https://[1"]):
        records = [redirect(ASKED, location, status="302 Found"), response("http://b.example/", 1)]
        assert page_of(tmp_path / str(number), records) == lost


@pytest.mark.parametrize(
    ("record", "number"),
    [
        (revisit(ASKED, 5, 10, "http://b.example/first", 0), 5),
        (revisit(ASKED, 5, 10), 5),
        (revisit(ASKED, 5, 10, block=b""), 5),
        (revisit(ASKED, None, 10, "http://b.example/first", 0), 5),
        (revisit(ASKED, None, 10, "<http://b.example/first>", 0, http(b"", status="304 Not Modified")), 5),
        (revisit(ASKED, 7, 10, "http://b.example/first", 0), 5),  # the digests are of different kinds
        (revisit(ASKED, None, 10, "http://b.example/first"), 6),  # nothing tells which capture
    ],
)
def test_a_revisit_becomes_the_page_that_it_repeats(tmp_path, record, number):
    other = response("http://b.example/first", 6, 9)
    first = response("http://b.example/first", 5)
    assert page_of(tmp_path / "one", [other, first, record]) == number


def test_a_revisit_of_what_is_not_there(tmp_path):
    lost = ("revisit", "a revisit of what no archive has")
    record = revisit(ASKED, 5, 10, "http://b.example/first", 0)
    assert page_of(tmp_path / "none", [record]) == lost
    # Another capture of that URL has another payload.
    assert page_of(tmp_path / "other", [record, response("http://b.example/first", 6, 2)]) == lost
    assert page_of(tmp_path / "bare", [revisit(ASKED)]) == lost
    gone = revisit(ASKED, 5, block=http(b"", status="404 Not Found"))
    assert page_of(tmp_path / "gone", [gone, response("http://b.example/first", 5)]) == ("http_status", "status 404")


def test_a_revisit_of_a_redirect_is_one(tmp_path):
    moved = http(b"", status="301 Moved", Location="/new")
    records = [revisit(ASKED, 0, block=moved, of="http://z.example/", of_days=3), response("http://a.example/new", 2)]
    assert page_of(tmp_path, records) == 2


def test_why_tells_where_captures_lead(tmp_path):
    links = [ASKED, "http://a.example/copy", "http://a.example/lost"]
    records = [
        redirect(ASKED, "/new", 1),
        revisit(links[1], 4, of="http://a.example/new", of_days=2),
        redirect(links[2], "/nowhere"),
        response("http://a.example/new", 4, 2),
    ]
    found, build = pages_of(tmp_path, [records], links)
    assert found[:2] == [4, 4]
    stories = [tell(build, url) for url in links]
    told = [[(capture.verdict, capture.chosen, capture.detail) for capture in story.captures] for story in stories]
    elsewhere = ("", True, "the page that a redirect or revisit leads to")
    assert told == [
        [elsewhere, ("http_status", False, "redirect to http://a.example/new")],
        [elsewhere, ("revisit", False, "revisit of http://a.example/new")],
        [("http_status", False, "redirect to http://a.example/nowhere")],
    ]
    assert stories[2].verdict == "http_status"


def test_the_same_pages_however_the_records_lie(tmp_path):
    links = [f"http://a.example/{n}" for n in range(12)]
    records = [redirect(url, f"/{n + 1}", n) for n, url in enumerate(links[:5])]
    records += [redirect(url, f"/{n + 2}", -n) for n, url in enumerate(links[:5])]
    records += [response(links[n], n, day) for n in (5, 6, 7) for day in (-3, 3)]
    records += [revisit(url, 6, 40) for url in links[8:]]
    whole, _ = pages_of(tmp_path / "whole", [records], links, parts=1)
    # Of equally near redirects the earlier counts, so that 1 leads to 3 and 3 to 5; the first has two of one date.
    assert whole == [5, 5, 6, 5, 6, 5, 6, 7, 6, 6, 6, 6]
    cut, _ = pages_of(tmp_path / "cut", [records[1::3], records[::3], records[2::3]], links, parts=7)
    assert cut == whole


# Where a capture leads.


def capture(target, verdict=Reason.HTTP_STATUS, **fields):
    return Capture(ASKED, POSTED, 301, "", verdict, bytes(16), 0, target, **fields)


def leads(*found):
    return [(entry.name, entry.exact_utc) for entry in detours.detours_of(*found)]


def test_where_captures_lead():
    there = link_key("http://b.example/x")
    assert leads(capture(b"http://b.example/x"), ASKED) == [(there, 0)]
    assert leads(capture(b"http://www.a.example/asked#top"), ASKED) == []
    assert leads(capture(b""), ASKED) == []
    by_digest = (detours.payload_name("sha1:x"), 0)
    seen = partial(capture, verdict=Reason.REVISIT)
    assert leads(seen(b"http://b.example/x", target_utc=7, payload="sha1:x"), ASKED) == [by_digest, (there, 7)]
    assert leads(seen(b"http://b.example/x", payload="sha1:x"), ASKED) == [by_digest]
    assert leads(seen(b"http://b.example/x", target_utc=7), ASKED) == [(there, 7)]
    assert leads(seen(b"http://a.example/asked", target_utc=7, payload="sha1:x"), ASKED) == []
    assert leads(seen(b"", payload="sha1:x"), ASKED) == [by_digest]


# Which page is found, against a search through all of them.


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(0, 3)), max_size=12),
    st.integers(0, 2),
    st.integers(0, 9),
    st.sampled_from([0, 0, 4]),
)
def test_the_page_that_is_found_is_the_nearest(pages, name, wanted, exact):
    records = np.zeros(len(pages) + 1, detours.RECORD)
    for at, (lo, captured, digest) in enumerate(pages):
        for field, value in (("lo", lo), ("captured", captured), ("digest", digest), ("offset", at)):
            records[field][at] = value
    for field, value in (("kind", detours.ASK), ("lo", name), ("captured", wanted), ("exact", exact), ("other_lo", 77)):
        records[field][-1] = value
    mine = [row for row in pages if row[0] == name and (not exact or row[1] == exact)]
    best = min(((abs(captured - (exact or wanted)), captured, digest) for _, captured, digest in mine), default=None)
    found = list(detours.follow(np.sort(records, order=records.dtype.names)))
    assert [(pages[answer.offset][1], answer.digest) for answer in found] == ([best[1:]] if best else [])
    assert all(answer.key == bytes(15) + b"\x4d" for answer in found)
