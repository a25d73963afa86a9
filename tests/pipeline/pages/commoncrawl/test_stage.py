"""A small Common Crawl out of the mini web, behind a real web server: the nearest capture of every link."""

import io
import json
import sys
from dataclasses import replace
from functools import partial

import fastwarc
import loopback_site
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toy_webs
from processes import finished
from small_crawl import (
    CRAWLS,
    FAST,
    INDEX,
    MAX_PAGE,
    PARTS,
    Crawl,
    bytes_of,
    links_of,
    make_crawl,
    oracle,
    rows_of,
    serve,
    take,
    write_links,
)
from warcio.archiveiterator import ArchiveIterator
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter
from without_engine import run_until

from webtext.pipeline.archives import warc
from webtext.pipeline.corpus import build_corpus
from webtext.pipeline.engine.beam_stage import run_stage
from webtext.pipeline.engine.stage import Shuffle, Stage, numbered
from webtext.pipeline.files import storage
from webtext.pipeline.flow import ARCHIVE, COMMONCRAWL
from webtext.pipeline.identity.urls import canonicalize, link_key
from webtext.pipeline.inputs import Inputs
from webtext.pipeline.pages.commoncrawl.settings import CommonCrawlSettings
from webtext.pipeline.pages.crawl.settings import FetchSettings
from webtext.pipeline.pages.stages import emit_pages, run_pages
from webtext.schemas.records import Reason


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A crawl of the mini web, its links, and what the stages make of them over HTTP."""
    folder = tmp_path_factory.mktemp("world")
    links = links_of(toy_webs.posts_of())
    crawl = make_crawl(folder / "crawl", toy_webs.records_of(1), links)
    crawl.write_index(folder / "crawl" / "index", 2)
    with serve(folder / "crawl") as server:
        names = tuple(f"{server.prefix}index/part-{n:05d}.gz.parquet" for n in range(2))
        settings = CommonCrawlSettings(index=names, prefix=server.prefix, **FAST)
        matches, captures = take(folder / "work", links, settings)
        log = list(server.log)
    return folder, crawl, links, matches, captures, log


def check_against_oracle(work, crawl, links):
    best = oracle(crawl, links)
    rows = {row["key"]: row for row in rows_of(work)}
    usable = {key: row["captured_utc"] for key, row in rows.items() if not row["verdict"]}
    assert usable == best
    known = {link_key(canonicalize(row["url"])) for row in crawl.rows}
    assert rows.keys() == links.keys() & known
    return rows


def test_every_link_gets_its_nearest_capture(world):
    folder, crawl, links, *_ = world
    rows = check_against_oracle(folder / "work", crawl, links)
    assert sum(not row["verdict"] for row in rows.values()) > 200
    assert {row["verdict"] for row in rows.values()} >= {Reason.HTTP_STATUS}


def test_the_larger_web_too(tmp_path):
    larger = toy_webs.ROOT.parent / "shared" / "data" / "miniweb"
    if not larger.exists():
        pytest.skip("the larger web is not here")
    links = links_of(toy_webs.posts_of(larger))
    crawl = make_crawl(tmp_path / "crawl", toy_webs.records_of(3, larger), links)
    crawl.write_index(tmp_path / "index", 3)
    settings = CommonCrawlSettings(index=(f"{tmp_path}/index/*.parquet",), prefix=f"{tmp_path}/crawl/")
    take(tmp_path / "work", links, settings)
    assert len(check_against_oracle(tmp_path / "work", crawl, links)) > 150


def test_records_are_copied_byte_for_byte(world):
    folder, crawl, *_ = world
    stored = 0
    for row in rows_of(folder / "work"):
        if row["offset"] < 0:
            assert row["verdict"]
            continue
        stored += 1
        ours = (folder / "work" / "commoncrawl" / row["archive"]).read_bytes()[row["offset"] :]
        theirs = [
            crawl.files[r["warc_filename"]].getvalue()[r["warc_record_offset"] :][: r["warc_record_length"]]
            for r in crawl.rows
            if link_key(canonicalize(r["url"])) == row["key"] and r["fetch_time"] == row["captured_utc"] * 1000
        ]
        assert any(ours.startswith(record) for record in theirs)
    assert stored


def test_our_archives_are_read_by_others_and_hold_what_the_table_says(world):
    folder, *_ = world
    rows = rows_of(folder / "work")
    for path in sorted((folder / "work" / "commoncrawl").glob("*.warc.gz")):
        mine = {row["offset"]: row for row in rows if row["archive"] == path.name and row["offset"] >= 0}
        with path.open("rb") as stream:
            archive = ArchiveIterator(stream, check_digests="raise")
            kinds = []
            for record in archive:
                record.content_stream().read()
                kinds.append(record.rec_type)
        assert kinds == ["warcinfo"] + ["response"] * len(mine)
        with path.open("rb") as stream:
            found = [r.headers["WARC-Type"] for r in fastwarc.ArchiveIterator(stream, parse_http=False)]
        assert found == kinds
        with path.open("rb") as stream:
            captures = [c for c in warc.index_archive(stream, path.name, MAX_PAGE) if isinstance(c, warc.Capture)]
        for capture in captures:
            row = mine.pop(capture.offset)
            url = canonicalize(capture.url)
            assert (row["key"], row["url"]) == (link_key(url), url)
            fields = ("captured_utc", "status", "content_type", "verdict", "digest")
            assert [row[name] for name in fields] == [getattr(capture, name) for name in fields]
        assert not mine


def test_the_ledger_is_closed(world):
    _, crawl, links, matches, captures, _ = world
    counts = captures.tally.counts
    assert matches.tally.counts["index_rows"] == len(crawl.rows)
    assert captures.tally.taken == matches.tally.rows == matches.tally.passed
    ends = {
        name: n
        for name, n in counts.items()
        if name in ("links_without_match", "links_with_capture") or name.removeprefix("links_") in set(Reason)
    }
    assert sum(ends.values()) == counts["links"] == len(links)
    lags = {name: n for name, n in counts.items() if name.startswith("lag_")}
    assert sum(lags.values()) == counts["links_with_capture"]
    assert len(lags) > 3


def test_pages_takes_what_was_made(world, tmp_path):
    folder, crawl, links, _, captures, _ = world
    made = str(folder / "work" / COMMONCRAWL)
    both = [
        (storage.join(made, table.name), storage.join(made, archive.name))
        for table, archive in zip(captures.named(".captures.parquet"), captures.named(ARCHIVE), strict=True)
    ]
    stage = Stage(
        name="pages",
        folder=str(tmp_path),
        settings={},
        inputs=(),
        parts=numbered({"links": [str(path)]} for path in sorted((folder / "work" / "links").glob("*.parquet"))),
        run=Shuffle(
            sources=numbered({"captures": [table]} for table, _ in both),
            emit=partial(emit_pages, PARTS),
            run=partial(run_pages, [archive for _, archive in both]),
            bytes=1000,
        ),
        unit="links",
    )
    run_stage(stage, (), 0)
    found = {r["key"]: r for path in tmp_path.glob("*.pages.parquet") for r in pq.read_table(path).to_pylist()}
    assert {key: row["captured_utc"] for key, row in found.items()} == oracle(crawl, links)
    row = next(iter(found.values()))
    with open(row["archive"], "rb") as stream:
        page = warc.read_page(stream, row["offset"], MAX_PAGE)
    assert link_key(canonicalize(page.url)) == row["key"]


def test_few_requests_over_few_connections(world):
    *_, captures, log = world
    records = captures.tally.counts["records_read"]
    asked = [path for path, _, _ in log if path.endswith(".warc.gz")]
    assert len(asked) < records / 2
    assert len({client for _, _, client in log}) < 40


@pytest.mark.parametrize(("files", "workers", "rounds"), [(1, 0, 1), (5, 2, 2)])
def test_any_split_of_the_index_and_any_workers_give_the_same_bytes(world, tmp_path, files, workers, rounds):
    folder, crawl, links, *_ = world
    rows = crawl.rows[::-1] if files == 5 else crawl.rows
    crawl.write_index(tmp_path / "index", files, rows)
    settings = CommonCrawlSettings(
        index=(f"{tmp_path}/index/*.parquet",), prefix=f"{folder}/crawl/", rounds=rounds, gap_bytes=files * 100
    )
    take(tmp_path / "work", links, settings, workers)
    assert bytes_of(tmp_path / "work") == bytes_of(folder / "work")


def test_an_index_without_the_columns_that_came_later_gives_the_same(world, tmp_path):
    folder, crawl, links, *_ = world
    table = pa.Table.from_pylist(crawl.rows, INDEX).drop_columns(["url_host_name", "content_mime_detected"])
    table = table.set_column(2, "fetch_time", table["fetch_time"].cast(pa.timestamp("ns", "UTC")))
    assert table.schema.names[2] == "fetch_time"
    pq.write_table(table, tmp_path / "old.parquet")
    settings = CommonCrawlSettings(index=(str(tmp_path / "old.parquet"),), prefix=f"{folder}/crawl/")
    take(tmp_path / "work", links, settings)
    assert bytes_of(tmp_path / "work") == bytes_of(folder / "work")


def test_a_part_that_was_killed_is_done_again(world, tmp_path):
    folder, crawl, links, *_ = world
    crawl.write_index(tmp_path / "index", 2)
    settings = CommonCrawlSettings(index=(f"{tmp_path}/index/*.parquet",), prefix=f"{folder}/crawl/")
    manifest = write_links(tmp_path / "work", links)
    code = (
        "import sys, pickle\n"
        "from webtext.pipeline.engine import stage\n"
        "from webtext.pipeline.pages.commoncrawl import ranges\n"
        "from webtext.pipeline.pages.commoncrawl.index import find_index\n"
        "from webtext.pipeline.pages.commoncrawl.stage import commoncrawl_stage, index_stage\n"
        "settings, work, manifest = pickle.load(sys.stdin.buffer)\n"
        "index = index_stage(settings, find_index(settings), work, manifest)\n"
        "for part in index.parts: stage.run_part(index, part)\n"
        "made = stage.complete(index)\n"
        "captures = commoncrawl_stage(settings, 2_000_000, work, manifest, made)\n"
        "stage.run_part(captures, captures.parts[1])\n"
        "left = 5\n"
        "whole = ranges.RangeReader.read\n"
        "def read(self, wanted):\n"
        "    global left\n"
        "    left -= 1\n"
        "    if not left: import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return whole(self, wanted)\n"
        "ranges.RangeReader.read = read\n"
        "stage.run_part(captures, captures.parts[0])\n"
    )
    import pickle

    given = pickle.dumps((settings, str(tmp_path / "work"), manifest))
    died = finished([sys.executable, "-c", code], input=given, cwd=toy_webs.ROOT)
    assert died.returncode == -9, died.stderr.decode()
    done = (tmp_path / "work" / "commoncrawl" / "00001.receipt.json").stat().st_mtime_ns
    take(tmp_path / "work", links, settings, manifest=manifest)
    assert bytes_of(tmp_path / "work") == bytes_of(folder / "work")
    assert (tmp_path / "work" / "commoncrawl" / "00001.receipt.json").stat().st_mtime_ns == done


@pytest.mark.parametrize("fault", ["busy", "cut", "ignores range", "other range", "compressed", "endless"])
def test_a_server_with_passing_trouble_gives_the_same_bytes(world, tmp_path, fault):
    folder, _, links, *_ = world

    def trouble(path, time):
        return fault if time == 1 else ""

    with serve(folder / "crawl", trouble) as server:
        names = tuple(f"{server.prefix}index/part-{n:05d}.gz.parquet" for n in range(2))
        settings = CommonCrawlSettings(index=names, prefix=server.prefix, **FAST)
        _, captures = take(tmp_path / "work", links, settings)
    assert bytes_of(tmp_path / "work") == bytes_of(folder / "work")
    assert max(server.asked.values()) == 2
    assert captures.tally.counts["links_with_another_than_the_nearest"] == 0


def test_a_cache_spares_the_server_every_second_question(world, tmp_path):
    folder, crawl, links, *_ = world
    crawl.write_index(tmp_path / "index", 1)
    with serve(folder / "crawl") as server:
        settings = CommonCrawlSettings(
            index=(f"{tmp_path}/index/*",), prefix=server.prefix, cache=str(tmp_path / "cache"), **FAST
        )
        take(tmp_path / "one", links, settings)
        asked = len(server.log)
        damaged = sorted(path for path in (tmp_path / "cache").rglob("*") if path.is_file())[:2]
        damaged[0].write_bytes(bytes(damaged[0].stat().st_size))
        damaged[1].write_bytes(b"")
        take(tmp_path / "two", links, settings)
    assert asked > 10
    assert len(server.log) == asked + 2
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two") == bytes_of(folder / "work")


def build(work, posts, archives, crawl, run=partial(run_stage, flags=(), workers=2)):  # noqa: B008  pure
    inputs = Inputs.find([str(posts)], [str(path) for path in archives], None, crawl)
    return build_corpus(toy_webs.SETTINGS, inputs, str(work), run)


def pages_of(work):
    return {
        row["key"]: row
        for path in sorted((work / "pages").glob("*.pages.parquet"))
        for row in pq.read_table(path).to_pylist()
    }


def test_a_build_takes_its_pages_from_common_crawl(world, tmp_path):
    folder, crawl, _, _, _, _ = world
    toy_webs.write_posts(tmp_path / "posts" / "all.ndjson.zst", toy_webs.posts_of())
    with serve(folder / "crawl") as server:
        names = tuple(f"{server.prefix}index/part-{n:05d}.gz.parquet" for n in range(2))
        settings = CommonCrawlSettings(index=names, prefix=server.prefix, **FAST)
        manifest = build(tmp_path / "work", tmp_path / "posts" / "*", [], settings)
        asked = len(server.log)
        # A finished build asks nothing, and its claim knows where it took the pages from.
        assert build(tmp_path / "work", tmp_path / "posts" / "*", [], settings) == manifest
        assert len(server.log) == asked
        with pytest.raises(ValueError, match=r"commoncrawl\.candidates was 3, is 1"):
            build(tmp_path / "work", tmp_path / "posts" / "*", [], replace(settings, candidates=1))
    pages = pages_of(tmp_path / "work")
    links = {
        row["key"]: (row["url"], row["created_utc"])
        for path in (tmp_path / "work" / "links").glob("*.links.parquet")
        for row in pq.read_table(path).to_pylist()
    }
    best = oracle(crawl, links)
    assert {key: page["captured_utc"] for key, page in pages.items()} == best
    assert len(pages) > 200
    assert manifest.stages["shards"].passed > 150


def test_common_crawl_has_what_the_live_web_lost(tmp_path):
    crawl = Crawl(tmp_path / "crawl")
    posted = 1_400_000_000
    with loopback_site.running(tmp_path / "log") as port:
        wanted = [
            t for t in loopback_site.targets(port) if t.kind in ("front", "late", "missing", "moved", "robots", "noai")
        ]
        for target in wanted:
            html = f"<html><body><p>{target.url} as it was.".encode()
            head = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
            writer = WARCWriter(io.BytesIO())
            made = writer.create_warc_record(target.url, "response", io.BytesIO(html), http_headers=head)
            crawl.add(CRAWLS[1], 0, made, posted + 86_400)
        crawl.write()
        crawl.write_index(tmp_path / "index", 1)
        posts = [
            {"url": t.url, "created_utc": posted, "score": 5, "id": f"{n:x}", "subreddit": "a", "title": "t"}
            for n, t in enumerate(wanted)
        ]
        toy_webs.write_posts(tmp_path / "posts.ndjson.zst", [json.dumps(post).encode() for post in posts])
        fetch = FetchSettings("crawl@example.org", delay=0.01, ports=(), allow_private=True, years=2.0)
        settings = CommonCrawlSettings(
            index=(f"{tmp_path}/index/*",), prefix=f"{tmp_path}/crawl/", only_when="missing", **FAST
        )
        inputs = Inputs.find([str(tmp_path / "posts.ndjson.zst")], [], fetch, settings)
        with pytest.raises(InterruptedError):
            build_corpus(toy_webs.SETTINGS, inputs, str(tmp_path / "work"), run_until("documents"))
    fetched = {
        row["key"]: row["verdict"]
        for path in (tmp_path / "work" / "fetch").glob("*.captures.parquet")
        for row in pq.read_table(path).to_pylist()
    }
    assert fetched == {link_key(canonicalize(t.url)): t.verdict for t in wanted}
    assert set(fetched.values()) >= {"", Reason.SOFT_404, Reason.MODIFIED_LATER, Reason.HTTP_STATUS}
    taken = {key: page["archive"].rsplit("/", 2)[1] for key, page in pages_of(tmp_path / "work").items()}
    refused = {Reason.ROBOTS_DISALLOWED, Reason.MINING_REFUSED}
    assert refused < set(fetched.values())
    assert taken == {
        key: "commoncrawl" if verdict else "fetch" for key, verdict in fetched.items() if verdict not in refused
    }


def test_common_crawl_as_a_fallback_for_what_the_archives_lack(world, tmp_path):
    folder, _, _, _, _, _ = world
    toy_webs.write_posts(tmp_path / "posts" / "all.ndjson.zst", toy_webs.posts_of())
    own = toy_webs.MINIWEB / "pages-00000.warc.gz"
    with serve(folder / "crawl") as server:
        names = tuple(f"{server.prefix}index/part-{n:05d}.gz.parquet" for n in range(2))
        settings = CommonCrawlSettings(index=names, prefix=server.prefix, only_when="missing", **FAST)
        with pytest.raises(InterruptedError):
            build(tmp_path / "both", tmp_path / "posts" / "*", [own], settings, run_until("documents"))
    with pytest.raises(InterruptedError):
        build(tmp_path / "own", tmp_path / "posts" / "*", [own], None, run_until("documents"))
    both, alone = pages_of(tmp_path / "both"), pages_of(tmp_path / "own")
    assert {key: page for key, page in both.items() if page["archive"] == str(own)} == alone
    assert alone
    assert len(both) > len(alone) + 50
