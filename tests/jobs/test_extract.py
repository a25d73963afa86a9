"""`webtext extract` as a person meets it, and beside the build of the same pages."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from processes import finished, living, started, wait_for

MINIWEB = Path(__file__).resolve().parents[2] / "examples" / "miniweb"
ARCHIVES = sorted(map(str, MINIWEB.glob("*.warc.gz")))
SLOW = (
    b"<html><body><article>"
    + b'<p>Some words <a href="/a">and a link</a> and more of them, up to the end.</p>' * 12_000
)
WEBTEXT = [sys.executable, "-m", "webtext.jobs.cli", "extract"]


def extract(*args, stdin=b""):
    # In a process of its own: the command starts a fork server, which a test process should not have.
    return finished([*WEBTEXT, *map(str, args)], input=stdin)


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def table(work, pattern):
    return [row for path in sorted(work.glob(pattern)) for row in pq.read_table(path).to_pylist()]


@pytest.fixture(scope="module")
def answers():
    """The lines on all archives."""
    done = extract(*ARCHIVES, "--workers", 2)
    assert (done.returncode, done.stderr) == (0, b"")
    return lines(done)


def test_each_page_has_the_verdict_that_the_build_gave_it(answers, miniweb_build):
    found = {(line["file"], line["offset"]): line for line in answers}
    pages = {row["key"]: row for row in table(miniweb_build, "pages/*.pages.parquet")}
    assert len(pages) > 100

    def line_of(key):
        return found[pages[key]["archive"], pages[key]["offset"]]

    documents = table(miniweb_build, "documents/*.documents.parquet")
    rejected = table(miniweb_build, "documents/*.rejected.parquet")
    assert len(documents) + len(rejected) == len(pages)
    for row in documents:
        line = line_of(row["key"])
        assert line["decision"] == "document"
        for mine, theirs in (("title", "title"), ("text", "text"), ("tokens", "token_count")):
            assert line[mine] == row[theirs]
        assert (line["published"], line["html_lang"]) == (row["published"], row["html_lang"])
        assert abs(line["english_probability"] - row["language_probability"]) < 1e-4
        assert line["language"] == "en"
    for row in rejected:
        line = line_of(row["key"])
        assert (line["decision"], line["reason"], line["detail"]) == ("rejected", row["reason"], row["detail"])
    assert {line["reason"] for line in found.values() if "reason" in line} >= {"not_english", "not_a_response"}


def test_captures_that_are_no_pages_have_the_reason_that_the_build_gave_them(answers, miniweb_build):
    captures = {
        (archive, row["offset"]): row["verdict"]
        for number, archive in enumerate(ARCHIVES)
        for row in table(miniweb_build, f"captures/{number:05}.captures.parquet")
        if row["verdict"]
    }
    rejected = sorted(row["detail"] for row in table(miniweb_build, "captures/*.rejected.parquet"))
    mine = {(line["file"], line["offset"]): line.get("reason") for line in answers}
    assert captures
    assert {place: mine[place] for place in captures} == captures
    assert sorted(line["detail"] for line in answers if line["offset"] is None) == rejected


def test_order_and_bytes_do_not_depend_on_the_workers():
    files = [ARCHIVES[1], ARCHIVES[0]]
    one, three = extract(*files, "--workers", 1), extract(*files, "--workers", 3)
    assert one.stdout == three.stdout
    order = [line["file"] for line in lines(one)]
    assert order == sorted(order, reverse=True)


def test_settings_are_those_of_the_build(tmp_path):
    page = tmp_path / "page.html"
    page.write_bytes(b"<html><body><article><p>" + b"The cat sat on the mat and looked at me. " * 5)
    [short] = lines(extract(page, "--workers", 1))
    assert (short["reason"], short["offset"], short["url"]) == ("too_short", None, "")
    flags = ("--extract.min-tokens", 10, "--url", "HTTP://EXAMPLE.com/b/../a", "--no-text", "--workers", 1)
    [kept] = lines(extract(page, *flags))
    assert (kept["decision"], kept["url"], kept["tokens"]) == ("document", "http://example.com/a", 55)
    assert "text" not in kept
    [large] = lines(extract(page, "--extract.max-page-bytes", 100, "--workers", 1))
    assert (large["reason"], large["detail"]) == ("page_too_large", "over 100 bytes")


def test_a_file_that_cant_be_read_costs_no_other(tmp_path):
    junk = tmp_path / os.fsdecode(b"junk\xff")
    junk.write_bytes(bytes(range(256)) * 10)
    done = extract(tmp_path / "none", junk, tmp_path, "-", stdin=Path(ARCHIVES[0]).read_bytes())
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        f"error: {tmp_path / 'none'}: No such file or directory",
        f"error: {tmp_path}: Is a directory",
    ]
    first, *others = lines(done)
    assert (first["file"], first["decision"]) == (str(junk), "rejected")
    assert len(others) > 100
    assert {line["file"] for line in others} == {"-"}


def test_misuse_is_one_line():
    for args, message in (
        ((), b"no file to read"),
        (("-", "--workers", "-1"), b"--workers is -1"),
        (("-", "--url", "javascript:x"), b"error: --url javascript:x: has the scheme"),
    ):
        done = extract(*args)
        assert done.returncode == 2
        assert message in done.stderr
        assert b"Traceback" not in done.stderr


def test_a_reader_that_has_had_enough(tmp_path):
    with started([*WEBTEXT, *ARCHIVES, "--workers", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        json.loads(process.stdout.readline())
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(60) == 1
        wait_for(lambda: not living(process.pid))


def heed_interrupts():
    """Undo what a shell does to the commands that it starts in the background: they ignore Ctrl-C, and so do theirs."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_is_clean_in_the_middle_of_a_page(tmp_path):
    slow = tmp_path / "slow.html"
    slow.write_bytes(SLOW)
    with started(
        [*WEBTEXT, ARCHIVES[0], str(slow), "--workers", "2", "--extract.cpu-seconds", "1000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=heed_interrupts,
    ) as process:
        assert process.stdout is not None
        for _ in range(111):  # the records of the archive: what is left is the slow page
            process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, messages = process.communicate(timeout=20)
    assert process.returncode == 130
    assert messages == b"interrupted\n"
