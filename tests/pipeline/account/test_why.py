"""The story of URLs in a build that asks the live web and Common Crawl, both on loopback."""

import io
import shutil
from dataclasses import replace
from functools import partial

import loopback_site
import pytest
import toy_webs
from small_crawl import FAST, Crawl
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from webtext.jobs import cli
from webtext.pipeline.account.report_page import build_report
from webtext.pipeline.account.why import Build, tell
from webtext.pipeline.corpus import build_corpus
from webtext.pipeline.engine.beam_stage import run_stage
from webtext.pipeline.identity import urls
from webtext.pipeline.inputs import Inputs
from webtext.pipeline.pages.commoncrawl.settings import CommonCrawlSettings
from webtext.pipeline.pages.crawl.settings import FetchSettings
from webtext.pipeline.settings import ExtractSettings

SETTINGS = replace(toy_webs.SETTINGS, extract=ExtractSettings(min_tokens=8, language_probability=0.0))
FETCH = FetchSettings(
    contact="crawl@example.org",
    delay=0.0,
    backoff=0.01,
    revisit_delay=0.1,
    connect_seconds=2.0,
    read_seconds=1.0,
    total_seconds=2.0,
    ports=(),
    allow_private=True,
)
KINDS = ("good", "closed", "missing", "robots")


def record_of(url, status, page):
    payload = io.BytesIO(page)
    head = StatusAndHeaders(status, [("Content-Type", "text/html")], protocol="HTTP/1.1")
    writer = WARCWriter(io.BytesIO())
    return writer.create_warc_record(url, "response", payload=payload, http_headers=head)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """(work folder, a URL of each kind)"""
    folder = tmp_path_factory.mktemp("story")
    with loopback_site.running(folder / "log") as port:
        every = loopback_site.targets(port)
        chosen = {kind: next(target.url for target in every if target.kind == kind) for kind in KINDS}
        (folder / "urls.txt").write_text("".join(f"{url}\n" for url in chosen.values()))
        crawl = Crawl(folder / "crawl")
        text = " ".join(f"old{n}" for n in range(300))  # the site's own pages are made of "word0", "word1", ...
        page = f"<html><title>Old</title><body><p>{text}</p></body></html>".encode()
        crawl.add("CC-MAIN-2013-20", 0, record_of(chosen["closed"], "200 OK", page), 1_400_000_000)
        crawl.add("CC-MAIN-2013-20", 0, record_of(chosen["missing"], "404 Not Found", page), 1_400_000_000)
        crawl.write()
        crawl.write_index(folder / "crawl" / "index", 1)
        index = (str(folder / "crawl" / "index" / "*.parquet"),)
        settings = CommonCrawlSettings(index=index, prefix=f"{folder}/crawl/", **FAST)
        inputs = Inputs.find([str(folder / "urls.txt")], [], FETCH, settings)
        build_corpus(SETTINGS, inputs, str(folder / "work"), partial(run_stage, flags=(), workers=2))
    return folder / "work", chosen


def test_a_fetched_page_is_in_the_corpus_and_the_story_says_from_where(told):
    work, chosen = told
    story = tell(Build(str(work)), chosen["good"])
    assert (story.verdict, story.stages_missing) == ("kept", [])
    [capture] = story.captures
    assert (capture.source, capture.chosen, capture.status, capture.detail) == ("fetched", True, 200, "")
    assert capture.archive.startswith(f"{work}/fetch/0000")


def test_common_crawl_has_what_the_live_web_lost(told):
    work, chosen = told
    story = tell(Build(str(work)), chosen["closed"])
    assert story.verdict == "kept"
    ours, failed = story.captures
    assert (ours.source, ours.chosen, ours.captured_utc) == ("Common Crawl", True, 1_400_000_000)
    assert (failed.source, failed.chosen, failed.status, failed.offset) == ("fetched", False, 0, -1)
    assert failed.verdict == "connect_failed"
    assert failed.detail
    assert [(refusal.stage, refusal.detail) for refusal in story.refusals] == [("fetch", failed.detail)]


def test_why_a_page_could_not_be_fetched(told):
    work, chosen = told
    build = Build(str(work))
    story = tell(build, chosen["missing"])
    assert story.verdict == "http_status"
    assert [(capture.source, capture.status) for capture in story.captures] == [("fetched", 404), ("Common Crawl", 404)]
    story = tell(build, chosen["robots"])
    assert story.verdict == "robots_disallowed"
    [capture] = story.captures
    assert capture.detail


def test_the_text_names_sources_and_reasons(told, capsys):
    work, chosen = told
    assert cli.main(["why", *chosen.values(), "--work", str(work)]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    assert "fetched, 0000" in out
    assert "Common Crawl, 0000" in out
    assert "no answer" in out
    words = " ".join(out.split())
    for refusal in tell(Build(str(work)), chosen["robots"]).refusals[:1]:
        assert "not fetched:" in words
        assert refusal.detail.split()[0] in words


def test_a_work_directory_may_be_moved(told, tmp_path):
    work, chosen = told
    shutil.copytree(work, tmp_path / "moved")
    for kind in ("good", "closed"):
        story = tell(Build(str(tmp_path / "moved")), chosen[kind])
        assert [capture.chosen for capture in story.captures] == [True] + [False] * (kind == "closed")


def test_what_has_not_finished_is_named(told, tmp_path):
    work, chosen = told
    shutil.copytree(work, tmp_path / "work")
    for stage in ("fetch", "index", "commoncrawl", "pages"):
        (tmp_path / "work" / stage / "manifest.json").unlink()
    story = tell(Build(str(tmp_path / "work")), urls.canonicalize(chosen["closed"]))
    assert story.stages_missing == ["pages", "fetch", "index", "commoncrawl"]
    assert story.captures == []


def test_the_report_tells_the_losses_of_the_live_web(told):
    work, _ = told
    page = build_report(str(work))
    assert "Ask the live web: 3 of 4 links brought no page" in page
    assert "connect_failed" in page
