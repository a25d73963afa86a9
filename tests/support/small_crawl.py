"""A small Common Crawl with its index, a web server that it lies behind, and who takes what by brute force."""

import hashlib
import io
import json
import re
import threading
from base64 import b32encode
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pyarrow.parquet as pq
import toy_webs
from given_tables import write_table
from warcio.warcwriter import WARCWriter

from webtext.pipeline.archives import warc
from webtext.pipeline.engine import packed
from webtext.pipeline.engine.beam_stage import run_stage
from webtext.pipeline.identity.urls import canonicalize, host_of, link_key
from webtext.pipeline.pages.commoncrawl.index import find_index
from webtext.pipeline.pages.commoncrawl.stage import commoncrawl_stage, index_stage
from webtext.schemas import tables
from webtext.schemas.manifest import StageManifest

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
        rows = [(key, links[key][0], 5, links[key][1], []) for key in mine]
        receipts.append(write_table(folder / f"{part:05d}.links.parquet", tables.LINKS, rows))
    return StageManifest("links", "f", tuple(receipts))


def take(work, links, settings, workers=0, **more):
    """Both stages; the manifests of `index` and `commoncrawl`."""
    manifest = write_links(work, links) if not (work / "links").exists() else more.pop("manifest")
    index = index_stage(settings, find_index(settings), str(work), manifest, **more)
    matches = run_stage(index, (), workers)
    captures = commoncrawl_stage(settings, MAX_PAGE, str(work), manifest, matches)
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


def two_pages(tmp_path, posted=1_400_000_000):
    """Two links with two captures each, one in each of two files; the nearer ones are in the first."""
    records = [r for r in toy_webs.records_of(1) if r.http_headers and r.http_headers.get_statuscode() == "200"]
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
