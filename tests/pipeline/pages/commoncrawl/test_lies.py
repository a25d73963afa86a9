"""Records that can't be had, an index that lies, a server that is gone: no wrong page, and no false verdict."""

import pytest
import toy_webs
from given_tables import write_table
from small_crawl import CRAWLS, FAST, links_of, make_crawl, rows_of, serve, take, two_pages

from webtext.pipeline.engine.stage import StageError
from webtext.pipeline.pages.commoncrawl.settings import CommonCrawlSettings
from webtext.schemas import tables
from webtext.schemas.records import Reason


@pytest.mark.parametrize("fault", ["cut", "ignores range", "other range", "redirect", "forbidden", "other bytes"])
def test_a_record_that_cannot_be_had_makes_way_for_the_next(tmp_path, fault):
    crawl, links = two_pages(tmp_path)
    crawl.write_index(tmp_path / "index", 1)

    def run(name, bad):
        with serve(tmp_path / "crawl", lambda path, time: fault if bad in path else "") as server:
            settings = CommonCrawlSettings(index=(f"{tmp_path}/index/*",), prefix=server.prefix, **FAST)
            return take(tmp_path / name, links, settings)[1], rows_of(tmp_path / name)

    captures, rows = run("one", CRAWLS[0])
    assert [row["captured_utc"] - 1_400_000_000 for row in rows] == [5_000_000] * 2
    assert captures.tally.counts["links_with_another_than_the_nearest"] == 2
    captures, rows = run("both", "warc")
    assert [(row["verdict"], row["offset"]) for row in rows] == [(Reason.PAGE_UNREADABLE, -1)] * 2
    assert [row["captured_utc"] - 1_400_000_000 for row in rows] == [100] * 2
    assert captures.tally.counts["links_page_unreadable"] == 2


def test_an_index_that_lies_leads_to_no_wrong_page(tmp_path):
    crawl, links = two_pages(tmp_path)
    first, second = crawl.rows[0], crawl.rows[2]
    rows = [
        first | {"warc_record_offset": second["warc_record_offset"]},  # another page's record
        first | {"fetch_time": first["fetch_time"] - 90_000 * 1000},  # another date
        first | {"warc_record_length": first["warc_record_length"] - 9},  # cut
        second | {"warc_record_length": 10**6},  # past the end of the file
        second | {"warc_record_offset": second["warc_record_offset"] + 1},
    ]
    crawl.write_index(tmp_path / "index", 1, rows)
    settings = CommonCrawlSettings(index=(f"{tmp_path}/index/*",), prefix=f"{tmp_path}/crawl/", candidates=9)
    take(tmp_path / "work", links, settings)
    assert [row["verdict"] for row in rows_of(tmp_path / "work")] == [Reason.PAGE_UNREADABLE] * 2


@pytest.mark.parametrize(
    "change",
    [
        {"warc_filename": "../../etc/passwd"},
        {"warc_filename": "/etc/passwd"},
        {"warc_filename": "a/../b"},
        {"warc_filename": "a//b"},
        {"warc_filename": "@evil.example/a"},
        {"warc_filename": "a?b"},
        {"warc_filename": "a\r\nb"},
        {"warc_filename": "a%2e%2e/b"},
        {"warc_filename": ""},
        {"warc_filename": None},
        {"warc_record_offset": -1},
        {"warc_record_offset": None},
        {"warc_record_length": 0},
        {"warc_record_length": 2**31 - 1},
    ],
)
def test_hostile_rows_are_refused(tmp_path, change):
    crawl, links = two_pages(tmp_path)
    crawl.write_index(tmp_path / "index", 1, [crawl.rows[0] | change, *crawl.rows[2:]])
    settings = CommonCrawlSettings(index=(f"{tmp_path}/index/*",), prefix=f"{tmp_path}/crawl/")
    matches, captures = take(tmp_path / "work", links, settings)
    assert matches.tally.rejected == {"bad_record": 1}
    assert captures.tally.counts["links_without_match"] == 1


def test_only_links_that_another_source_lost(tmp_path):
    crawl, links = two_pages(tmp_path)
    crawl.write_index(tmp_path / "index", 1)
    lost, had = sorted(links)
    other = tmp_path / "other.captures.parquet"
    had_row = (had, links[had][0], 5, 200, "text/html", "", bytes(16), 0)
    lost_row = (lost, links[lost][0], 5, 404, "text/html", "http_status", bytes(16), 0)
    write_table(other, tables.CAPTURES, [had_row, lost_row])
    settings = CommonCrawlSettings(index=(f"{tmp_path}/index/*",), prefix=f"{tmp_path}/crawl/", only_when="missing")
    take(tmp_path / "work", links, settings, others=(str(other),), others_digest="1")
    assert [row["key"] for row in rows_of(tmp_path / "work")] == [lost]


def test_an_outage_is_no_verdict(tmp_path):
    links = links_of(toy_webs.posts_of())
    crawl = make_crawl(tmp_path / "crawl", toy_webs.records_of(4), links)
    crawl.write_index(tmp_path / "index", 1)
    with serve(tmp_path / "crawl", lambda path, time: "busy") as server:
        settings = CommonCrawlSettings(
            index=(f"{tmp_path}/index/*",), prefix=server.prefix, retries=1, timeout=1, backoff=0.001, gap_bytes=0
        )
        with pytest.raises(StageError, match="the fault is with the server or the prefix"):
            take(tmp_path / "work", links, settings)
