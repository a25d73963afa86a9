"""Every way to opt out is obeyed on the live web, in given archives and in Common Crawl, with the line that did it."""

import io
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import opt_out_sites
import pyarrow.parquet as pq
import pytest
import toy_webs
from opt_out_sites import LOOK_ALIKES, PATH, SITES, VECTORS
from small_crawl import FAST, Crawl
from small_crawl import serve as serve_crawl
from warc_records import http, warc
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter
from without_engine import run_here, run_until

from webtext.pipeline.corpus import build_corpus
from webtext.pipeline.engine.beam_stage import run_stage
from webtext.pipeline.identity.urls import canonicalize
from webtext.pipeline.inputs import Inputs
from webtext.pipeline.pages.commoncrawl.settings import CommonCrawlSettings
from webtext.pipeline.pages.crawl.settings import FetchSettings
from webtext.pipeline.settings import CorpusSettings, ExtractSettings
from webtext.schemas.manifest import StageManifest

SETTINGS = CorpusSettings(extract=ExtractSettings(min_tokens=20, wikipedia=False), parts=3)
DAY = 86_400
POSTED = 1_500_000_000
LIVE = FetchSettings("me@example.org", ports=(), allow_private=True, delay=0.01, retries=0, revisits=0, answering=0)


def build(work, urls, archives=(), fetch=None, crawl=None, settings=SETTINGS, run=run_here):
    """The folder of a build of these URLs, up to its documents."""
    posts = [
        {"url": url, "created_utc": POSTED, "score": 5, "id": f"{number:x}", "subreddit": "a", "title": "t"}
        for number, url in enumerate(urls)
    ]
    toy_webs.write_posts(work / "posts.ndjson.zst", [json.dumps(post).encode() for post in posts])
    inputs = Inputs.find([str(work / "posts.ndjson.zst")], [str(path) for path in archives], fetch, crawl)
    with pytest.raises(InterruptedError):
        build_corpus(settings, inputs, str(work / "work"), run_until("candidates", run))
    return work / "work"


def rows_of(work, pattern):
    return [row for path in sorted(work.glob(pattern)) for row in pq.read_table(path).to_pylist()]


def outcomes(work):
    """URL -> (reason, detail) of what is lost, or ("", opt_out) of documents."""
    lost = rows_of(work, "pages/*.rejected.parquet") + rows_of(work, "documents/*.rejected.parquet")
    lost += rows_of(work, "fetch/*.rejected.parquet")  # tells why
    found = {row["url"]: (row["reason"], row["detail"]) for row in lost}
    return found | {row["url"]: ("", row["opt_out"]) for row in rows_of(work, "documents/*.documents.parquet")}


def signals(work, stage):
    counts = StageManifest.from_json((work / stage / "manifest.json").read_bytes()).tally.counts
    return {name.removeprefix("opt-out "): count for name, count in counts.items() if name.startswith("opt-out ")}


def expected(host):
    return {
        canonicalize(f"http://{host(number)}{PATH}"): ("mining_refused", site.line) if site.line else ("", "")
        for number, site in enumerate(SITES)
    }


def name(number):
    return f"site{number}.example.org"


SIGNALS = Counter(site.signal for site in VECTORS)


def test_there_are_enough_of_both():
    assert len(VECTORS) == len(LOOK_ALIKES) == 24
    assert all(site.line and site.signal for site in VECTORS)
    assert not any(site.line for site in LOOK_ALIKES)


def test_the_live_web(tmp_path):
    with opt_out_sites.serve() as port:

        def host(number):
            return f"{opt_out_sites.address(number)}:{port}"

        work = build(tmp_path, list(expected(host)), fetch=LIVE)
        assert outcomes(work) == expected(host)
    assert signals(work, "fetch") == SIGNALS


def records(number, site, when=POSTED):
    """The records of one site as bytes: its page, and robots.txt if it has one."""
    stamp = date_of(when)
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
    page += b"".join(f"{field}: {value}\r\n".encode() for field, value in site.fields) + b"\r\n" + site.page(number)
    yield warc(page, url=f"http://{name(number)}{PATH}", when=stamp)
    if site.robots:
        yield robots_record(number, site.robots, when)


def robots_record(number, text, when, status="200 OK"):
    block = http(text.encode(), status, "text/plain")
    return warc(block, url=f"https://www.{name(number)}/robots.txt", when=date_of(when))


def date_of(when):
    return f"{datetime.fromtimestamp(when, UTC):%Y-%m-%dT%H:%M:%SZ}"


def write_archives(folder, made):
    """Two archives: robots.txt and page of a site need not be in one."""
    made = list(made)
    for number in range(2):
        (folder / f"{number}.warc").write_bytes(b"".join(made[number::2]))
    return [folder / "0.warc", folder / "1.warc"]


def test_given_archives(tmp_path):
    made = [record for number, site in enumerate(SITES) for record in records(number, site)]
    work = build(tmp_path, list(expected(name)), write_archives(tmp_path, made))
    assert outcomes(work) == expected(name)
    assert signals(work, "documents") == SIGNALS


def test_an_engine_and_other_archives_give_the_same(tmp_path):
    made = [record for number, site in enumerate(SITES) for record in records(number, site)]
    works = []
    for place, run, order in (("one", run_here, made), ("two", partial(run_stage, flags=(), workers=2), made[::-1])):
        (tmp_path / place).mkdir()
        archives = write_archives(tmp_path / place, order)
        works.append(build(tmp_path / place, list(expected(name)), archives, run=run))
    one, two = ({path.name: path.read_bytes() for path in work.glob("documents/*.parquet")} for work in works)
    assert len(one) == 6
    assert one == two


def add(crawl, url, fields, body, when=POSTED, status="200 OK"):
    head = StatusAndHeaders(status, list(fields), protocol="HTTP/1.1")
    made = WARCWriter(io.BytesIO()).create_warc_record(url, "response", io.BytesIO(body), http_headers=head)
    crawl.add("CC-MAIN-2017-51", 0, made, when)


def test_common_crawl(tmp_path):
    crawl = Crawl(tmp_path / "crawl")
    for number, site in enumerate(SITES):
        add(crawl, f"http://{name(number)}{PATH}", [("Content-Type", "text/html"), *site.fields], site.page(number))
        if site.robots:
            text = [("Content-Type", "text/plain")]
            add(crawl, f"https://{name(number)}/robots.txt", text, site.robots.encode(), POSTED + DAY)
            far = f"{opt_out_sites.ANY}Content-Usage: {'train-ai=y' if site.line else 'train-ai=n'}\n"
            add(crawl, f"http://{name(number)}/robots.txt", text, far.encode(), POSTED - 9 * DAY)
    add(crawl, "http://other.example.org/robots.txt", [("Content-Type", "text/plain")], b"")
    crawl.write()
    subsets = {"warc": PATH, "robotstxt": "/robots.txt"}
    for subset, path in subsets.items():
        rows = [row for row in crawl.rows if row["url"].endswith(path)]
        crawl.write_index(crawl.folder / "index" / f"subset={subset}", 2, rows)
    listed = [f"index/subset={subset}/part-{n:05d}.gz.parquet" for subset in subsets for n in range(2)]
    (crawl.folder / "cc-index-table.paths").write_text("\n".join([*listed, "index/subset=crawldiagnostics/part-0"]))
    with serve_crawl(crawl.folder) as server:
        settings = CommonCrawlSettings(index=(f"{server.prefix}cc-index-table.paths",), prefix=server.prefix, **FAST)
        work = build(tmp_path, list(expected(name)), crawl=settings)
    assert outcomes(work) == expected(name)
    assert signals(work, "documents") == SIGNALS
    index = StageManifest.from_json((work / "index" / "manifest.json").read_bytes()).tally
    assert (index.taken, index.counts["robots_txt"]) == (len(SITES), 2 * sum(site.robots != "" for site in SITES))


@pytest.mark.parametrize("opt_outs", ["none", "noai", "tdmrep,content-signal"])
def test_what_is_not_obeyed_is_a_column(tmp_path, opt_outs):
    made = [record for number, site in enumerate(SITES) for record in records(number, site)]
    settings = replace(SETTINGS, extract=replace(SETTINGS.extract, opt_outs=opt_outs))
    found = outcomes(build(tmp_path, list(expected(name)), write_archives(tmp_path, made), settings=settings))
    for number, site in enumerate(SITES):
        told = found[canonicalize(f"http://{name(number)}{PATH}")]
        if site.signal and site.signal in opt_outs and site.line:
            assert told == ("mining_refused", site.line)
        elif opt_outs == "none" and site.robots:
            assert told == ("", "")  # nobody looks for robots.txt
        else:
            assert told == ("", site.line and f"{site.signal}: {site.line}")


NO = opt_out_sites.ANY + "Content-Usage: train-ai=n\n"


@pytest.mark.parametrize(
    ("captures", "refused"),
    [
        ([(0, NO, "200 OK")], True),
        ([(-900 * DAY, NO, "200 OK")], True),
        ([(-2 * DAY, "", "404 Not Found"), (3 * DAY, NO, "200 OK")], False),
        ([(-3 * DAY, "", "404 Not Found"), (2 * DAY, NO, "200 OK")], True),
        ([(-2 * DAY, NO, "200 OK"), (2 * DAY, opt_out_sites.ANY, "200 OK")], True),  # equally near: the earlier
        ([(-2 * DAY, opt_out_sites.ANY, "200 OK"), (2 * DAY, NO, "200 OK")], False),
        ([(0, NO, "503 Service Unavailable"), (0, NO, "302 Found")], False),
        ([(0, NO, "503 Service Unavailable"), (9 * DAY, NO, "200 OK")], True),
        ([(0, NO * 12_000 + "Content-Usage: /news/ train-ai=y", "200 OK")], True),  # more than is read
        ([(0, "", "200 OK"), (DAY, NO, "200 OK")], False),
    ],
)
def test_the_capture_nearest_to_the_page_counts(tmp_path, captures, refused):
    plain = opt_out_sites.Site()
    made = [*records(0, plain), *(robots_record(0, text, POSTED + at, status) for at, text, status in captures)]
    found = outcomes(build(tmp_path, [f"http://{name(0)}{PATH}"], write_archives(tmp_path, made)))
    assert [reason for reason, _ in found.values()] == ["mining_refused" if refused else ""]


def test_an_archive_does_not_get_around_a_refusal_of_the_live_web(tmp_path):
    with opt_out_sites.serve() as port:
        url = f"http://{opt_out_sites.address(0)}:{port}{PATH}"
        old = warc(http(opt_out_sites.Site().page(0)), url=url, when=date_of(POSTED))
        (tmp_path / "old.warc").write_bytes(old)
        work = build(tmp_path, [url], [tmp_path / "old.warc"], fetch=LIVE)
    assert [reason for reason, _ in outcomes(work).values()] == ["mining_refused"]


def test_a_web_without_robots_txt_has_no_such_stage(tmp_path):
    work = build(tmp_path, [f"http://{name(0)}{PATH}"], write_archives(tmp_path, records(0, opt_out_sites.Site())))
    assert not (work / "robots").exists()
