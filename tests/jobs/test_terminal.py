"""Nothing that strangers wrote acts on a terminal: each command, given hostile names."""

import json
import shutil
import sys

import pyarrow.parquet as pq
import pytest
from given_tables import vouch_for
from hostile_names import HOSTILE, unseen
from loopback import answer, serving
from processes import finished
from rich.console import Console

from webtext.jobs import cli
from webtext.jobs.funnel import print_funnel
from webtext.pipeline.account.report_page import build_report
from webtext.pipeline.engine.progress import watch
from webtext.pipeline.engine.stage import Stage, numbered
from webtext.schemas.manifest import CorpusManifest, Tally
from webtext.schemas.visible import visible

FORGED = "\nerror: forged"


def printed(capsys):
    """What the command printed, in which nothing unseen is but line ends."""
    out, err = capsys.readouterr()
    for text in (out, err):
        assert not unseen(text, keep="\n"), text
        assert FORGED not in text
        assert FORGED.strip() not in text.splitlines()
    return out, err


@pytest.mark.parametrize(
    "args",
    [
        [HOSTILE],
        ["build", f"--{HOSTILE}", "--work", "w", "--urls", "u"],
        ["build", "--config", HOSTILE, "--work", "w", "--urls", "u"],
        ["build", "--config", f"{HOSTILE}/x.toml", "--work", "w", "--urls", "u"],
        ["build", "--work", HOSTILE, "--urls", f"no/{HOSTILE}"],
        ["build", "--work", "w", "--urls", "u", "--parts", HOSTILE],
        ["why", HOSTILE, "--work", f"no/{HOSTILE}"],
        ["verify", f"no/{HOSTILE}"],
        ["verify", "one", HOSTILE],
        ["report", "--work", f"no/{HOSTILE}"],
        ["changes", f"no/{HOSTILE}", "b", "--output", "o"],
        ["reextract", f"no/{HOSTILE}", "--output", "o"],
        ["extract", f"no/{HOSTILE}"],
        ["extract", "x.html", "--url", HOSTILE],
        ["fetch", HOSTILE, "--contact", HOSTILE],
        ["posts", "--praw", "--subreddits", HOSTILE, "--out", HOSTILE],
        ["curve", f"no/{HOSTILE}"],
        ["sample", f"no/{HOSTILE}"],
        ["pretrain", "--data", f"no/{HOSTILE}", "--out", HOSTILE],
    ],
    ids=lambda args: f"{args[0] if args[0].isalpha() else 'no'}-command",
)
def test_errors_name_hostile_names_and_no_more(args, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        status = cli.main(args)
    except SystemExit as stop:  # tyro's
        status = stop.code
    assert status
    assert "".join(printed(capsys))


def test_why_tells_of_hostile_posts_and_captures(miniweb_build, tmp_path, capsys):
    work = tmp_path / "work"
    shutil.copytree(miniweb_build, work)
    url = None
    for path in sorted((work / "links").glob("*.links.parquet")):
        table = pq.read_table(path)
        rows = table.to_pylist()
        for row in rows:
            url = url or row["url"]
            row["posts"] = [post | {"title": HOSTILE, "subreddit": "s\x1b[1m[bold]"} for post in row["posts"]]
        pq.write_table(type(table).from_pylist(rows, table.schema), path)
        vouch_for(sorted(path.parent.glob(f"{path.name.split('.')[0]}.*.parquet")))
    for path in sorted((work / "captures").glob("*.captures.parquet")):
        table = pq.read_table(path)
        rows = [row | {"content_type": HOSTILE} for row in table.to_pylist()]
        pq.write_table(type(table).from_pylist(rows, table.schema), path)
        vouch_for(sorted(path.parent.glob(f"{path.name.split('.')[0]}.*.parquet")))
    assert cli.main(["why", url, "--work", str(work)]) == 0
    out, _ = printed(capsys)
    assert r"r/s\x1b[1m[bold]" in out
    assert r"\x1b[31m" in "".join(out.split())
    assert cli.main(["why", url, HOSTILE, "--work", str(work), "--json"]) == 1
    told, unknown = [json.loads(line) for line in printed(capsys)[0].splitlines()]
    assert told["posts"][0]["title"] == HOSTILE
    assert unknown["asked"] == HOSTILE


def test_extract_tells_of_hostile_files(tmp_path, capsys):
    page = tmp_path / f"{HOSTILE}.html"
    page.write_text(f"<title>{HOSTILE}</title><p>{'Some words of a text. ' * 40}")
    missing = tmp_path / f"{HOSTILE}.no"
    done = finished([sys.executable, "-m", "webtext.jobs.cli", "extract", str(page), str(missing), "--workers", "1"])
    assert done.returncode == 1
    out, err = done.stdout.decode(), done.stderr.decode()
    assert not unseen(out + err, keep="\n")
    assert FORGED not in out + err
    assert json.loads(out)["file"] == str(page)


def test_fetch_tells_of_hostile_headers(capsys):
    kind = "\x9b31m\x7fx/\u00adz"  # C1 and DEL: what a header may carry in Latin-1
    with serving({"/": answer(kind=kind)}) as server:
        flags = ["--contact", "me@example.org", "--allow-private", "--ports", str(server.port), "--retries", "0"]
        assert cli.main(["fetch", server.url("/"), HOSTILE, *flags]) == 1
    told = [json.loads(line) for line in printed(capsys)[0].splitlines()]
    assert [line["url"] for line in told] == [server.url("/"), HOSTILE]


def test_verify_tells_of_hostile_names_in_a_manifest(miniweb_build, tmp_path, capsys):
    corpus = tmp_path / HOSTILE
    shutil.copytree(miniweb_build / "corpus", corpus)
    manifest = corpus / "manifest.json"
    text = manifest.read_text().replace("train-00000.arrow", json.dumps(HOSTILE)[1:-1])
    manifest.write_text(text)
    assert cli.main(["verify", str(corpus)]) == 1
    assert r"\x1b[31m" in printed(capsys)[0]


def test_the_funnel_and_its_warnings(capsys):
    tally = Tally(5, 3, 3, {"bad_url": 2}, {f"rule {HOSTILE}": 2})
    manifest = CorpusManifest({}, {HOSTILE: tally}, (), (), {})
    print_funnel(manifest, Console(highlight=False, width=1000), [HOSTILE])
    assert printed(capsys)[0].count(r"\x1b[31m") == 3


def test_the_progress_of_a_stage(tmp_path, monkeypatch, capsys):
    stage = Stage("fetch", str(tmp_path), {}, (), numbered([{}]), lambda *_: None, "links", live=lambda _: HOSTILE)
    with watch(stage) as tell:
        tell(HOSTILE)
    assert r"\x1b[31m" in printed(capsys)[1]


@pytest.mark.parametrize("start", ["webtext.jobs.cli.main(['--version'])", "webtext.pipeline.preload"])
def test_warnings_of_libraries_in_the_launcher_and_its_workers(start):
    module = start.partition(".main")[0]
    script = f"import logging, sys, {module}\n{start}\nlogging.getLogger('library').warning('no page: %s', sys.argv[1])"
    done = finished([sys.executable, "-c", script, HOSTILE])
    assert done.stderr.decode() == f"no page: {visible(HOSTILE)}\n"


def test_the_report_shows_what_cannot_be_seen(miniweb_build):
    page = build_report(str(miniweb_build), HOSTILE)
    assert not unseen(page, keep="\n")
    assert r"\x1b[31m" in page
