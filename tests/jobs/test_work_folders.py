"""What docs/work-folders.md promises: a build that is under way or was killed, and one on a read-only file system."""

import os
import shutil
import subprocess
import sys

import pytest
from processes import finished
from toy_texts import story_of
from without_engine import run_until

from webtext.jobs import cli
from webtext.pipeline import flow
from webtext.pipeline.corpus import build_corpus
from webtext.pipeline.inputs import Inputs, TextInputs
from webtext.pipeline.own_texts.settings import TextFields
from webtext.pipeline.settings import CorpusSettings, ExtractSettings

_READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


def read_only(work):
    """What a command in front of which all of this folder is read-only begins with; skips where that can't be had."""
    if os.geteuid():
        for folder, _, names in os.walk(work):
            for name in ("", *names):
                os.chmod(os.path.join(folder, name), 0o500 if not name else 0o400)
        return []
    prefix = ["unshare", "--mount", "sh", "-c", _READ_ONLY, str(work)]
    if not shutil.which("unshare") or finished([*prefix, "true"]).returncode:
        pytest.skip("root without mounts: nothing is read-only here")
    return prefix


@pytest.fixture
def texts(tmp_path):
    """A build from texts that is stopped before the shards."""
    (tmp_path / "in").mkdir()
    for number in range(5):
        (tmp_path / "in" / f"{number}.txt").write_text(story_of(number))
    settings = CorpusSettings(extract=ExtractSettings(min_tokens=0, language_probability=0), parts=2)
    inputs = Inputs((), (), texts=TextInputs.find([str(tmp_path / "in" / "*")], TextFields()))
    with pytest.raises(InterruptedError):
        build_corpus(settings, inputs, str(tmp_path / "work"), run_until(flow.SHARDS))
    return tmp_path / "work"


def test_a_build_under_way_tells_what_it_knows(texts, capsys):
    assert cli.main(["why", "3.txt", "--work", str(texts)]) == 0
    assert "undecided" in capsys.readouterr().out
    assert cli.main(["report", "--work", str(texts)]) == 1
    assert "is not the --work of a complete build" in capsys.readouterr().err
    assert cli.main(["verify", str(texts / "corpus")]) == 1
    assert "is no corpus" in capsys.readouterr().err


def test_finished_work_on_a_read_only_file_system_can_be_read(miniweb_build, tmp_path):
    work = shutil.copytree(miniweb_build, tmp_path / "work")
    before = read_only(work)

    def webtext(*args):
        done = finished([*before, sys.executable, "-m", "webtext.jobs.cli", *args], text=True, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    status, told = webtext("verify", str(work / "corpus"))
    assert (status, told[:3]) == (0, "ok:")
    _, told = webtext("why", "http://a.example/", "--work", str(work))
    assert "verdict" in told
    page = work / "report.html"
    status, told = webtext("report", "--work", str(work))
    assert status == 1
    assert told.startswith(f"error: {page} can't be written: ")
    assert told.count("\n") == 1
    assert "webtext report --out" in told
    assert webtext("report", "--work", str(work), "--out", str(tmp_path / "page.html"))[0] == 0
