"""Nothing stays in TMPDIR: a launcher removes its own folder, and those of launchers that were killed."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from processes import finished, started, wait_for

ROOT = Path(__file__).resolve().parents[3]
MINIWEB = ROOT / "examples" / "miniweb"


@pytest.fixture
def temporary():
    """An empty TMPDIR with a short name."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def build(work):
    return [
        *(sys.executable, "-m", "webtext.jobs.cli", "build", "--config", "demo", "--work", str(work), "--workers", "2"),
        *("--submissions", str(MINIWEB / "submissions.ndjson.zst"), "--warcs", str(MINIWEB / "*-00000.warc.gz")),
    ]


def default_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
def test_a_build_leaves_nothing_and_removes_what_killed_ones_left(tmp_path, temporary):
    environment = {**os.environ, "TMPDIR": str(temporary)}
    foreign = ["pymp-12345678", "webtext-own-files", "webtext-1", "beam-pipeline-temp1"]
    for name in foreign:
        (temporary / name).mkdir()
    (temporary / "webtext-2-link").symlink_to(tmp_path)
    there = sorted([*foreign, "webtext-2-link"])

    def left():
        return sorted(path.name for path in temporary.iterdir())

    def at_work(work="work"):
        return list((tmp_path / work / "documents").glob(".*.tmp"))

    with started(build(tmp_path / "work"), env=environment, stderr=subprocess.DEVNULL) as process:
        wait_for(at_work)
        [mine] = set(left()) - set(there)
        assert mine.startswith(f"webtext-{process.pid}-")
        assert {path.name[:5] for path in (temporary / mine).iterdir()} == {"pymp-", "beam-"}
        process.send_signal(signal.SIGSTOP)  # lest it end before the other
        other = finished(build(tmp_path / "work"), env=environment, text=True)  # which ends with an error
        assert other.returncode == 1
        assert "another build is at work in" in other.stderr
        assert left() == sorted([*there, mine])
        process.kill()
        process.wait()
    assert left() == sorted([*there, mine])
    with started(
        build(tmp_path / "other"), env=environment, stderr=subprocess.DEVNULL, preexec_fn=default_interrupts
    ) as process:
        wait_for(lambda: at_work("other"))
        assert mine not in left()
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
    assert left() == there
    done = finished(build(tmp_path / "work"), env=environment, text=True)
    assert done.returncode == 0, done.stderr
    assert left() == there
    page = tmp_path / "page.html"
    page.write_text("<html><body><p>A page.</p></body></html>")
    extract = [sys.executable, "-m", "webtext.jobs.cli", "extract", str(page), "--url", "http://a.example/"]
    assert finished(extract, env=environment).returncode == 0
    assert left() == there


def test_a_folder_with_a_long_name_is_used_as_it_is(temporary):
    folder = temporary / ("x" * 60)
    folder.mkdir()
    code = """
import os, tempfile
from webtext.pipeline.engine.scratch import scratch
with scratch():
    print(tempfile.gettempdir(), os.environ["TMPDIR"])
"""
    done = finished([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(folder)}, text=True)
    assert done.stdout.split() == [str(folder)] * 2
    assert list(folder.iterdir()) == []
