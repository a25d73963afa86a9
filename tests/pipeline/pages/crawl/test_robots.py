import asyncio
import gzip
import zlib
from dataclasses import replace

import brotli
import pytest
import zstandard
from loopback import MISSING, answer, moved, serve

from webtext.pipeline.opt_outs.robots_rules import MAX_BYTES
from webtext.pipeline.pages.crawl.client import Client
from webtext.pipeline.pages.crawl.robots import RobotsCache, RobotsReply
from webtext.pipeline.pages.crawl.settings import FetchSettings
from webtext.schemas.records import Reason

SETTINGS = FetchSettings(
    "me@example.org",
    ports=(),
    allow_private=True,
    delay=0,
    retries=0,
    backoff=0,
    read_seconds=1,
    connect_seconds=1,
    opt_outs="none",
)

OBEYING = replace(SETTINGS, opt_outs="all")


class Site:
    """robots.txt files by URL, with a count of requests and a clock that a test turns."""

    def __init__(self, **files):
        self.files = files
        self.asked = []
        self.now = 0.0
        self.cache = RobotsCache(self.fetch, lambda: self.now)

    async def fetch(self, url):
        self.asked.append(url)
        await asyncio.sleep(0)
        return self.files["reply"]

    def verdict(self, url):
        return asyncio.run(self.cache.verdict(url))


def rules(text):
    return Site(reply=RobotsReply(200, text.encode()))


# RFC 9309 section 5.1 and 2.2.2, and what Google's parser tests.
@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        ("", "/", True),
        ("User-agent: *\nDisallow: /", "/", False),
        ("User-agent: *\nDisallow: /", "/robots.txt", True),
        ("User-agent: *\nDisallow:", "/", True),
        ("User-agent: webtext\nDisallow: /a", "/a/b", False),
        ("User-agent: WebText\nDisallow: /a", "/b", True),
        ("User-agent: *\nDisallow: /\n\nUser-agent: webtext\nAllow: /", "/x", True),
        ("User-agent: *\nAllow: /\n\nUser-agent: webtext\nDisallow: /", "/x", False),
        ("User-agent: other\nUser-agent: webtext\nDisallow: /", "/x", False),
        ("User-agent: other\nDisallow: /", "/x", True),
        ("User-agent: webtext/1.0\nDisallow: /a", "/a", False),
        ("User-agent: web\nDisallow:\n\nUser-agent: *\nDisallow: /", "/x", False),
        ("User-agent: example\nDisallow: /", "/x", True),  # the contact's host is no name of ours
        ("User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b/c", True),
        ("User-agent: *\nAllow: /a\nDisallow: /a/b", "/a/b/c", False),
        ("User-agent: *\nDisallow: /*.gif$", "/x.gif", False),
        ("User-agent: *\nDisallow: /*.gif$", "/x.gif?y", True),
        ("User-agent: *\nDisallow: /*/private", "/a/b/private/c", False),
        ("User-agent: *\nDisallow: /%7Ejoe/", "/~joe/x", False),
        ("User-agent: *\nDisallow: /a?b=1", "/a?b=12", False),
        ("\ufeffUser-agent: *\nDisallow: /", "/", False),
        ("# all\r\nUser-agent: * # x\r\nDisallow: / # y\r\n", "/", False),
        ("<html><body>Not found</body></html>", "/", True),
        ("\0\0\xff\xfe garbage", "/", True),
    ],
)
def test_rules(text, path, allowed):
    verdict = rules(text).verdict(f"http://a.example{path}")
    assert verdict.allowed is allowed
    assert verdict.reason == (None if allowed else Reason.ROBOTS_DISALLOWED)


def test_crawl_delay():
    assert rules("User-agent: *\nCrawl-delay: 2.5").verdict("http://a.example/").crawl_delay == 2.5
    assert rules("User-agent: *\nDisallow: /x").verdict("http://a.example/").crawl_delay is None
    assert rules("User-agent: *\nCrawl-delay: soon").verdict("http://a.example/").crawl_delay is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451, 304])
def test_no_robots_txt_allows_all(status):
    assert Site(reply=RobotsReply(status)).verdict("http://a.example/").allowed


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (RobotsReply(500), Reason.ROBOTS_DISALLOWED),
        (RobotsReply(503), Reason.ROBOTS_DISALLOWED),
        (RobotsReply(429), Reason.RATE_LIMITED),
        (RobotsReply(200, b"User-agent: *", b"compress"), Reason.ROBOTS_DISALLOWED),
        (RobotsReply(reason=Reason.DNS_FAILED, detail="no such name"), Reason.DNS_FAILED),
        (RobotsReply(reason=Reason.FETCH_TIMEOUT, detail="silent", outage=True), Reason.FETCH_TIMEOUT),
    ],
)
def test_an_unreadable_robots_txt_forbids_all_for_ten_minutes(reply, reason):
    site = Site(reply=reply)
    verdict = site.verdict("http://a.example/")
    assert (verdict.allowed, verdict.reason) == (False, reason)
    assert verdict.outage == (reply.outage or reply.status > 200)
    assert verdict.why.startswith(("robots.txt can't be read: ", "robots.txt can't be decoded: "))
    site.files["reply"] = RobotsReply(404)
    site.now = 599
    assert not site.verdict("http://a.example/").allowed
    site.now = 601
    assert site.verdict("http://a.example/").allowed
    assert len(site.asked) == 2


def test_one_request_for_each_scheme_host_and_port_and_day():
    site = rules("User-agent: *\nDisallow: /x")

    async def many():
        urls = [f"http://a.example/{n}" for n in range(20)] + ["https://a.example/", "http://a.example:8080/"]
        await asyncio.gather(*(site.cache.verdict(url) for url in urls))

    asyncio.run(many())
    assert sorted(site.asked) == [
        "http://a.example/robots.txt",
        "http://a.example:8080/robots.txt",
        "https://a.example/robots.txt",
    ]
    site.now = 24 * 3600 + 1
    site.verdict("http://a.example/")
    assert len(site.asked) == 4
    assert site.cache._rules._under_way == {}


def test_a_costly_match_is_left_to_a_thread():
    costly = "User-agent: *\n" + "".join(f"Disallow:/*{'a' * 50}b{n}$\n" for n in range(7000))
    site = rules(costly)

    async def turns_meanwhile():
        await site.cache.verdict("http://a.example/")  # reads it
        verdict = asyncio.ensure_future(site.cache.verdict("http://a.example/" + "a" * 4000))
        turns = 0
        while not verdict.done():
            turns += 1
            await asyncio.sleep(0)
        return turns, (await verdict).allowed

    turns, allowed = asyncio.run(turns_meanwhile())
    assert turns > 1
    assert allowed


def test_the_cache_is_bounded():
    site = rules("User-agent: *\nDisallow: /x\n" + "#" * 400_000)

    async def many():
        for n in range(200):
            await site.cache.verdict(f"http://{n}.example/")

    asyncio.run(many())
    assert site.cache._rules._size <= 32 * 2**20
    assert len(site.cache._rules._files) == 83


def fetch(path="/", robots=MISSING, pages=None, settings=SETTINGS):
    async def run():
        async with serve({"/": answer(), **(pages or {})}, robots=robots) as server, Client(settings) as client:
            return await client.fetch(server.url(path)), server

    return asyncio.run(run())


def test_the_client_asks_and_obeys():
    outcome, server = fetch(robots=answer(b"User-agent: *\nDisallow: /", kind="text/plain"))
    assert (outcome.reason, outcome.robots) == (Reason.ROBOTS_DISALLOWED, "disallowed by robots.txt")
    assert server.paths() == ["/robots.txt"]
    outcome, server = fetch(robots=answer(b"User-agent: *\nAllow: /", kind="text/plain"))
    assert (outcome.reason, outcome.robots) == (None, "allowed by robots.txt")
    outcome, server = fetch(settings=SETTINGS.__class__(**(vars(SETTINGS) | {"obey_robots": False})))
    assert (outcome.reason, server.paths()) == (None, ["/"])


def test_each_redirect_is_asked_for():
    robots = answer(b"User-agent: *\nDisallow: /private", kind="text/plain")
    outcome, server = fetch(robots=robots, pages={"/": moved("/private/x")})
    assert outcome.reason is Reason.ROBOTS_DISALLOWED
    assert outcome.final_url.endswith("/private/x")
    assert server.paths() == ["/robots.txt", "/"]


def test_robots_txt_may_move_five_times():
    closed = answer(b"User-agent: *\nDisallow: /", kind="text/plain")
    chain = {f"/r{n}": moved(f"/r{n + 1}") for n in range(1, 9)}
    outcome, _ = fetch(robots=moved("/r1"), pages={**chain, "/r5": closed})
    assert outcome.reason is Reason.ROBOTS_DISALLOWED
    outcome, server = fetch(robots=moved("/r1"), pages={**chain, "/r6": closed})
    assert (outcome.reason, outcome.robots) == (None, "no robots.txt: more than 5 redirects")
    assert "/r6" not in server.paths()


def test_a_large_robots_txt_is_read_up_to_its_limit():
    filler = b"#" * 99 + b"\n"
    inside = b"User-agent: *\nDisallow: /\n" + filler * (MAX_BYTES // 50)
    outcome, _ = fetch(robots=answer(inside, kind="text/plain"))
    assert outcome.reason is Reason.ROBOTS_DISALLOWED
    beyond = filler * (MAX_BYTES // 100 + 1) + b"User-agent: *\nDisallow: /\n"
    outcome, _ = fetch(robots=answer(beyond, kind="text/plain"))
    assert outcome.reason is None


def test_a_line_that_the_limit_cuts_is_not_read():
    for end in ("\n", "\r"):
        text = f"User-agent: *{end}Disallow: /{end}#"
        cut = end + "Allow: /"
        text += "x" * (MAX_BYTES - len(text) - len(cut)) + cut + "public"
        assert not rules(text).verdict("http://a.example/private").allowed


CLOSED = b"User-agent: *\nDisallow: /private\n"
CODERS = {"gzip": gzip.compress, "br": brotli.compress, "deflate": zlib.compress, "zstd": zstandard.compress}


@pytest.mark.parametrize("coding", CODERS)
def test_a_compressed_robots_txt_is_obeyed(coding):
    robots = answer(CODERS[coding](CLOSED), "200 OK", f"Content-Encoding: {coding}", kind="text/plain")
    pages = {"/private": answer()}
    outcome, server = fetch("/private", robots, pages)
    assert (outcome.reason, outcome.detail) == (Reason.ROBOTS_DISALLOWED, "disallowed by robots.txt")
    assert server.paths() == ["/robots.txt"]
    assert fetch("/", robots, pages)[0].reason is None


def test_codings_that_are_announced_otherwise():
    fields = ("Content-Encoding: gzip", "Content-Encoding: br")
    for robots in (
        answer(gzip.compress(CLOSED), kind="application/gzip"),
        answer(gzip.compress(CLOSED), "203 Other", "Content-Encoding: identity"),
        answer(brotli.compress(gzip.compress(CLOSED)), "200 OK", *fields),
    ):
        outcome, _ = fetch("/private", robots)
        assert (outcome.reason, outcome.detail) == (Reason.ROBOTS_DISALLOWED, "disallowed by robots.txt")


@pytest.mark.parametrize(
    ("body", "coding", "why"),
    [
        *((CODERS[coding](CLOSED)[:-1], coding, f"damaged {coding}: ") for coding in CODERS),
        *((CLOSED, coding, f"damaged {coding}: ") for coding in CODERS),
        (CLOSED, "sdch", "content coding 'sdch' is unknown, known are "),
    ],
    ids=[*(f"cut-{coding}" for coding in CODERS), *(f"plain-as-{coding}" for coding in CODERS), "unknown"],
)
def test_a_robots_txt_that_cannot_be_decoded_forbids_all(body, coding, why):
    outcome, server = fetch("/", answer(body, "200 OK", f"Content-Encoding: {coding}", kind="text/plain"))
    assert outcome.reason is Reason.ROBOTS_DISALLOWED
    assert outcome.detail.startswith(f"robots.txt can't be decoded: {why}")
    assert server.paths() == ["/robots.txt"]


@pytest.mark.parametrize("coding", CODERS)
@pytest.mark.timeout(60)
def test_a_bomb_is_read_up_to_the_limit(coding):
    filler = b"#" * 99 + b"\n"
    inside = CLOSED + filler * 200_000  # 20 MB
    beyond = filler * (MAX_BYTES // 100 + 1) + CLOSED
    outcome, _ = fetch("/private", answer(CODERS[coding](inside), "200 OK", f"Content-Encoding: {coding}"))
    assert outcome.detail == "disallowed by robots.txt"
    robots = answer(CODERS[coding](beyond), "200 OK", f"Content-Encoding: {coding}")
    outcome, _ = fetch("/private", robots, {"/private": answer()})
    assert outcome.reason is None


@pytest.mark.parametrize(
    ("robots", "reason"),
    [
        (answer(b"", "500 Oops"), Reason.ROBOTS_DISALLOWED),
        (answer(b"", "503 Busy"), Reason.ROBOTS_DISALLOWED),
        (answer(b"", "429 Slow"), Reason.RATE_LIMITED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nUser-agent: *", Reason.BAD_HTTP),
        (b"HTTP/1.1 200 OK\r\n", Reason.BAD_HTTP),
    ],
)
def test_an_unreadable_robots_txt_keeps_the_client_out(robots, reason):
    outcome, server = fetch(robots=robots)
    assert outcome.reason is reason
    assert set(server.paths()) == {"/robots.txt"}


def test_a_crawl_delay_beyond_patience_is_not_ignored():
    outcome, server = fetch(robots=answer(b"User-agent: *\nCrawl-delay: 3600", kind="text/plain"))
    assert (outcome.reason, outcome.detail) == (
        Reason.ROBOTS_DISALLOWED,
        "Crawl-delay 3600 s, at most 60 s are waited",
    )
    assert server.paths() == ["/robots.txt"]


def test_the_client_obeys_opt_outs():
    by_field = answer(b"x" * 100, "200 OK", "TDM-Reservation: 1")
    by_meta = answer(b'<!doctype html><head><meta name="robots" content="noai"></head><body>x')
    outcome, _ = fetch(pages={"/": by_field}, settings=OBEYING)
    assert (outcome.reason, outcome.detail, outcome.payload) == (Reason.MINING_REFUSED, "TDM-Reservation: 1", b"")
    outcome, _ = fetch(pages={"/": by_meta}, settings=OBEYING)
    assert (outcome.reason, outcome.detail, outcome.signal) == (Reason.MINING_REFUSED, "meta robots: noai", "noai")
    anyway = replace(SETTINGS, opt_outs="tdmrep")
    assert fetch(pages={"/": by_meta}, settings=anyway)[0].reason is None


def test_a_path_that_robots_txt_reserves_is_not_asked_for():
    robots = answer(b"User-agent: *\nAllow: /\nContent-Usage: / train-ai=n\n", kind="text/plain")
    outcome, server = fetch(robots=robots, settings=OBEYING)
    assert (outcome.reason, outcome.signal) == (Reason.MINING_REFUSED, "content-usage")
    assert outcome.detail == "robots.txt line 3: Content-Usage: / train-ai=n"
    assert server.paths() == ["/robots.txt"]
    assert fetch(robots=robots, settings=replace(SETTINGS, opt_outs="content-signal"))[0].reason is None
