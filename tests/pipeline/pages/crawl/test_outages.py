"""The stage `fetch` in processes, while hosts or the whole network are away for a while, and under Ctrl-C."""

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import crawl_parts
import loopback_site
import pytest
from crawl_parts import SETTINGS, fetch_stage, journalled, rows_of, run_part, run_stage, write_links
from loopback import answer, moved, serving
from processes import finished, living, started, wait_for

from webtext.pipeline.engine.stage import RECEIPT, StageError
from webtext.pipeline.identity import urls
from webtext.pipeline.pages.crawl.spool import JOURNAL, LIVE, PREFIX
from webtext.pipeline.pages.crawl.uplink import sample_of

CRAWL = """
import sys, crawl_parts
from dataclasses import replace
if __name__ == "__main__":
    settings = replace(crawl_parts.SETTINGS, revisits=int(sys.argv[2]))
    crawl_parts.run_stage(crawl_parts.fetch_stage(sys.argv[1], settings, parts=1))
"""
GOOD = [host.address for host in loopback_site.hosts() if host.kind == "good"]
AGAIN = {"silent", "lying", "refusing", "unwell", "closed"}  # kinds whose failure may pass
PATIENT = 8  # revisits: two minutes with these settings


def crawl(work, revisits):
    """The stage in a process of its own, as `started` wants it."""
    script = work / "crawl.py"
    script.write_text(CRAWL)
    environment = os.environ | {"PYTHONPATH": os.path.dirname(crawl_parts.__file__)}
    return started(
        [sys.executable, str(script), str(work), str(revisits)], env=environment, stderr=subprocess.PIPE, text=True
    )


def set_aside(work):
    """Whether the crawl says that it has set a host aside."""
    live = work / "fetch" / f"{PREFIX}00000" / LIVE
    return live.exists() and '"hosts_aside": 0' not in live.read_text()


SITE_FILES = ("/robots.txt", "/.well-known/tdmrep.json")


def pages_asked(log):
    return Counter((r.host, r.path) for r in loopback_site.requests(log) if r.path not in SITE_FILES)


def journal_lines(folder):
    return sum(path.read_bytes().count(b"\n") - 1 for path in Path(folder).glob(f"{PREFIX}*/{JOURNAL}"))


def test_a_host_that_is_down_for_a_while_loses_no_url(tmp_path):
    with loopback_site.running(tmp_path / "others") as others, ExitStack() as first:
        port = first.enter_context(loopback_site.running(tmp_path / "log"))
        write_links(
            tmp_path / "0.links.parquet",
            [
                *(f"http://{GOOD[0]}:{port}/{n}.html" for n in range(40)),
                *(f"http://{host}:{others}/0.html" for host in GOOD[:20]),
            ],
        )
        with crawl(tmp_path, PATIENT) as process:
            wait_for(lambda: len(pages_asked(tmp_path / "log")) >= 8)
            first.close()
            wait_for(lambda: set_aside(tmp_path))
            with loopback_site.running(tmp_path / "log", port):
                _, errors = process.communicate()
    assert process.returncode == 0, errors
    rows = rows_of(tmp_path)
    assert len(rows) == 60
    assert {row["verdict"] for row in rows.values()} == {""}


def test_a_host_that_is_down_when_the_crawl_begins_loses_no_url(tmp_path):
    with loopback_site.running(tmp_path / "log") as port:
        pass
    down = [f"http://{GOOD[0]}:{port}/{n}.html" for n in range(20)]
    with loopback_site.running(tmp_path / "other") as other:
        write_links(tmp_path / "0.links.parquet", [*down, f"http://{GOOD[1]}:{other}/0.html"])
        with crawl(tmp_path, PATIENT) as process:
            wait_for(lambda: set_aside(tmp_path))
            with loopback_site.running(tmp_path / "log", port):
                _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert [row["verdict"] for row in rows_of(tmp_path).values()] == [""] * 21


def test_a_network_that_is_lost_stops_the_crawl_which_goes_on_when_it_is_back(tmp_path):
    log = tmp_path / "log"
    with ExitStack() as first:
        port = first.enter_context(loopback_site.running(log))
        found = [f"http://{host}:{port}/{n}.html" for host in GOOD[:60] for n in range(4)]
        write_links(tmp_path / "0.links.parquet", found)
        stage = fetch_stage(tmp_path, replace(SETTINGS, revisits=PATIENT), parts=1)
        with crawl(tmp_path, revisits=1) as process:
            wait_for(lambda: journal_lines(stage.folder) >= 80)
            first.close()
            _, errors = process.communicate()
    assert process.returncode == 1
    assert "0 of 20 hosts of the crawl answer: is the network of this machine up? No URL is given up" in errors
    assert not list((tmp_path / "fetch").glob(f"*{RECEIPT}"))
    done, asked = journalled(stage), len(loopback_site.requests(log))
    with loopback_site.running(log, port):
        run_stage(stage)
    later = {f"http://{request.host}:{port}{request.path}" for request in loopback_site.requests(log)[asked:]}
    assert len(done) >= 80
    assert not later & done
    assert {url: row["verdict"] for url, row in rows_of(tmp_path).items()} == dict.fromkeys(found, "")


def test_a_host_that_leads_to_dead_ones_is_not_given_up_with_them(tmp_path):
    dead = [f"/{n}" for n in range(8)]
    elsewhere = f"http://{GOOD[0]}:{loopback_site.CLOSED_PORT}/"
    with serving({**dict.fromkeys(dead, moved(elsewhere)), "/page": answer()}) as server:
        write_links(tmp_path / "0.links.parquet", [server.url(path) for path in [*dead, "/page"]])
        run_stage(fetch_stage(tmp_path, parts=1))
    verdicts = {url: row["verdict"] for url, row in rows_of(tmp_path).items()}
    assert verdicts == {server.url("/page"): ""} | {server.url(path): "connect_failed" for path in dead}


@pytest.mark.parametrize(
    ("hosts", "reason"),
    [
        ([f"{host}:{loopback_site.CLOSED_PORT}" for host in GOOD[:7]], "connect_failed"),
        ([f"host{n}.invalid" for n in range(7)], "dns_failed"),  # RFC 6761: a name that never exists
    ],
    ids=["refused", "no-name"],
)
def test_a_crawl_of_dead_hosts_gives_none_up_unless_it_is_told_to(tmp_path, hosts, reason):
    found = [f"http://{host}/{n}.html" for host in hosts for n in range(2)]
    write_links(tmp_path / "0.links.parquet", found)
    with pytest.raises(StageError, match=r"0 of 7 hosts of the crawl answer.*--fetch\.answering 0"):
        run_stage(fetch_stage(tmp_path))
    assert not list((tmp_path / "fetch").glob("[0-9]*"))
    assert journal_lines(tmp_path / "fetch") == 0
    run_stage(fetch_stage(tmp_path, replace(SETTINGS, answering=0.0)))
    assert Counter(row["verdict"] for row in rows_of(tmp_path).values()) == {reason: 14}


def test_a_part_of_dead_hosts_is_given_up_where_others_answer(tmp_path):
    dead = [f"http://{host}:{loopback_site.CLOSED_PORT}/{n}.html" for host in GOOD[:2] for n in range(9)]
    with loopback_site.running(tmp_path / "log") as port:
        write_links(tmp_path / "0.links.parquet", [*dead, *(f"http://{host}:{port}/0.html" for host in GOOD[9:14])])
        run_stage(fetch_stage(tmp_path, parts=4))
    verdicts = Counter((url in dead, row["verdict"]) for url, row in rows_of(tmp_path).items())
    # Five, and one for each further try.
    assert verdicts == {(True, "connect_failed"): 12, (True, "host_down"): 6, (False, ""): 5}


@pytest.mark.slow
def test_another_run_asks_again_for_what_may_have_passed(tmp_path):
    log = tmp_path / "log"
    kinds = {*AGAIN, "missing", "pdf", "empty", "robots", "moved", "front", "loop", "noai"}
    with loopback_site.running(log) as port:
        chosen = [target for target in loopback_site.targets(port) if target.kind in kinds]
        write_links(tmp_path / "0.links.parquet", [urls.canonicalize(target.url) for target in chosen])
        stage = fetch_stage(tmp_path, parts=1)
        run_part(stage, stage.parts[0])
        rows = rows_of(tmp_path)
        lines = len(loopback_site.requests(log))
        os.unlink(Path(stage.folder) / f"{stage.parts[0].name}{RECEIPT}")  # as if it had been killed before this
        run_part(stage, stage.parts[0])
    later = {(request.host, request.path) for request in loopback_site.requests(log)[lines:]}
    pages = {(urls.host_of(target.url), urls.path_of(target.url)) for target in chosen if target.kind in AGAIN}
    closed = {(urls.host_of(target.url), urls.path_of(target.url)) for target in chosen if target.kind == "closed"}
    assert {(host, path) for host, path in later if path not in SITE_FILES} == pages - closed
    verdicts = {url: row["verdict"] for url, row in rows.items()}
    assert verdicts == {urls.canonicalize(target.url): target.verdict for target in chosen}
    assert {url: row["verdict"] for url, row in rows_of(tmp_path).items()} == verdicts


def test_the_sample_is_of_hosts_from_all_tables(tmp_path):
    for table in range(3):
        found = [f"http://h{table}-{n // 2}.example/{n}" for n in range(40)]
        write_links(tmp_path / f"{table}.links.parquet", found)
    write_links(tmp_path / "3.links.parquet", [])
    write_links(tmp_path / "4.links.parquet", ["http://lone.example/"])
    sample = sample_of([str(tmp_path / f"{table}.links.parquet") for table in range(5)])
    hosts = [urls.host_of(url) for url in sample]
    assert len(set(hosts)) == len(hosts) == 20
    assert Counter(host[:2] for host in hosts) == {"h0": 7, "h1": 6, "h2": 6, "lo": 1}


def build(work, port, *flags):
    """The command for a build from the live web."""
    polite = ["--fetch.contact", "crawl@example.org", "--fetch.allow-private", "--fetch.ports", str(port)]
    inputs = ["--urls", str(work / "urls.txt"), "--work", str(work / "work"), "--parts", "8", "--workers", "2"]
    return [sys.executable, "-m", "webtext.jobs.cli", "build", *inputs, *polite, *flags]


@pytest.mark.slow
def test_a_build_without_a_network_ends_with_a_sentence(tmp_path):
    (tmp_path / "urls.txt").write_text("".join(f"http://{host}:{loopback_site.CLOSED_PORT}/\n" for host in GOOD[:9]))
    short = ["--fetch.revisits", "1", "--fetch.revisit-delay", "0.1", "--fetch.backoff", "0"]
    done = finished(build(tmp_path, loopback_site.CLOSED_PORT, *short), text=True)
    assert done.returncode == 1
    assert "error: stage fetch: 0 of 9 hosts of the crawl answer" in done.stderr
    assert not list((tmp_path / "work" / "fetch").glob("*.parquet"))


@pytest.mark.slow
def test_the_first_ctrl_c_ends_all_processes_and_costs_what_is_under_way(tmp_path):
    log = tmp_path / "log"
    spools = tmp_path / "work" / "fetch"
    with loopback_site.running(log) as port:
        pages = (f"http://{host}:{port}/{n}.html\n" for host in GOOD for n in range(40))
        (tmp_path / "urls.txt").write_text("".join(pages))
        runs = []  # (pages that were asked for, lines in the journals at the end)
        for _ in range(2):
            before = sum(pages_asked(log).values()) if log.exists() else 0
            with started(build(tmp_path, port), stderr=subprocess.PIPE, text=True) as process:
                wait_for(lambda before=before: sum(pages_asked(log).values()) >= before + 300)
                os.killpg(process.pid, signal.SIGINT)
                _, errors = process.communicate()  # which `started` ends at its limit
                wait_for(lambda process=process: not living(process.pid))
            assert process.returncode == 130, errors
            assert "interrupted; the same command continues" in errors
            runs.append((pages_asked(log), journal_lines(spools)))
    (first, kept), (both, more) = runs
    assert kept >= 200
    assert more > kept
    assert sum(1 for page in both if both[page] > 1) <= sum(first.values()) - kept
