"""`webtext curve`: where it writes, what it calls the runs, what it refuses."""

import builtins
import json
from xml.etree import ElementTree

import pytest

from webtext.jobs.cli import main
from webtext.model.curve_page import HEIGHT


def write_run(folder, losses):
    folder.mkdir(parents=True)
    lines = [json.dumps({"tokens": 1000 * i, "loss": loss, "val_loss": loss + 1}) for i, loss in enumerate(losses, 1)]
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_command_draws_several_runs(tmp_path, capsys):
    runs = [write_run(tmp_path / name, [5, 4, 3]) for name in ("first", "second", "deep/first")]
    assert main(["curve", *map(str, runs)]) == 0
    assert capsys.readouterr().out == f"curve: {runs[0] / 'curve.html'}\n"
    text = (runs[0] / "curve.html").read_text()
    assert f"<td>{runs[0]}</td><td>3,000</td><td>3.0000</td><td>4.0000</td><td>4.0000</td><td>54.60</td>" in text
    assert f"<td>{runs[2]}</td>" in text  # of two runs called first, each has its path
    assert "<td>second</td>" in text
    assert main(["curve", str(runs[0]), "--output", str(tmp_path / "x.svg"), "--smooth", "0"]) == 0
    image = ElementTree.fromstring((tmp_path / "x.svg").read_text())  # noqa: S314 - ours
    assert image.get("height") == str(HEIGHT)


def test_png_has_the_same_bytes_each_time(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    run = write_run(tmp_path / "run", [5, 4, 3])
    for name in ("a.png", "b.png"):
        assert main(["curve", str(run), "--output", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_png_without_matplotlib_says_what_to_do(tmp_path, monkeypatch, capsys):
    real = builtins.__import__

    def without(name, *args, **options):
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    run = write_run(tmp_path / "run", [5, 4])
    assert main(["curve", str(run), "--output", str(tmp_path / "x.png")]) == 1
    assert "pip install 'webtext[plot]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "no run is given"),
        (["{run}", "--smooth", "1"], "allowed is 0 to below 1"),
        (["{run}", "--output", "x.gif"], "ends in .html, .svg, .png"),
        (["{run}/absent"], "absent is missing"),
    ],
)
def test_refuses(tmp_path, capsys, args, message):
    run = write_run(tmp_path / "run", [5])
    try:
        status = main(["curve", *(arg.format(run=run) for arg in args)])
    except SystemExit as stop:
        status = stop.code
    assert status in (1, 2)
    streams = capsys.readouterr()
    assert message in " ".join((streams.err + streams.out).replace("│", " ").split())
