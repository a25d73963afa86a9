"""The drawn curve: its numbers where they belong, and nothing of a name as markup."""

import builtins
import json
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webtext.jobs.cli import main
from webtext.jobs.curve_drawing import HEIGHT, LEFT, MOST_POINTS, RIGHT, WIDTH, page, svg, ticks, tokens_label
from webtext.model.curve import Curve

SVG = "{http://www.w3.org/2000/svg}"
CURVE = Curve("a", ((0.0, 10.0), (50.0, 7.0), (100.0, 6.0)), ((50.0, 8.0), (100.0, 7.0)))


def write_run(folder, losses):
    folder.mkdir(parents=True)
    lines = [json.dumps({"tokens": 1000 * i, "loss": loss, "val_loss": loss + 1}) for i, loss in enumerate(losses, 1)]
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@given(st.floats(-1e9, 1e12), st.floats(1e-6, 1e12))
def test_ticks_are_few_and_cover(low, span):
    high = low + span
    values = ticks(low, high)
    slack = (values[1] - values[0]) * 1e-6 + abs(low) * 1e-9
    assert 2 <= len(values) <= 12
    assert values == sorted(values)
    assert values[0] <= low + slack
    assert values[-1] >= high - slack


def test_tick_values():
    assert ticks(0, 100) == [0, 20, 40, 60, 80, 100]
    assert ticks(3.1, 3.1) == pytest.approx([3.0, 3.2])
    assert [tokens_label(n) for n in (0, 999, 250_000, 1.5e6, 1e10)] == ["0", "999", "250 k", "1.5 M", "10 B"]


def parsed(image):
    return ElementTree.fromstring(image)  # noqa: S314 - ours


def paths(image):
    return [path.get("d") for path in parsed(image).iter(SVG + "path")]


def test_points_lie_where_the_axes_say():
    image = svg([CURVE], 0.0)
    (train,) = [path for path in paths(image) if path.count("L") == 2]
    xs, ys = zip(*(map(float, point.split()) for point in train.removeprefix("M").split("L")), strict=True)
    assert xs == pytest.approx((LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT))
    assert (ys[1] - ys[0]) / (ys[2] - ys[0]) == pytest.approx(3 / 4, abs=0.01)
    labels = {text.text for text in parsed(image).iter(SVG + "text")}
    assert {"tokens seen", "loss, nats per token", "a, training", "a, validation", "0", "100"} <= labels


def test_smoothing_adds_the_faint_line():
    assert len(paths(svg([CURVE], 0.5))) == len(paths(svg([CURVE], 0.0))) + 1


@pytest.mark.parametrize(
    "curve",
    [
        Curve("one point", ((10.0, 5.0),), ()),
        Curve("no training", (), ((10.0, 5.0), (20.0, 5.0))),
        Curve("flat at zero", ((0.0, 0.0),), ((0.0, 0.0),)),
        Curve("tiny", ((1.0, 1e-12), (2.0, 2e-12)), ()),
        Curve("huge", ((1.0, 1e300), (1e300, 0.0)), ((1.0, 1e300),)),
        Curve('<script>alert("x")</script>&' * 20, ((1.0, 2.0), (2.0, 1.0)), ()),
    ],
    ids=lambda curve: curve.name[:12],
)
def test_odd_runs_are_drawn(curve):
    image = svg([curve], 0.9)
    parsed(image)
    assert "nan" not in image
    assert "inf" not in image
    text = page([curve, curve], 0.9)
    assert "<script" not in text


def test_a_long_run_makes_a_small_image():
    long = Curve("long", tuple((float(i), 3.0) for i in range(100_000)), ())
    image = svg([long], 0.9)
    assert len(image) < 40_000
    assert max(path.count("L") for path in paths(image)) < MOST_POINTS


def test_command_draws_several_runs(tmp_path, capsys):
    runs = [write_run(tmp_path / name, [5, 4, 3]) for name in ("first", "second", "deep/first")]
    assert main(["curve", *map(str, runs)]) == 0
    assert capsys.readouterr().out == f"curve: {runs[0] / 'curve.html'}\n"
    text = (runs[0] / "curve.html").read_text()
    assert f"<td>{runs[0]}</td><td>3,000</td><td>3.0000</td><td>4.0000</td><td>4.0000</td><td>54.60</td>" in text
    assert f"<td>{runs[2]}</td>" in text  # of two runs called first, each has its path
    assert "<td>second</td>" in text
    assert main(["curve", str(runs[0]), "--output", str(tmp_path / "x.svg"), "--smooth", "0"]) == 0
    assert parsed((tmp_path / "x.svg").read_text()).get("height") == str(HEIGHT)


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
