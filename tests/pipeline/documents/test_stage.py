"""Stage documents on real pages: the same tables for any number of workers; a child's death costs one page."""

import gzip
import os
import shutil
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import hostile
import pytest
import toy_webs
from given_tables import vouch_for
from warc_records import http, warc
from without_engine import run_here, run_until

from webtext.pipeline import flow
from webtext.pipeline.archives.warc import RawPage
from webtext.pipeline.corpus import build_corpus
from webtext.pipeline.documents import stage
from webtext.pipeline.documents.robots import RobotsOfPages
from webtext.pipeline.documents.sandboxed import make_extractor, request, verdict
from webtext.pipeline.engine.sandbox import Sandbox
from webtext.pipeline.identity.urls import link_key
from webtext.pipeline.inputs import Inputs
from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text.document import Document
from webtext.schemas.records import Loss, Reason

SENTENCE = "The old harbour town has changed a good deal since the railway came to the valley, people say. "
GOOD = f"<html><body>{''.join(f'<p>{SENTENCE * 3}{n}</p>' for n in range(10))}</body></html>".encode()
# 2 MB, 48,000 paragraphs: trafilatura copies it several times.
BIG = b"<html><body>" + b"".join(b"<p class=c%d>word %d " % (n, n) + b"y" * 15 for n in range(48_000))


def asked(payload):
    return request(RawPage("http://a.example/", 200, "text/html", None, payload, False))


def tables(work):
    return {path.name: path.read_bytes() for path in sorted((work / "documents").rglob("*.parquet"))}


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    toy_webs.write_posts(folder / "posts.ndjson.zst", toy_webs.posts_of())
    toy_webs.write_archives(folder / "archives", toy_webs.records_of(16), 2)
    return folder


def test_any_number_of_workers_writes_the_same_tables(web, tmp_path):
    found = []
    for workers in (0, 1, 3):
        work = tmp_path / str(workers)
        toy_webs.build(work, web / "posts.ndjson.zst", web / "archives" / "*", workers)
        found.append(tables(work))
    assert any("documents" in name for name in found[0])
    assert sum(map(len, found[0].values())) > 20_000
    assert found[0] == found[1] == found[2]


def test_few_large_pages_are_held_at_a_time(tmp_path):
    urls = [f"http://a.example/{number}" for number in range(10)]
    posts = [
        b'{"id": "%d", "url": "%b", "score": 9, "created_utc": 1}' % (n, url.encode()) for n, url in enumerate(urls)
    ]
    toy_webs.write_posts(tmp_path / "posts.ndjson.zst", posts)
    body = b"<html><script>" + b"x" * 3_000_000
    (tmp_path / "a.warc").write_bytes(b"".join(warc(http(body), url=url) for url in urls))
    inputs = Inputs.find([str(tmp_path / "posts.ndjson.zst")], [str(tmp_path / "a.warc")])
    work = tmp_path / "work"
    with pytest.raises(InterruptedError):
        build_corpus(replace(toy_webs.SETTINGS, parts=1), inputs, str(work), run_until(flow.DOCUMENTS, run_here))
    with ExitStack() as stack:
        read = partial(stage._read, stage._Archives(stack), ExtractSettings(), RobotsOfPages([]))
        batches = list(stage._batches(str(work / "pages" / "00000.pages.parquet"), read))
    assert [page.url for batch in batches for page, *_ in batch] == sorted(urls, key=link_key)
    assert {len(batch) for batch in batches} == {3, 1}


def test_a_page_that_needs_too_much_memory_costs_only_itself():
    settings = ExtractSettings(memory_mib=64)
    with Sandbox(partial(make_extractor, settings), settings.cpu_seconds, settings.memory_mib) as box:
        before, big, after = map(verdict, box.run([asked(GOOD), asked(BIG), asked(GOOD)]))
    assert isinstance(before, Document)
    assert before == after
    assert isinstance(big, Loss)
    assert big.reason is Reason.EXTRACT_MEMORY


def test_a_child_is_replaced_after_some_pages_and_none_is_lost():
    payloads = [b"%d" % n for n in range(40)]
    with Sandbox(hostile.make_naming, cpu_seconds=5, memory_mib=256, recycle=10) as box:
        answers = [answer.split() for at in range(0, 40, 4) for answer in box.run(payloads[at : at + 4])]
    assert [payload for _, payload in answers] == payloads
    # It is asked between batches: after 12 calls each.
    processes = [process for process, _ in answers]
    assert len(set(processes)) == 4
    assert len(set(processes[:12])) == len(set(processes[12:24])) == 1


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_an_archive_that_changes_after_it_was_indexed_costs_no_page(web, tmp_path, damage):
    shutil.copytree(web / "archives", tmp_path / "archives")
    archive = tmp_path / "archives" / "pages-1.warc.gz"
    archive.write_bytes(gzip.decompress(archive.read_bytes()))  # plain, where no checksum notices
    inputs = Inputs.find([str(web / "posts.ndjson.zst")], [str(tmp_path / "archives" / "*")])
    work = str(tmp_path / "work")
    with pytest.raises(InterruptedError):
        build_corpus(toy_webs.SETTINGS, inputs, work, run_until("documents"))
    whole, times = archive.read_bytes(), archive.stat()
    at = whole.rindex(b" the ")
    archive.write_bytes(whole[:at] if damage == "cut" else whole[:at] + b" thf " + whole[at + 5 :])
    with pytest.raises(OSError, match=r"pages-1\.warc\.gz has changed since it was indexed: at \d+, .* Restore it"):
        build_corpus(toy_webs.SETTINGS, inputs, work, run_here)
    assert archive.exists()
    archive.write_bytes(whole)
    os.utime(archive, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (
        not build_corpus(toy_webs.SETTINGS, inputs, work, run_here).stages["documents"].rejected.get("page_unreadable")
    )


def test_a_damaged_archive_of_a_stage_is_made_again(web, tmp_path):
    archive = tmp_path / "00000.warc.gz"
    archive.write_bytes(b"what a crawl has fetched")
    vouch_for([archive], "fetch")
    (tmp_path / "manifest.json").write_bytes(b"{}")
    assert "The same build command makes it again" in str(stage._changed(str(archive), 0, "no record"))
    assert list(tmp_path.iterdir()) == [archive]
