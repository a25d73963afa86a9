import doctest
import json
import os
import sys

import pytest
import toy_webs
from processes import finished

import webtext
from webtext.jobs import demo
from webtext.jobs.demo import DemoConfig
from webtext.pipeline.release import reading


def test_the_mini_web_is_found_here_or_in_the_source(tmp_path, monkeypatch):
    (tmp_path / "source" / "examples" / "miniweb").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    source = tmp_path / "source"
    assert demo.find_mini_web(tmp_path / "here", source) == source / "examples" / "miniweb"
    monkeypatch.chdir(source)
    # Relative, so that the manifest of the corpus does not name this machine's folders.
    assert str(demo.find_mini_web(source, tmp_path / "here")) == os.path.join("examples", "miniweb")


def test_without_the_mini_web_the_error_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(ValueError, match=r"the mini web is not in .*examples/miniweb: .* source"):
        demo.find_mini_web(tmp_path)


def test_losses_are_the_first_and_the_last(tmp_path):
    lines = [
        {"step": 1, "loss": 10.8},
        {"step": 2, "loss": 9, "val_loss": 9.5},
        {"step": 3, "loss": 8, "val_loss": 7.25},
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert demo.losses(tmp_path / "log.jsonl") == [
        "  training loss: 10.800 at step 1, 8.000 at step 3",
        "validation loss: 9.500 at step 2, 7.250 at step 3",
    ]


def test_negative_numbers_are_refused():
    with pytest.raises(ValueError, match=r"--steps is -1"):
        DemoConfig(steps=-1)


@pytest.fixture(scope="module")
def small_web(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    miniweb = folder / "examples" / "miniweb"
    toy_webs.write_posts(miniweb / "submissions.ndjson.zst", toy_webs.posts_of())
    toy_webs.write_archives(miniweb, toy_webs.records_of(10), 1)
    # As people have them beside their notebooks.
    for name in ("model.py", "schemas.py", "jobs/__init__.py", "pipeline/__init__.py"):
        stranger = folder / name
        stranger.parent.mkdir(exist_ok=True)
        stranger.write_text(f"raise SystemExit('{name} of the folder was imported')\n")
    return folder


@pytest.fixture
def demo_folder(small_web, monkeypatch):
    """The current folder, with a demo in it."""
    monkeypatch.chdir(small_web)
    if not (small_web / "demo" / "run" / "log.jsonl").exists():  # the test that makes it runs in another process
        assert demo.run(DemoConfig(steps=2, workers=2)) == 0
    return small_web


def test_the_whole_way_on_a_small_web_and_again(small_web, monkeypatch, capfd):
    monkeypatch.chdir(small_web)
    for _ in range(2):
        assert demo.run(DemoConfig(steps=2, workers=2)) == 0
        out = capfd.readouterr().out
        assert "below_score" in out
        assert "ok: 2 shards" in out
        assert "training loss: 10." in out
        assert "at step 2" in out
        assert "report: demo/work/report.html" in out
    assert "preset demo" in (small_web / "demo" / "work" / "report.html").read_text()
    assert len((small_web / "demo" / "run" / "log.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("module", [webtext, reading], ids=["webtext", "reading"])
@pytest.mark.usefixtures("demo_folder")
def test_the_examples_of_the_public_face_hold_in_a_demo(module):
    done = doctest.testmod(module)
    assert done.failed == 0
    assert done.attempted > 5


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1")
PRETRAIN = [
    "pretrain",
    "--config=tiny",
    "--data=demo/work/corpus",
    "--out=other",
    "--train.steps=1",
    "--train.warmup=1",
]


@pytest.mark.parametrize(
    "command",
    [
        [
            sys.executable,
            "-c",
            "import webtext; webtext.load_model('demo/run'); webtext.Corpus.open('demo/work/corpus')",
        ],
        [sys.executable, *TORCHRUN, "-m", "webtext.jobs.cli", *PRETRAIN],
    ],
    ids=["import webtext", "torchrun"],  # `webtext demo` has made the folder
)
def test_files_of_the_same_names_beside_it_are_not_imported(demo_folder, command):
    done = finished(command, cwd=demo_folder, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "of the folder was imported" not in done.stdout + done.stderr


def test_the_public_face():
    """What scripts of others rely on. Add to it with care, and take nothing away."""
    assert webtext.__all__ == [
        *("Corpus", "Document", "Loss", "canonical", "extract", "generate", "key"),
        *("load_model", "read_log", "why"),
    ]
    assert all(getattr(webtext, name).__doc__ for name in webtext.__all__)
    with pytest.raises(AttributeError, match="no attribute 'utils'"):
        _ = webtext.utils


def test_training_that_has_not_begun_in_time_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"--seconds 0: give more"):
        demo.train(["--config=tiny", f"--data={tmp_path}", f"--out={tmp_path / 'run'}"], seconds=0)
