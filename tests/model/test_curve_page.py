"""The drawn curve: its numbers where they belong, and nothing of a name as markup."""

from xml.etree import ElementTree

import pytest
from hostile_names import HOSTILE, unseen
from hypothesis import given
from hypothesis import strategies as st

from webtext.model.curve import Curve
from webtext.model.curve_page import LEFT, MOST_POINTS, RIGHT, WIDTH, page, svg, ticks, tokens_label

SVG = "{http://www.w3.org/2000/svg}"
CURVE = Curve("a", ((0.0, 10.0), (50.0, 7.0), (100.0, 6.0)), ((50.0, 8.0), (100.0, 7.0)))


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


def test_a_name_with_what_no_xml_may_hold():
    image = svg([Curve(HOSTILE, CURVE.train, CURVE.val)], 0)
    parsed(image)
    assert not unseen(image + page([Curve(HOSTILE, CURVE.train, CURVE.val)], 0), keep="\n")
