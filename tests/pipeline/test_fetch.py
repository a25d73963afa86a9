"""A crawl of 300 hosts on loopback: each good page once, at its pace, each bad one with its Reason, after any kill."""

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import loopback_site
import numpy as np
import pytest
import xxhash
from fastwarc.warc import ArchiveIterator as FastIterator
from warcio.archiveiterator import ArchiveIterator

from pipeline import domains, fetch, packed, pages, storage, tabular, urls, warc, warc_writer
from pipeline.fetch_settings import FetchSettings
from pipeline.frontier import BREAKER, Frontier, Turn
from pipeline.outcome import Outcome
from pipeline.settings import ExtractSettings
from pipeline.spool import ARCHIVE, JOURNAL, PREFIX, Entry, Spool, sweep
from pipeline.stage import Shuffle, Stage, complete, emit_blocks, numbered, receipts_of, run_shuffled_part
from schemas import tables
from schemas.records import Reason

PARTS = 2
DELAY = 0.1
SETTINGS = FetchSettings(
    contact="crawl@example.org",
    delay=DELAY,
    max_delay=5.0,
    backoff=0.1,
    connect_seconds=3.0,
    read_seconds=3.0,
    total_seconds=8.0,
    ports=(),
    years=1.0,
    allow_private=True,
)
LOST = {Reason.SOFT_404, Reason.MODIFIED_LATER}  # pages that were got, and stored, but are no more what was linked to


def write_links(path, found):
    with storage.publish(str(path)) as sink:
        writer = tabular.TableWriter(sink, tables.LINKS)
        for url in found:
            writer.add(urls.link_key(url), url, 3, 1_500_000_000, [])
        writer.close()


def fetch_stage(work, settings=SETTINGS, parts=PARTS):
    """The stage as the recipe makes it, on the links tables in `work`."""
    links = tuple(sorted(str(path) for path in Path(work).glob("*.links.parquet")))
    stage = Stage(
        name="fetch",
        folder=str(Path(work) / "fetch"),
        settings={},
        inputs=links,
        parts=numbered([()] * parts),
        run=fetch.run,
        unit="links",
        shuffle=Shuffle(numbered([path] for path in links), partial(fetch.emit, parts), 0),
    )
    plan = fetch.Plan(settings, 2_000_000, links, stage.folder, stage.fingerprint)
    return Stage(
        **{name: getattr(stage, name) for name in stage.__dataclass_fields__} | {"run": partial(fetch.run, plan)}
    )


def run_part(stage, part):
    """What an engine does with one part."""
    blocks = [
        block
        for source in stage.shuffle.sources
        for ordinal, block in emit_blocks(stage.shuffle, frozenset([part.ordinal]), source)
    ]
    run_shuffled_part(stage, (part.ordinal, blocks))


def run_stage(stage):
    """Without an engine: all parts that are not done, one after the other."""
    done = receipts_of(stage)
    for part in stage.parts:
        if part.name not in done:
            run_part(stage, part)
    return complete(stage)


def crawl_of(work, port):
    """The stage on all links of the site, in two tables."""
    found = [urls.canonicalize(target.url) for target in loopback_site.targets(port)]
    Path(work).mkdir(parents=True, exist_ok=True)
    for number in range(2):
        write_links(Path(work) / f"{number:05d}.links.parquet", found[number::2])
    return fetch_stage(work)


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    """(port, work folder, rows of the captures by URL, requests that the site saw)"""
    work = tmp_path_factory.mktemp("crawl")
    with loopback_site.running(work / "log") as port:
        stage = crawl_of(work, port)
        manifest = run_stage(stage)
        assert manifest.tally.balance() == 0
    return port, work, rows_of(work), loopback_site.requests(work / "log")


def rows_of(work):
    rows = {}
    for path in sorted((work / "fetch").glob("*.captures.parquet")):
        for row in tabular.read_columns(str(path)).to_pylist():
            assert row["url"] not in rows
            rows[row["url"]] = row | {"archive": str(path).replace(".captures.parquet", ".warc.gz")}
    return rows


def page_at(row):
    with open(row["archive"], "rb") as stream:
        return warc.read_page(stream, row["offset"], 10_000_000)


def site_page(url):
    host = {host.address: host for host in loopback_site.hosts()}[urls.host_of(url)]
    return loopback_site.page_of(host, urls.path_of(url))


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
    assert all(asked[host.address, "/robots.txt"] <= 1 for host in loopback_site.hosts() if host.kind == "good")


def test_no_host_is_asked_faster_than_its_pace(crawl):
    _, _, _, requests = crawl
    last = {}
    for request in requests:
        assert request.time - last.get(request.host, -1e9) >= DELAY * 0.99, request
        last[request.host] = request.time
    # Hosts wait side by side, not one for the other.
    assert requests[-1].time - requests[0].time < 0.3 * len(requests) * DELAY


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
        assert len(captures) == kinds["response"]
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
        parts=numbered([links[:1]]),
        run=partial(pages.choose, archives),
        unit="links",
        shuffle=Shuffle(numbered([path] for path in captures), partial(pages.emit, 1), 0),
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


ONE_PART = """
import sys, test_fetch
if __name__ == "__main__":
    stage = test_fetch.fetch_stage(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    test_fetch.run_part(stage, stage.parts[int(sys.argv[2])])
"""


def test_processes_whose_links_lead_to_one_host_share_its_pace(tmp_path):
    script = tmp_path / "part.py"
    script.write_text(ONE_PART)
    environment = os.environ | {"PYTHONPATH": os.path.dirname(__file__)}
    with loopback_site.running(tmp_path / "log") as port:
        hosts = [host.address for host in loopback_site.hosts() if host.kind == "away"]
        write_links(
            tmp_path / "0.links.parquet", [f"http://{host}:{port}/{n}.html" for host in hosts for n in range(8)]
        )
        running = []
        for number in range(PARTS):
            command = [sys.executable, str(script), str(tmp_path), str(number)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
            running.append(subprocess.Popen(command, **pipes))
        for process in running:
            assert process.stdout.readline() == "ready\n"
        for process in running:
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in running:
            process.communicate()
            assert process.returncode == 0
    rows = rows_of(tmp_path)
    assert {row["verdict"] for row in rows.values()} == {""}
    part_of = {urls.host_of(url): row["archive"] for url, row in rows.items()}
    asked = [request for request in loopback_site.requests(tmp_path / "log") if request.path.startswith("/away/")]
    assert len(asked) == len(rows) == 8 * len(hosts)
    for one, two in pairwise(asked):
        assert two.time - one.time >= DELAY * 0.99
    turns = [part_of[request.path.split("/")[2]] for request in asked]
    assert sum(one != two for one, two in pairwise(turns)) > 3  # both were at it at once


KILLED = """
import sys, test_fetch
if __name__ == "__main__":
    test_fetch.run_stage(test_fetch.fetch_stage(sys.argv[1]))
"""


def test_a_killed_crawl_asks_for_no_finished_url_again(tmp_path):
    log = tmp_path / "log"
    script = tmp_path / "crawl.py"
    script.write_text(KILLED)
    environment = os.environ | {"PYTHONPATH": os.path.dirname(__file__)}
    with loopback_site.running(log) as port:
        stage = crawl_of(tmp_path, port)
        finished = []  # (lines of the log, URLs that were in a journal then)
        for _ in range(5):
            command = [sys.executable, str(script), str(tmp_path)]
            before = lines_of(stage)
            with subprocess.Popen(command, env=environment) as process:
                while process.poll() is None and lines_of(stage) < before + 80:
                    time.sleep(0.01)
                assert process.poll() is None, "the crawl ended before it could be killed"
                process.send_signal(signal.SIGKILL)
            finished.append((len(loopback_site.requests(log)), journalled(stage)))
        run_stage(stage)
        expected = {urls.canonicalize(target.url): target.verdict for target in loopback_site.targets(port)}
    requests = loopback_site.requests(log)
    for lines, done in finished:
        later = {f"http://{request.host}:{port}{request.path}" for request in requests[lines:]}
        assert len(done) >= 75
        assert not later & done
    assert {url: row["verdict"] for url, row in rows_of(tmp_path).items()} == expected
    for url, row in rows_of(tmp_path).items():
        if not row["verdict"]:
            assert page_at(row).payload == site_page(url)


def lines_of(stage):
    """Lines of all journals. A finished part leaves its own there until the next part begins."""
    paths = Path(stage.folder).glob(f"{PREFIX}*/{JOURNAL}")
    return sum(path.read_bytes().count(b"\n") for path in paths)


def journalled(stage):
    """URLs that a journal has as finished, or that a finished part has."""
    found = set()
    blocks = [
        block
        for source in stage.shuffle.sources
        for block in emit_blocks(stage.shuffle, frozenset(range(PARTS)), source)
    ]
    for part in stage.parts:
        path = Path(stage.folder) / f"{PREFIX}{part.name}" / JOURNAL
        if path.exists():
            mine = [block for ordinal, block in blocks if ordinal == part.ordinal]
            links = [source.inputs[0] for source in stage.shuffle.sources]
            targets = fetch.targets_of(packed.gather(mine, fetch._RECORD), links)
            lines = path.read_bytes().split(b"\n")[1:-1]
            found |= {targets[json.loads(line)[0]].url for line in lines}
    return found


# The pieces.


def test_the_frontier_takes_hosts_in_turn_and_gives_a_dead_one_up():
    frontier = Frontier(per_host=1)
    for row in range(BREAKER + 3):
        frontier.add("dead", row)
    frontier.add("live", 100)
    assert frontier.take(0.0) == Turn("dead", 0)
    assert frontier.take(0.0) == Turn("live", 100)
    assert frontier.take(0.0) is None
    assert frontier.next_at() is None
    assert frontier.done(Turn("live", 100), 1.0, answered=True) == []
    given_up = frontier.done(Turn("dead", 0), 1.0, answered=False)
    for row in range(1, BREAKER):
        assert given_up == []
        assert frontier.take(row - 0.1) is None
        assert frontier.next_at() == row
        turn = frontier.take(float(row))
        assert turn == Turn("dead", row)
        given_up = frontier.done(turn, row + 1.0, answered=False)
    assert given_up == [BREAKER, BREAKER + 1, BREAKER + 2]
    assert (frontier.waiting, frontier.running) == (0, 0)


def test_an_answer_makes_a_host_alive_again():
    frontier = Frontier(per_host=1)
    for row in range(2 * BREAKER):
        frontier.add("host", row)
    for row in range(2 * BREAKER):
        turn = frontier.take(0.0)
        assert frontier.done(turn, 0.0, answered=row == BREAKER - 1) == []


def test_per_host_urls_run_side_by_side():
    frontier = Frontier(per_host=2)
    for row in range(3):
        frontier.add("host", row)
    assert [frontier.take(0.0) for _ in range(3)] == [Turn("host", 0), Turn("host", 1), None]
    assert frontier.done(Turn("host", 0), 0.5, answered=True) == []
    assert frontier.take(0.5) == Turn("host", 2)


def entry_of(row, spool):
    return Entry(row, 0, 200, "text/html", "", "", end=spool.size)


@pytest.mark.parametrize("damage", ["none", "cut line", "garbage line", "records without a line", "lost bytes"])
def test_a_spool_continues_after_its_last_whole_line(tmp_path, damage):
    with Spool(str(tmp_path), "mine") as spool:
        for row in range(3):
            assert spool.append(b"x" * 10) == row * 10
            spool.finish(entry_of(row, spool))
        if damage == "records without a line":
            spool.append(b"y" * 5)
    kept = 3
    journal, archive = tmp_path / JOURNAL, tmp_path / ARCHIVE
    if damage == "cut line":
        journal.write_bytes(journal.read_bytes()[:-5])
        kept = 2
    elif damage == "garbage line":
        journal.write_bytes(journal.read_bytes() + b"[1,2]\n")
    elif damage == "lost bytes":
        archive.write_bytes(archive.read_bytes()[:25])
        kept = 2
    with Spool(str(tmp_path), "mine") as spool:
        assert [entry.row for entry in spool.entries] == list(range(kept))
        assert spool.size == archive.stat().st_size == 10 * kept
        spool.append(b"z")
        spool.finish(entry_of(9, spool))
    with Spool(str(tmp_path), "mine") as spool:
        assert [entry.row for entry in spool.entries] == [*range(kept), 9]


def test_a_spool_of_another_stage_is_not_used(tmp_path):
    with Spool(str(tmp_path), "mine") as spool:
        spool.append(b"x")
        spool.finish(entry_of(0, spool))
    with Spool(str(tmp_path), "other") as spool:
        assert (spool.entries, spool.size) == ([], 0)


def test_a_published_archive_is_not_changed_by_a_crawl_that_goes_on(tmp_path):
    final = tmp_path / "final"
    for row in range(3):
        with Spool(str(tmp_path / "spool"), "mine") as spool:
            assert [entry.row for entry in spool.entries] == list(range(row))
            spool.append(b"x" * 10)
            spool.finish(entry_of(row, spool))
            before = final.read_bytes() if row else b""
            assert before == b"x" * 10 * row
            with storage.publish(str(final)) as sink:
                sink.take(str(spool.archive))
    with Spool(str(tmp_path / "spool"), "other") as spool:  # begins anew
        assert spool.size == 0
    assert final.read_bytes() == b"x" * 30


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
        recorder = fetch.Recorder(spool, SETTINGS, limit)
        recorder.record(0, outcome)
    assert recorder.entries[0].digest == xxhash.xxh3_128_hexdigest(page)


def test_equal_links_give_equal_parts(tmp_path):
    found = [f"http://h{n}.example{n % 7}.com/{n}" for n in range(200)]
    write_links(tmp_path / "a.parquet", found)
    [source] = numbered([[str(tmp_path / "a.parquet")]])
    blocks = fetch.emit(4, source, frozenset(range(4)))
    assert sum(len(block) for _, block in blocks) == len(found) * fetch.RECORD_BYTES
    owners = {}
    for ordinal, block in blocks:
        targets = fetch.targets_of(packed.gather([block], fetch._RECORD), [str(tmp_path / "a.parquet")])
        for target in targets:
            assert owners.setdefault(domains.registered(target.url), ordinal) == ordinal
            assert target.key == urls.link_key(target.url)
    assert fetch.emit(4, source, frozenset([0]))[0][0] in (0, 1, 2, 3)
    assert np.dtype(fetch._RECORD).itemsize == 16


def test_a_build_fetches_its_pages_and_continues_without_asking_again(tmp_path):
    import webs

    from pipeline.corpus import build_corpus
    from pipeline.inputs import Inputs
    from pipeline.parts import run_stage as run_on_beam  # Beam, which the killed crawls need not import

    log = tmp_path / "log"
    kinds = ("good", "moved", "missing", "robots", "closed")
    settings = replace(webs.SETTINGS, extract=ExtractSettings(min_tokens=8, language_probability=0.0))
    with loopback_site.running(log) as port:
        chosen = [target for target in loopback_site.targets(port) if target.kind in kinds]
        chosen = [*chosen[:30], *(target for target in chosen if target.kind != "good")]
        (tmp_path / "urls.txt").write_text("".join(f"{target.url}\n" for target in chosen))
        inputs = Inputs.find([str(tmp_path / "urls.txt")], [], SETTINGS)
        make = partial(
            build_corpus, settings, inputs, str(tmp_path / "work"), partial(run_on_beam, flags=(), workers=2)
        )
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
