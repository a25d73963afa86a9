"""`webtext build` as a person meets it: Ctrl-C, errors in one line, a restart."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import finished, living, started, wait_for

from webtext.jobs.build import BuildConfig
from webtext.jobs.config import parse

MINIWEB = Path(__file__).resolve().parents[2] / "examples" / "miniweb"
WEBTEXT = [sys.executable, "-m", "webtext.jobs.cli"]


def build_command(work):
    return [
        *WEBTEXT,
        *("build", "--config", "demo", "--work", str(work), "--workers", "2"),
        *("--submissions", str(MINIWEB / "submissions.ndjson.zst"), "--warcs", str(MINIWEB / "*.warc.gz")),
    ]


def heed_interrupts():
    """Undo what a shell does to the commands that it starts in the background: they ignore Ctrl-C, and so do theirs."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_build_leaves_no_process_behind(tmp_path, stop):
    with started(
        build_command(tmp_path),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    ) as process:
        # The first pages are being extracted when the temporary file of the first part is there.
        wait_for(lambda: list((tmp_path / "documents").glob(".*.tmp")))
        if stop is signal.SIGINT:
            os.killpg(process.pid, stop)  # as a terminal does
        else:
            process.send_signal(stop)
        _, messages = process.communicate(timeout=60)
        wait_for(lambda: not living(process.pid))
    if stop is signal.SIGINT:
        assert process.returncode == 130
        assert "interrupted; the same command continues from what is finished" in messages
        assert "Traceback" not in messages
    assert not (tmp_path / "corpus" / "manifest.json").exists()


def test_a_missing_input_is_one_line(tmp_path):
    command = build_command(tmp_path)
    command[command.index("--warcs") + 1] = str(tmp_path / "nothing-*.warc.gz")
    done = finished(command, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("nothing-*.warc.gz'")
    assert "Traceback" not in done.stderr


def test_an_error_inside_a_stage_is_one_line_and_names_the_stage(tmp_path):
    unreadable = "/proc/self/mem"  # a file that can be opened; reading its beginning is an error
    command = [*build_command(tmp_path), "--submissions", unreadable]
    done = finished(command, text=True)
    assert done.returncode == 1
    assert "error: stage posts: [Errno 5] Input/output error; finished parts stay" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--links.until", "2017-13-45", "links.until is '2017-13-45', expected a day as YYYY-MM-DD"),
        ("--parts", "0", "parts is 0, expected 1 to 65536"),
        ("--shards.val-fraction", "5", "shards.val_fraction is 5.0, expected 0 to 1"),
        ("--extract.cpu-seconds", "nan", "extract.cpu_seconds is nan"),
    ],
)
def test_values_out_of_range_are_refused_before_any_work(tmp_path, flag, value, message):
    done = finished([*build_command(tmp_path), flag, value], text=True)
    assert done.returncode != 0
    assert message in " ".join(done.stderr.replace("│", "").split())  # tyro draws a box
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--documents", "a.jsonl", "--urls", "b.txt", "--warcs", "c.warc"],
            "--documents is given with --urls and --warcs",
        ),
        (["--documents", "a.jsonl", "--fetch.contact", "a@b.org"], "--documents is given with --fetch.contact"),
        (["--documents", "a.jsonl", "--commoncrawl.index", "x"], "--documents is given with --commoncrawl.index"),
        (["--urls", "b.txt", "--fields.text", "body"], "--fields.* are given, but not --documents"),
        (["--documents", "a.jsonl", "--fields.text", ""], "--fields.text is empty"),
        ([], "nothing to start from: give --submissions or --urls, or --documents"),
    ],
)
def test_a_build_starts_from_links_or_from_texts(tmp_path, capsys, flags, message):
    with pytest.raises(SystemExit):
        parse(BuildConfig, "build", ["--work", str(tmp_path), *flags], "webtext build")
    printed = capsys.readouterr()
    assert message in " ".join((printed.out + printed.err).replace("│", "").split())


def test_texts_to_a_corpus(tmp_path):
    sentence = "The old harbour town has changed a good deal since the railway came to the valley, people say. "
    (tmp_path / "in.txt").write_text(sentence * 40)
    work = tmp_path / "work"
    command = [*WEBTEXT, "build", "--config", "demo", "--work", str(work), "--documents", str(tmp_path / "*.txt")]
    done = finished(command, text=True)
    assert done.returncode == 0, done.stderr
    assert "Judge the texts" in done.stdout
    verified = finished([*WEBTEXT, "verify", str(work / "corpus")], text=True)
    assert verified.stdout.startswith("ok: ")
    why = finished([*WEBTEXT, "why", "in.txt", "--work", str(work)], text=True)
    assert (why.returncode, "id:in.txt" in why.stdout, "kept" in why.stdout) == (0, True, True)
