"""Files of a site beside robots.txt, against a real server on loopback."""

import asyncio
import gzip
from dataclasses import replace

import pytest
from loopback import MISSING, answer, moved, serve

from webtext.pipeline.opt_outs.tdmrep import WELL_KNOWN
from webtext.pipeline.pages.crawl.client import Client
from webtext.pipeline.pages.crawl.reservations import Reservations
from webtext.pipeline.pages.crawl.robots import RobotsReply
from webtext.pipeline.pages.crawl.settings import FetchSettings
from webtext.schemas.records import Reason

SETTINGS = FetchSettings(
    "me@example.org", ports=(), allow_private=True, delay=0, retries=0, backoff=0, read_seconds=1, connect_seconds=1
)
RESERVED = b'[{"location": "/news/*", "tdm-reservation": 1}]'
LICENSED = answer(b"User-agent: *\nAllow: /\n\nLicense: /license.xml\n", kind="text/plain")
SEARCH = b'<rsl><content url="/news/"><license><permits type="usage">search</permits></license></content></rsl>'


async def _slow(path, writer):
    await asyncio.sleep(5)


def fetch(paths, files, settings=SETTINGS, robots=MISSING):
    """The outcomes of some paths of one site in turn, and the paths that it was asked for."""

    async def run():
        async with serve(dict.fromkeys(paths, answer()) | files, robots=robots) as server, Client(settings) as client:
            return [await client.fetch(server.url(path)) for path in paths], server.paths()

    return asyncio.run(run())


def test_a_location_of_tdmrep_json_is_not_asked_for():
    (refused, got), asked = fetch(["/news/1", "/sport/1"], {WELL_KNOWN: answer(RESERVED, kind="application/json")})
    line = "/.well-known/tdmrep.json rule 1: location /news/*, tdm-reservation 1"
    assert (refused.reason, refused.signal, refused.detail) == (Reason.MINING_REFUSED, "tdmrep", line)
    assert (got.reason, got.status) == (None, 200)
    assert asked == ["/robots.txt", WELL_KNOWN, "/sport/1"]  # each file once


def test_a_licence_that_permits_search_only():
    (refused, got), asked = fetch(["/news/1", "/sport/1"], {"/license.xml": answer(SEARCH)}, robots=LICENSED)
    line = "robots.txt line 4: License: /license.xml, which permits search only for /news/"
    assert (refused.reason, refused.signal, refused.detail) == (Reason.MINING_REFUSED, "rsl", line)
    assert got.reason is None
    assert asked == ["/robots.txt", WELL_KNOWN, "/license.xml", "/sport/1"]


@pytest.mark.parametrize(
    ("well_known", "license"),
    [
        (MISSING, MISSING),
        (answer(b"no", "500 Internal Server Error"), answer(b"no", "503 Service Unavailable")),
        (moved("/loop"), moved(WELL_KNOWN)),
        (answer(b"<!doctype html><p>Not found"), answer(b"<!doctype html><p>Not found")),
        (answer(RESERVED, "200 OK", "Content-Encoding: br"), answer(SEARCH, "200 OK", "Content-Encoding: br")),
        (answer(b" " * 600_000 + RESERVED), answer(b"<!--" + b" " * 600_000 + b"-->" + SEARCH)),
        (_slow, _slow),
    ],
    ids=["missing", "error", "loop", "html", "coding", "large", "slow"],
)
def test_a_file_that_cannot_be_read_says_nothing(well_known, license):
    files = {WELL_KNOWN: well_known, "/license.xml": license, "/loop": moved("/loop")}
    [got], _ = fetch(["/news/1"], files, robots=LICENSED)
    assert got.reason is None


def test_files_are_decoded_and_redirects_followed():
    packed = answer(gzip.compress(RESERVED), "200 OK", "Content-Encoding: gzip")
    [refused], _ = fetch(["/news/1"], {WELL_KNOWN: moved("/t"), "/t": packed})
    assert refused.signal == "tdmrep"


def test_files_are_kept_for_a_day_and_failures_until_the_host_is_tried_again():
    asked, replies, now = [], [RobotsReply(503), RobotsReply(200, RESERVED), RobotsReply(404)], [0.0]

    async def answer_next(url):
        asked.append(url)
        return replies[len(asked) - 1]

    async def run():
        found = Reservations(answer_next, frozenset({"tdmrep"}), lambda: now[0], keep_failure=30.0)
        for now[0], count, refused in ((0, 1, 0), (29, 1, 0), (31, 2, 1), (86_400, 2, 1), (86_500, 3, 0)):
            assert len(await found.of("http://a.example/news/1")) == refused
            assert len(asked) == count

    asyncio.run(run())


def test_what_is_not_obeyed_is_not_asked_for():
    settings = replace(SETTINGS, opt_outs="noai,content-usage")
    [got], asked = fetch(["/news/1"], {WELL_KNOWN: answer(RESERVED)}, settings, LICENSED)
    assert (got.reason, asked) == (None, ["/robots.txt", "/news/1"])


def test_a_licence_elsewhere_and_lines_that_name_none():
    robots = b"License: https://[\nLicense: mailto:me@a.example\nLicense:\n" + b"License: /a\n" * 9 + b"User-agent: *\n"
    [got], asked = fetch(["/news/1"], {"/a": answer(SEARCH)}, robots=answer(robots, kind="text/plain"))
    assert got.signal == "rsl"
    assert asked == ["/robots.txt", WELL_KNOWN, "/a"]
