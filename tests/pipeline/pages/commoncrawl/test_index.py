"""Lists and files of Common Crawl's index: what is read of them, and what is refused."""

import gzip
from base64 import b32encode

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toy_webs
from small_crawl import FAST, INDEX, links_of, serve, take, two_pages, write_links

from webtext.pipeline.engine.beam_stage import run_stage
from webtext.pipeline.engine.stage import StageError
from webtext.pipeline.files import storage
from webtext.pipeline.identity.urls import link_key
from webtext.pipeline.pages.commoncrawl.index import find_index
from webtext.pipeline.pages.commoncrawl.settings import CommonCrawlSettings
from webtext.pipeline.pages.commoncrawl.stage import index_stage


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
        index = index_stage(settings, find_index(settings), str(tmp_path / "work"), manifest)
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
    parts = index_stage(settings, found, str(tmp_path), manifest).parts
    assert len(parts) == 2 * 512
    for half in (parts[:512], parts[512:]):
        assert [path for part in half for path in part.inputs["index"]] == [entry.path for entry in found]
    assert max(len(part.inputs["index"]) for part in parts) == 30


def test_lists_of_index_files(tmp_path):
    names = [f"cc-index/crawl=1/subset={subset}/a.parquet" for subset in ("crawldiagnostics", "robotstxt", "warc")]
    (tmp_path / "cc-index-table.paths.gz").write_bytes(gzip.compress("\n".join(names).encode()))
    with serve(tmp_path) as server:
        settings = CommonCrawlSettings(index=(f"{server.prefix}cc-index-table.paths.gz",), prefix=server.prefix, **FAST)
        found = find_index(settings)
    assert [file.path for file in found] == [server.prefix + name for name in names[1:]]
    with pytest.raises(ValueError, match="lists no files"):
        find_index(CommonCrawlSettings(index=("https://example.com/*.parquet",)))
    with pytest.raises(ValueError, match="needs its index"):
        find_index(CommonCrawlSettings())
    with pytest.raises(ValueError, match="must end in a slash"):
        find_index(CommonCrawlSettings(index=("a",), prefix="s3://commoncrawl"))


def test_what_is_no_index_is_named(tmp_path):
    links = links_of(toy_webs.posts_of()[:10])
    pq.write_table(pa.table({"url": ["http://a.example/"]}), tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_bytes(b"no Parquet at all")
    for name, message in (("other", "it has no column 'fetch_time'"), ("text", "not a Parquet file")):
        settings = CommonCrawlSettings(index=(str(tmp_path / f"{name}.parquet"),))
        with pytest.raises(StageError, match=message):
            take(tmp_path / name, links, settings)
