import json
import os

import pytest
import toy_webs

from webtext.jobs import demo
from webtext.jobs.demo import DemoConfig


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


def test_the_whole_way_on_a_small_web_and_again(tmp_path, monkeypatch, capfd):
    folder = tmp_path / "examples" / "miniweb"
    toy_webs.write_posts(folder / "submissions.ndjson.zst", toy_webs.posts_of())
    toy_webs.write_archives(folder, toy_webs.records_of(10), 1)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert demo.run(DemoConfig(steps=2, workers=2)) == 0
        out = capfd.readouterr().out
        assert "below_score" in out
        assert "ok: 2 shards" in out
        assert "training loss: 10." in out
        assert "at step 2" in out
        assert "report: demo/work/report.html" in out
    assert "preset demo" in (tmp_path / "demo" / "work" / "report.html").read_text()
    assert len((tmp_path / "demo" / "run" / "log.jsonl").read_text().splitlines()) == 2


def test_training_that_has_not_begun_in_time_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"--seconds 0: give more"):
        demo.train(["--config=tiny", f"--data={tmp_path}", f"--out={tmp_path / 'run'}"], seconds=0)
