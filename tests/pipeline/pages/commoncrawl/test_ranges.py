"""Byte ranges of far files: joined, asked again, waited for."""

import time
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from small_crawl import FAST, serve

from webtext.pipeline.pages.commoncrawl import ranges
from webtext.pipeline.pages.commoncrawl.settings import CommonCrawlSettings


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
