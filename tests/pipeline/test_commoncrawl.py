"""A small Common Crawl out of the mini web, behind a real web server: the nearest capture of every link."""

import gzip
import hashlib
import io
import json
import re
import subprocess
import sys
import threading
import time
from base64 import b32encode
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import fastwarc
import loopback_site
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webs
from inline import run_until
from warcio.archiveiterator import ArchiveIterator
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from pipeline import commoncrawl, crawl_index, packed, pages, ranges, storage, warc
from pipeline.commoncrawl_settings import CommonCrawlSettings
from pipeline.corpus import build_corpus
from pipeline.fetch_settings import FetchSettings
from pipeline.inputs import Inputs
from pipeline.parts import run_stage
from pipeline.stage import Stage, StageError, numbered
from pipeline.tabular import TableWriter
from pipeline.urls import canonicalize, host_of, link_key
from schemas import tables
from schemas.manifest import File, Receipt, StageManifest, Tally
from schemas.records import Reason

PARTS = 3
MAX_PAGE = 2_000_000
FAST = {"retries": 3, "timeout": 2.0, "backoff": 0.01}
CRAWLS = ("CC-MAIN-2013-20", "CC-MAIN-2014-10", "CC-MAIN-2017-51")


class Crawl:
    """WARC files and the rows of their index. `captures` is what a brute-force reader needs to know of it."""

    def __init__(self, folder):
        self.folder = folder
        self.rows = []
        self.files = {}

    def add(self, crawl, number, record, captured):
        """A copy of a record, as of another date."""
        name = f"crawl-data/{crawl}/segments/1.2/warc/CC-{number:05d}.warc.gz"
        stream = self.files.setdefault(name, io.BytesIO())
        offset = stream.tell()
        record.raw_stream.seek(0)
        record.rec_headers.replace_header("WARC-Date", f"{datetime.fromtimestamp(captured, UTC):%Y-%m-%dT%H:%M:%SZ}")
        WARCWriter(stream, gzip=True).write_record(record)
        url = record.rec_headers.get_header("WARC-Target-URI")
        status = int(record.http_headers.get_statuscode()) if record.http_headers else 200
        kind = record.http_headers.get_header("Content-Type") if record.http_headers else None
        record.raw_stream.seek(0)
        self.rows.append(
            {
                "crawl": crawl,
                "url_surtkey": url,
                "url": url,
                "url_host_name": host_of(canonicalize(url)),
                "fetch_time": captured * 1000,
                "fetch_status": status,
                "content_digest": b32encode(hashlib.sha1(record.raw_stream.read()).digest()).decode(),  # noqa: S324
                "content_mime_type": (kind or "unk").split(";")[0],
                "content_mime_detected": "text/html",
                "content_truncated": None,
                "warc_filename": name,
                "warc_record_offset": offset,
                "warc_record_length": stream.tell() - offset,
            }
        )

    def write(self):
        for name, stream in self.files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(stream.getvalue())

    def write_index(self, folder, files, rows=None):
        """The rows dealt out to so many files, in Common Crawl's layout."""
        rows = self.rows if rows is None else rows
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(files):
            table = pa.Table.from_pylist(sorted(rows[number::files], key=lambda row: row["url_surtkey"]), INDEX)
            pq.write_table(table, folder / f"part-{number:05d}.gz.parquet", row_group_size=100)
        return folder


INDEX = pa.schema(
    [
        ("url_surtkey", pa.string()),
        ("url", pa.string()),
        ("url_host_name", pa.string()),
        ("fetch_time", pa.timestamp("ms")),
        ("fetch_status", pa.int16()),
        ("content_digest", pa.string()),
        ("content_mime_type", pa.string()),
        ("content_mime_detected", pa.string()),
        ("content_truncated", pa.string()),
        ("warc_filename", pa.string()),
        ("warc_record_offset", pa.int32()),
        ("warc_record_length", pa.int32()),
    ]
)


def make_crawl(folder, records, links):
    """Three crawls: each page in one to three of them, at dates around and far from the first post."""
    crawl = Crawl(folder)
    for number, record in enumerate(records):
        key = link_key(canonicalize(record.rec_headers.get_header("WARC-Target-URI")))
        posted = links[key][1] if key in links else 1_400_000_000
        spread = hashlib.sha256(key).digest()
        for place, name in enumerate(CRAWLS[: 1 + spread[0] % 3]):
            lag = (spread[1 + place] - 128) * 86_400 * (1 + number % 4)
            crawl.add(name, number % 2, record, max(1, posted + lag))
            if spread[4] % 8 == 0:  # at the same distance, before and after
                crawl.add(name, number % 2, record, max(1, posted - lag))
    crawl.write()
    return crawl


def links_of(lines):
    """link key -> (canonical URL, first post) of every post; some links have no post time."""
    links = {}
    for line in lines:
        try:
            post = json.loads(line)
            url = canonicalize(post["url"])
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        created = 0 if hashlib.sha256(url.encode()).digest()[0] < 10 else int(post["created_utc"])
        key = link_key(url)
        old = links.get(key, (url, created))
        links[key] = (min(old[0], url), min(old[1], created))
    return links


def write_links(work, links):
    """Link tables, and the manifest of the stage that would have made them."""
    folder = work / "links"
    folder.mkdir(parents=True)
    receipts = []
    owners = packed.part_of(packed.split_keys(sorted(links))[0], PARTS).tolist()
    for part in range(PARTS):
        mine = [key for key, owner in zip(sorted(links), owners, strict=True) if owner == part]
        name = f"{part:05d}.links.parquet"
        with storage.publish(str(folder / name)) as sink:
            writer = TableWriter(sink, tables.LINKS)
            for key in mine:
                writer.add(key, links[key][0], 5, links[key][1], [])
            writer.close()
        file = File(name, sink.size, sink.sha256, len(mine))
        receipts.append(Receipt("links", f"{part:05d}", "f", Tally(len(mine), len(mine), len(mine)), (file,)))
    return StageManifest("links", "f", tuple(receipts))


def take(work, links, settings, workers=0, **more):
    """Both stages; the manifests of `index` and `commoncrawl`."""
    manifest = write_links(work, links) if not (work / "links").exists() else more.pop("manifest")
    index = commoncrawl.index_stage(settings, crawl_index.find_index(settings), str(work), manifest, **more)
    matches = run_stage(index, (), workers)
    captures = commoncrawl.capture_stage(settings, MAX_PAGE, str(work), manifest, matches)
    return matches, run_stage(captures, (), workers)


def rows_of(work):
    return [
        row | {"archive": path.name.replace(".captures.parquet", ".warc.gz")}
        for path in sorted((work / "commoncrawl").glob("*.captures.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]


def bytes_of(work):
    return {p.name: p.read_bytes() for p in sorted((work / "commoncrawl").glob("[0-9]*")) if p.suffix != ".json"}


def oracle(crawl, links):
    """By brute force over the archives themselves, not the index: link key -> (date, URL) of the nearest page."""
    nearest = {}
    for name, stream in crawl.files.items():
        for found in warc.index_archive(io.BytesIO(stream.getvalue()), name, MAX_PAGE):
            key = link_key(canonicalize(found.url))
            if key in links and not found.verdict:
                distance = abs(found.captured_utc - links[key][1])
                nearest[key] = min(nearest.get(key, (1 << 60, 0)), (distance, found.captured_utc))
    return {key: captured for key, (_, captured) in nearest.items()}


class Server(ThreadingHTTPServer):
    """Files of a folder with Range requests. `trouble(path, how often this range was asked for)` names a fault."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder, trouble=lambda path, time: ""):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.trouble = trouble
        self.asked = Counter()
        self.log = []
        self.lock = threading.Lock()

    @property
    def prefix(self):
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range", "")
        with server.lock:
            server.asked[self.path, wanted] += 1
            time = server.asked[self.path, wanted]
            server.log.append((self.path, wanted, self.client_address))
        fault = server.trouble(self.path, time)
        path = server.folder / self.path[1:]
        if fault == "redirect":
            return self.answer(302, b"", {"Location": "http://127.0.0.1:1/"})
        if fault == "busy":
            return self.answer(503, b"slow down", {"Retry-After": "0"})
        if fault == "forbidden":
            return self.answer(403, b"no")
        if not path.is_file():
            return self.answer(404, b"none")
        data = path.read_bytes()
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted)
        if match is None or fault == "ignores range":
            return self.answer(200, data)
        start, end = int(match[1]), min(int(match[2]), len(data) - 1)
        if start > end:
            return self.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        body = data[start : end + 1]
        stated = f"bytes {start}-{end}/{len(data)}"
        if fault == "other range":
            return self.answer(206, body, {"Content-Range": f"bytes {start + 1}-{end + 1}/{len(data)}"})
        if fault == "compressed":
            return self.answer(206, body, {"Content-Range": stated, "Content-Encoding": "gzip"})
        if fault == "cut":
            self.answer(206, body[: len(body) // 2], {"Content-Range": stated}, length=len(body))
            self.close_connection = True
            return None
        if fault == "endless":
            return self.endless(stated)
        if fault == "other bytes":
            body = body[:30] + bytes(len(body) - 30)
        return self.answer(206, body, {"Content-Range": stated})

    def endless(self, stated):
        self.send_response(206)
        self.send_header("Content-Range", stated)
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            while True:
                self.wfile.write(bytes(65_536))
        except OSError:
            self.close_connection = True

    def answer(self, status, body, fields=None, length=None):
        self.send_response(status)
        for name, value in (fields or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serve(folder, trouble=lambda path, time: ""):
    with Server(folder, trouble) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A crawl of the mini web, its links, and what the stages make of them over HTTP."""
    folder = tmp_path_factory.mktemp("world")
    links = links_of(webs.posts_of())
    crawl = make_crawl(folder / "crawl", webs.records_of(1), links)
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
    larger = webs.ROOT.parent / "shared" / "data" / "miniweb"
    if not larger.exists():
        pytest.skip("the larger web is not here")
    links = links_of(webs.posts_of(larger))
    crawl = make_crawl(tmp_path / "crawl", webs.records_of(3, larger), links)
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
    made = str(folder / "work" / commoncrawl.STAGE)
    both = [
        (storage.join(made, table.name), storage.join(made, archive.name))
        for table, archive in zip(captures.named(".captures.parquet"), captures.named(commoncrawl.WARC), strict=True)
    ]
    stage = Stage(
        name="pages",
        folder=str(tmp_path),
        settings={},
        inputs=(),
        parts=numbered([str(path)] for path in sorted((folder / "work" / "links").glob("*.parquet"))),
        run=partial(pages.choose, [archive for _, archive in both]),
        unit="links",
        shuffle=pages_shuffle([table for table, _ in both]),
    )
    run_stage(stage, (), 0)
    found = {r["key"]: r for path in tmp_path.glob("*.pages.parquet") for r in pq.read_table(path).to_pylist()}
    assert {key: row["captured_utc"] for key, row in found.items()} == oracle(crawl, links)
    row = next(iter(found.values()))
    with open(row["archive"], "rb") as stream:
        page = warc.read_page(stream, row["offset"], MAX_PAGE)
    assert link_key(canonicalize(page.url)) == row["key"]


def pages_shuffle(captures):
    from pipeline.stage import Shuffle

    return Shuffle(numbered([path] for path in captures), partial(pages.emit, PARTS), 1000)


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
        "from pipeline import commoncrawl, crawl_index, stage, ranges\n"
        "settings, work, manifest = pickle.load(sys.stdin.buffer)\n"
        "index = commoncrawl.index_stage(settings, crawl_index.find_index(settings), work, manifest)\n"
        "for part in index.parts: stage.run_part(index, part)\n"
        "made = stage.complete(index)\n"
        "captures = commoncrawl.capture_stage(settings, 2_000_000, work, manifest, made)\n"
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
    died = subprocess.run([sys.executable, "-c", code], input=given, cwd=webs.ROOT, capture_output=True, check=False)
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


def two_pages(tmp_path, posted=1_400_000_000):
    """Two links with two captures each, one in each of two files; the nearer ones are in the first."""
    records = [r for r in webs.records_of(1) if r.http_headers and r.http_headers.get_statuscode() == "200"]
    crawl = Crawl(tmp_path / "crawl")
    links = {}
    for record in records:
        url = canonicalize(record.rec_headers.get_header("WARC-Target-URI"))
        if len(links) < 2 and record.http_headers.get_header("Content-Type", "").startswith("text/html"):
            links[link_key(url)] = (url, posted)
            crawl.add(CRAWLS[0], 0, record, posted + 100)
            crawl.add(CRAWLS[1], 1, record, posted + 5_000_000)
    crawl.write()
    return crawl, links


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
    with storage.publish(str(other)) as sink:
        writer = TableWriter(sink, tables.CAPTURES)
        writer.add(had, links[had][0], 5, 200, "text/html", "", bytes(16), 0)
        writer.add(lost, links[lost][0], 5, 404, "text/html", "http_status", bytes(16), 0)
        writer.close()
    settings = CommonCrawlSettings(index=(f"{tmp_path}/index/*",), prefix=f"{tmp_path}/crawl/", only_when="missing")
    take(tmp_path / "work", links, settings, others=(str(other),), others_digest="1")
    assert [row["key"] for row in rows_of(tmp_path / "work")] == [lost]


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


def test_an_outage_is_no_verdict(tmp_path):
    links = links_of(webs.posts_of())
    crawl = make_crawl(tmp_path / "crawl", webs.records_of(4), links)
    crawl.write_index(tmp_path / "index", 1)
    with serve(tmp_path / "crawl", lambda path, time: "busy") as server:
        settings = CommonCrawlSettings(
            index=(f"{tmp_path}/index/*",), prefix=server.prefix, retries=1, timeout=1, backoff=0.001, gap_bytes=0
        )
        with pytest.raises(StageError, match="the fault is with the server or the prefix"):
            take(tmp_path / "work", links, settings)


def wide_index(path, hosts, rows_of_each):
    """An index whose row groups hold one host each, and whose columns are long enough to be read one by one."""
    random = np.random.default_rng(7)
    with pq.ParquetWriter(path, INDEX) as writer:
        for host in range(hosts):
            name = f"host{host:02d}.example.org"
            digests = [b32encode(random.bytes(20)).decode() for _ in range(rows_of_each)]
            found = [f"http://{name}/{digest}" for digest in digests]
            columns = {
                "url_surtkey": found,
                "url": found,
                "url_host_name": [name] * rows_of_each,
                "fetch_time": random.integers(1_400_000_000_000, 1_500_000_000_000, rows_of_each),
                "fetch_status": [200] * rows_of_each,
                "content_digest": digests,
                "content_mime_type": ["text/html"] * rows_of_each,
                "content_mime_detected": ["text/html"] * rows_of_each,
                "content_truncated": [None] * rows_of_each,
                "warc_filename": ["a.warc.gz"] * rows_of_each,
                "warc_record_offset": random.integers(0, 2**31, rows_of_each),
                "warc_record_length": [1000] * rows_of_each,
            }
            writer.write_table(pa.table([pa.array(columns[n], INDEX.field(n).type) for n in INDEX.names], INDEX))
    return found[0]


def test_of_row_groups_without_a_wanted_host_only_the_hosts_are_read(tmp_path):
    (tmp_path / "crawl").mkdir()
    path = tmp_path / "crawl" / "wide.parquet"
    url = wide_index(path, 12, 30_000)
    with serve(tmp_path / "crawl") as server:
        settings = CommonCrawlSettings(index=(f"{server.prefix}wide.parquet",), prefix=server.prefix, **FAST)
        manifest = write_links(tmp_path / "work", {link_key(url): (url, 1_450_000_000)})
        index = commoncrawl.index_stage(settings, crawl_index.find_index(settings), str(tmp_path / "work"), manifest)
        counts = run_stage(index, (), 0).tally.counts
        log = [wanted.removeprefix("bytes=").split("-") for _, wanted, _ in server.log]
    asked = sum(int(end) - int(start) + 1 for start, end in log)
    assert counts["index_rows"] == 12 * 30_000
    assert counts["index_rows_of_other_hosts"] == 11 * 30_000
    assert len(log) < 12 + 20
    assert asked < path.stat().st_size / 2


def test_a_large_index_has_few_parts(tmp_path):
    manifest = write_links(tmp_path, two_pages(tmp_path)[1])
    found = [storage.Found(f"{n:05d}.parquet", 1, 0.0) for n in range(15_000)]
    settings = CommonCrawlSettings(index=("x",), rounds=2)
    parts = commoncrawl.index_stage(settings, found, str(tmp_path), manifest).parts
    assert len(parts) == 2 * 512
    for half in (parts[:512], parts[512:]):
        assert [path for part in half for path in part.inputs] == [entry.path for entry in found]
    assert max(len(part.inputs) for part in parts) == 30


def test_lists_of_index_files(tmp_path):
    names = ["cc-index/crawl=1/subset=warc/a.parquet", "cc-index/crawl=1/subset=robotstxt/b.parquet"]
    (tmp_path / "cc-index-table.paths.gz").write_bytes(gzip.compress("\n".join(names).encode()))
    with serve(tmp_path) as server:
        settings = CommonCrawlSettings(index=(f"{server.prefix}cc-index-table.paths.gz",), prefix=server.prefix, **FAST)
        [found] = crawl_index.find_index(settings)
    assert found.path == server.prefix + names[0]
    with pytest.raises(ValueError, match="lists no files"):
        crawl_index.find_index(CommonCrawlSettings(index=("https://example.com/*.parquet",)))
    with pytest.raises(ValueError, match="needs its index"):
        crawl_index.find_index(CommonCrawlSettings())
    with pytest.raises(ValueError, match="must end in a slash"):
        crawl_index.find_index(CommonCrawlSettings(index=("a",), prefix="s3://commoncrawl"))


def test_what_is_no_index_is_named(tmp_path):
    links = links_of(webs.posts_of()[:10])
    pq.write_table(pa.table({"url": ["http://a.example/"]}), tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_bytes(b"no Parquet at all")
    for name, message in (("other", "it has no column 'fetch_time'"), ("text", "not a Parquet file")):
        settings = CommonCrawlSettings(index=(str(tmp_path / f"{name}.parquet"),))
        with pytest.raises(StageError, match=message):
            take(tmp_path / name, links, settings)


def test_ranges_are_joined_when_they_are_close():
    wanted = [ranges.Range(*r) for r in [("a", 0, 10), ("a", 15, 5), ("a", 31, 1), ("b", 32, 1), ("b", 32, 9)]]
    assert [len(run) for run in ranges.runs(wanted, 10)] == [2, 1, 2]
    assert [len(run) for run in ranges.runs(wanted, 11)] == [3, 2]
    far = [ranges.Range("a", n * 2**20, 2**20) for n in range(9)]
    joined = list(ranges.runs(far, 0))
    assert [len(run) for run in joined] == [4, 4, 1]
    assert all(one.start < two.start for one, two in pairwise(far))


def test_a_remote_store_that_comes_back_is_waited_for():
    import memory_store

    path = f"{memory_store.SCHEME}://crawl/late.warc.gz"
    reader = ranges.RangeReader(CommonCrawlSettings(**FAST))
    with pytest.raises(ranges.NoAnswerError, match="no object"):
        reader.read(ranges.Range(path, 2, 3))
    assert reader.requests == 1 + FAST["retries"]
    memory_store.MemoryStore.objects[path] = b"0123456789"
    assert reader.read(ranges.Range(path, 2, 3)) == b"234"
    with pytest.raises(ranges.RangeError, match="2 bytes from byte 8, asked for 3"):
        reader.read(ranges.Range(path, 8, 3))


def test_retry_after_is_obeyed(tmp_path):
    (tmp_path / "file").write_bytes(b"0123456789")

    with serve(tmp_path, lambda path, time: "busy" if time < 3 else "") as server:
        reader = ranges.RangeReader(CommonCrawlSettings(**FAST))
        assert reader.read(ranges.Range(server.prefix + "file", 2, 3)) == b"234"
        assert (reader.requests, reader.retries) == (3, 2)
        with pytest.raises(ranges.RangeError, match="416"):
            reader.read(ranges.Range(server.prefix + "file", 20, 3))
        reader.close()
    assert ranges._retry_after("7") == 7.0
    assert (
        100 < ranges._retry_after(f"{datetime.fromtimestamp(time.time() + 120, UTC):%a, %d %b %Y %H:%M:%S GMT}") < 121
    )
    assert ranges._retry_after("soon") is None


def build(work, posts, archives, crawl, workers=2):
    inputs = Inputs.find([str(posts)], [str(path) for path in archives], None, crawl)
    return build_corpus(webs.SETTINGS, inputs, str(work), partial(run_stage, flags=(), workers=workers))


def pages_of(work):
    return {
        row["key"]: row
        for path in sorted((work / "pages").glob("*.pages.parquet"))
        for row in pq.read_table(path).to_pylist()
    }


def test_a_build_takes_its_pages_from_common_crawl(world, tmp_path):
    folder, crawl, _, _, _, _ = world
    webs.write_posts(tmp_path / "posts" / "all.ndjson.zst", webs.posts_of())
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
        webs.write_posts(tmp_path / "posts.ndjson.zst", [json.dumps(post).encode() for post in posts])
        fetch = FetchSettings("crawl@example.org", delay=0.01, ports=(), allow_private=True, years=2.0)
        settings = CommonCrawlSettings(
            index=(f"{tmp_path}/index/*",), prefix=f"{tmp_path}/crawl/", only_when="missing", **FAST
        )
        inputs = Inputs.find([str(tmp_path / "posts.ndjson.zst")], [], fetch, settings)
        with pytest.raises(InterruptedError):
            build_corpus(webs.SETTINGS, inputs, str(tmp_path / "work"), run_until("documents"))
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
    webs.write_posts(tmp_path / "posts" / "all.ndjson.zst", webs.posts_of())
    own = webs.MINIWEB / "pages-00000.warc.gz"
    with serve(folder / "crawl") as server:
        names = tuple(f"{server.prefix}index/part-{n:05d}.gz.parquet" for n in range(2))
        settings = CommonCrawlSettings(index=names, prefix=server.prefix, only_when="missing", **FAST)
        build(tmp_path / "both", tmp_path / "posts" / "*", [own], settings)
    build(tmp_path / "own", tmp_path / "posts" / "*", [own], None)
    both, alone = pages_of(tmp_path / "both"), pages_of(tmp_path / "own")
    assert {key: page for key, page in both.items() if page["archive"] == str(own)} == alone
    assert alone
    assert len(both) > len(alone) + 50
