"""A crawl of 300 hosts on loopback: each good page once, at its pace, each bad one with its Reason."""

import gzip
import io
from collections import Counter
from dataclasses import replace
from functools import partial

import loopback_site
import pytest
import toy_webs
import xxhash
from crawl_parts import (
    DELAY,
    LOST,
    PARTS,
    SETTINGS,
    crawl_of,
    fetch_stage,
    page_at,
    rows_of,
    run_stage,
    site_page,
    write_links,
)
from fastwarc.warc import ArchiveIterator as FastIterator
from warcio.archiveiterator import ArchiveIterator
from without_engine import run_here

from webtext.pipeline.archives import warc, warc_writer
from webtext.pipeline.corpus import build_corpus
from webtext.pipeline.engine import packed
from webtext.pipeline.engine.stage import Shuffle, Stage, complete, emit_blocks, numbered, run_shuffled_part
from webtext.pipeline.identity import domains, urls
from webtext.pipeline.inputs import Inputs
from webtext.pipeline.pages.crawl.outcome import Outcome
from webtext.pipeline.pages.crawl.recorder import Recorder
from webtext.pipeline.pages.crawl.spool import PREFIX, Spool, sweep
from webtext.pipeline.pages.crawl.stage import _RECORD, emit_fetch, targets_of
from webtext.pipeline.pages.stages import emit_pages, run_pages
from webtext.pipeline.settings import ExtractSettings
from webtext.schemas.records import Reason


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    """(port, work folder, rows of the captures by URL, requests that the site saw)"""
    work = tmp_path_factory.mktemp("crawl")
    with loopback_site.running(work / "log") as port:
        stage = crawl_of(work, port)
        manifest = run_stage(stage)
        assert manifest.tally.balance() == 0
    return port, work, rows_of(work), loopback_site.requests(work / "log")


def test_every_link_has_its_page_or_its_reason(crawl):
    port, _, rows, _ = crawl
    expected = {urls.canonicalize(target.url): target.verdict for target in loopback_site.targets(port)}
    assert {url: row["verdict"] for url, row in rows.items()} == expected
    for url, row in rows.items():
        assert row["key"] == urls.link_key(url)
        assert (row["offset"] >= 0) == (not row["verdict"] or row["verdict"] in LOST)
    assert len({row["archive"] for row in rows.values()}) == PARTS


def test_pages_read_back_as_the_site_served_them(crawl):
    _, _, rows, _ = crawl
    for url, row in rows.items():
        if not row["verdict"]:
            page = page_at(row)
            assert page.payload == site_page(url), url
            assert (page.status, page.content_type) == (200, "text/html")


def test_each_good_page_is_asked_for_once(crawl):
    port, _, _, requests = crawl
    asked = Counter((request.host, request.path) for request in requests)
    for target in loopback_site.targets(port):
        host, path = urls.host_of(target.url), urls.path_of(target.url)
        if target.kind in ("good", "moved", "pdf", "missing", "noai"):
            assert asked[host, path] == 1
        elif target.kind == "robots":
            assert asked[host, path] == 0
    good = [host.address for host in loopback_site.hosts() if host.kind == "good"]
    # Once more only where they are in the sample that is asked before dead hosts are given up.
    assert sum(1 for address in good if asked[address, "/robots.txt"] > 1) <= 20


def test_no_host_is_asked_faster_than_its_pace(crawl):
    _, _, _, requests = crawl
    first, last = {}, {}
    for request in requests:
        assert request.time - last.get(request.host, -1e9) >= DELAY * 0.99, request
        first.setdefault(request.host, request.time)
        last[request.host] = request.time
    # Hosts wait side by side, not one for the other.
    assert sum(last[host] - first[host] for host in last) > 3 * (requests[-1].time - requests[0].time)


def test_archives_are_read_alike_by_three_libraries(crawl):
    _, work, rows, _ = crawl
    for path in sorted((work / "fetch").glob("*.warc.gz")):
        digests, kinds = [], Counter()
        with path.open("rb") as stream:
            records = ArchiveIterator(stream, check_digests=True)
            for record in records:
                kinds[record.rec_type] += 1
                assert record.rec_headers.protocol == "WARC/1.1"
                record.content_stream().read()
                if record.rec_type in ("response", "revisit"):
                    digests.append(record.rec_headers.get_header("WARC-Payload-Digest"))
            assert records.err_count == 0
            assert records.read_to_end(record) is None
        fast, fast_digests = Counter(), []
        for record in FastIterator(path.open("rb"), parse_http=False):
            fast[record.headers["WARC-Type"]] += 1
            if record.headers["WARC-Type"] in ("response", "revisit"):
                fast_digests.append(record.headers["WARC-Payload-Digest"])
            record.reader.read()
        assert fast == kinds
        assert fast_digests == digests
        with path.open("rb") as stream:
            own = list(warc.index_archive(stream, str(path), 10_000_000))
        captures = [found for found in own if isinstance(found, warc.Capture)]
        assert len(own) == sum(kinds.values())
        assert len(captures) == kinds["response"] + kinds["revisit"]
        assert sum(capture.verdict == Reason.REVISIT for capture in captures) == kinds["revisit"]
        assert not [found for found in own if not isinstance(found, warc.Capture) and found.reason == Reason.BAD_RECORD]
        assert kinds["warcinfo"] == 1
        assert kinds["request"] == kinds["response"] + kinds["revisit"]
        assert kinds["revisit"] > 5
        # What the index of the archive says of a page is what the stage says.
        by_offset = {capture.offset: capture for capture in captures}
        for row in rows.values():
            if row["archive"] == str(path) and not row["verdict"]:
                capture = by_offset[row["offset"]]
                assert (capture.status, capture.content_type, capture.digest) == (200, "text/html", row["digest"])


def test_a_redirected_page_keeps_the_key_of_its_link(crawl):
    port, _, rows, _ = crawl
    target = next(target for target in loopback_site.targets(port) if target.kind == "moved")
    row = rows[urls.canonicalize(target.url)]
    assert page_at(row).url.endswith("/new/0.html") or row["verdict"] == ""
    with open(row["archive"], "rb") as stream:
        hops = [found for found in warc.index_archive(stream, "", 10**6) if getattr(found, "status", 0) == 301]
    assert row["url"] in {hop.url for hop in hops}


def test_pages_rejects_each_failure_with_its_own_reason(crawl, tmp_path):
    port, work, _, _ = crawl
    captures = sorted(str(path) for path in (work / "fetch").glob("*.captures.parquet"))
    archives = [path.replace(".captures.parquet", ".warc.gz") for path in captures]
    links = sorted(str(path) for path in work.glob("*.links.parquet"))
    stage = Stage(
        name="pages",
        folder=str(tmp_path),
        settings={},
        inputs=[],
        parts=numbered([{"links": links[:1]}]),
        run=Shuffle(
            sources=numbered({"captures": [path]} for path in captures),
            emit=partial(emit_pages, 1),
            run=partial(run_pages, archives),
            bytes=0,
        ),
        unit="links",
    )
    blocks = [
        block for source in stage.shuffle.sources for _, block in emit_blocks(stage.shuffle, frozenset([0]), source)
    ]
    run_shuffled_part(stage, (0, blocks))
    tally = complete(stage).tally
    targets = loopback_site.targets(port)[0::2]
    assert tally.rejected == Counter(target.verdict for target in targets if target.verdict)
    assert tally.passed == sum(1 for target in targets if not target.verdict)


def test_spools_are_gone_when_the_receipts_are_there(crawl):
    _, work, _, _ = crawl
    stage = fetch_stage(work)
    sweep(stage.folder, "of another stage")
    assert list((work / "fetch").glob(f"{PREFIX}*"))
    sweep(stage.folder, stage.fingerprint)
    assert not list((work / "fetch").glob(f"{PREFIX}*"))


def test_a_url_adds_no_field_to_a_record():
    exchange = warc_writer.Exchange("http://a/\r\nX-Evil: 1", 0.0, "", b"", b"HTTP/1.1 200 OK\r\n\r\n", b"")
    [record] = ArchiveIterator(io.BytesIO(warc_writer.response(exchange, exchange.digest)))
    assert record.rec_headers.get_header("X-Evil") is None
    assert gzip.decompress(warc_writer.request(exchange)).startswith(b"WARC/1.1\r\n")


@pytest.mark.parametrize(("limit", "page"), [(SETTINGS.max_page_bytes, b"<p>judged"), (4, b"<p>st")])
def test_a_page_is_decoded_again_only_for_another_limit(tmp_path, limit, page):
    outcome = Outcome("http://a.example/", "http://a.example/", 200, page=b"<p>judged", payload=b"<p>stored")
    outcome.response_head = b"HTTP/1.1 200 OK\r\n\r\n"
    with Spool(str(tmp_path), "f") as spool:
        recorder = Recorder(spool, SETTINGS, limit)
        recorder.record(0, outcome)
    assert recorder.entries[0].digest == xxhash.xxh3_128_hexdigest(page)


def test_equal_links_give_equal_parts(tmp_path):
    found = [f"http://h{n}.example{n % 7}.com/{n}" for n in range(200)]
    write_links(tmp_path / "a.parquet", found)
    [source] = numbered([{"links": [str(tmp_path / "a.parquet")]}])
    blocks = emit_fetch(4, source, frozenset(range(4)))
    assert sum(len(block) for _, block in blocks) == len(found) * _RECORD.itemsize
    owners = {}
    for ordinal, block in blocks:
        targets = targets_of(packed.gather([block], _RECORD), [str(tmp_path / "a.parquet")])
        for target in targets:
            assert owners.setdefault(domains.registered(target.url), ordinal) == ordinal
            assert target.key == urls.link_key(target.url)
    assert emit_fetch(4, source, frozenset([0]))[0][0] in (0, 1, 2, 3)
    assert _RECORD.itemsize == 16


def test_a_build_fetches_its_pages_and_continues_without_asking_again(tmp_path):
    log = tmp_path / "log"
    kinds = ("good", "moved", "missing", "robots", "closed")
    settings = replace(toy_webs.SETTINGS, extract=ExtractSettings(min_tokens=8, language_probability=0.0))
    with loopback_site.running(log) as port:
        chosen = [target for target in loopback_site.targets(port) if target.kind in kinds]
        chosen = [*chosen[:30], *(target for target in chosen if target.kind != "good")]
        (tmp_path / "urls.txt").write_text("".join(f"{target.url}\n" for target in chosen))
        inputs = Inputs.find([str(tmp_path / "urls.txt")], [], SETTINGS)
        make = partial(build_corpus, settings, inputs, str(tmp_path / "work"), run_here)
        manifest = make()
        asked = len(loopback_site.requests(log))
        (tmp_path / "work" / "pages" / "manifest.json").unlink()
        assert make().content_sha256() == manifest.content_sha256()
        assert len(loopback_site.requests(log)) == asked
    stages = manifest.stages
    assert stages["pages"].rejected == Counter(target.verdict for target in chosen if target.verdict)
    assert stages["documents"].passed > 15
    assert manifest.build["stages"][0]["stage"] == "fetch"
    assert not list((tmp_path / "work" / "fetch").glob(f"{PREFIX}*"))
    with pytest.raises(ValueError, match="input live web was True, is None"):
        build_corpus(settings, replace(inputs, fetch=None), str(tmp_path / "work"), None)
