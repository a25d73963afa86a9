"""The stage `fetch` in processes: two that share the pace of a host, and one that is killed."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import crawl_parts
import loopback_site
from crawl_parts import DELAY, PARTS, crawl_of, journalled, page_at, rows_of, run_stage, site_page, write_links
from processes import started

from webtext.pipeline.identity import urls
from webtext.pipeline.pages.crawl.spool import JOURNAL, PREFIX

ONE_PART = """
import sys, crawl_parts
if __name__ == "__main__":
    stage = crawl_parts.fetch_stage(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    crawl_parts.run_part(stage, stage.parts[int(sys.argv[2])])
"""


PAGES = 12  # of a host: one process may have asked for some before the other begins


def test_processes_whose_links_lead_to_one_host_share_its_pace(tmp_path):
    script = tmp_path / "part.py"
    script.write_text(ONE_PART)
    environment = os.environ | {"PYTHONPATH": os.path.dirname(crawl_parts.__file__)}
    with loopback_site.running(tmp_path / "log") as port, ExitStack() as stack:
        hosts = [host.address for host in loopback_site.hosts() if host.kind == "away"]
        write_links(
            tmp_path / "0.links.parquet", [f"http://{host}:{port}/{n}.html" for host in hosts for n in range(PAGES)]
        )
        running = []
        for number in range(PARTS):
            command = [sys.executable, str(script), str(tmp_path), str(number)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
            running.append(stack.enter_context(started(command, **pipes)))
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
    assert len(asked) == len(rows) == PAGES * len(hosts)
    for one, two in pairwise(asked):
        assert two.time - one.time >= DELAY * 0.99
    turns = [part_of[request.path.split("/")[2]] for request in asked]
    assert sum(one != two for one, two in pairwise(turns)) > 3  # both were at it at once


KILLED = """
import sys, crawl_parts
if __name__ == "__main__":
    crawl_parts.run_stage(crawl_parts.fetch_stage(sys.argv[1]))
"""


def test_a_killed_crawl_asks_for_no_finished_url_again(tmp_path):
    log = tmp_path / "log"
    script = tmp_path / "crawl.py"
    script.write_text(KILLED)
    environment = os.environ | {"PYTHONPATH": os.path.dirname(crawl_parts.__file__)}
    with loopback_site.running(log) as port:
        stage = crawl_of(tmp_path, port)
        finished = []  # (lines of the log, URLs that were in a journal then)
        for _ in range(5):
            command = [sys.executable, str(script), str(tmp_path)]
            before = lines_of(stage)
            with started(command, env=environment) as process:
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
