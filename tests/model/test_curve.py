"""Reading a run's log, a hostile one too."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webtext.model.curve import LONGEST_LINE, read, smooth, thin

points = st.lists(st.tuples(st.floats(0, 1e12), st.floats(0, 100)), max_size=200).map(tuple)


def log(folder, *lines):
    (folder / "log.jsonl").write_text(
        "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    )
    return folder


def test_reads_losses_over_tokens(tmp_path):
    run = log(
        tmp_path,
        {"step": 1, "tokens": 100, "loss": 9.5, "lr": 0.1},
        {"step": 2, "tokens": 200, "loss": 8.5, "val_loss": 8.75},
        {"tokens": 300, "val_loss": 8.25},
        {"event": "resumed"},
        {"step": 4, "tokens": 400, "loss": 8.0},
    )
    curve = read(run)
    assert curve.train == ((100, 9.5), (200, 8.5), (400, 8.0))
    assert curve.val == ((200, 8.75), (300, 8.25))
    assert curve.name == tmp_path.name
    assert read(run / "log.jsonl").train == curve.train


def test_what_a_resumed_run_says_again_counts(tmp_path):
    first, again = {"tokens": 100, "loss": 9.5}, {"tokens": 100, "loss": 9.25}
    assert read(log(tmp_path, first, again)).train == ((100, 9.25),)


def test_a_cut_last_line_is_left_out(tmp_path):
    assert read(log(tmp_path, {"tokens": 1, "loss": 2}, '{"tokens": 2, "lo')).train == ((1, 2),)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1", "true", '"2"', "null", "1" + "0" * 400, "[]"])
def test_what_is_no_loss_is_no_point(tmp_path, value):
    lines = [{"tokens": 1, "loss": 2}, f'{{"tokens": 2, "loss": {value}}}\n', f'{{"tokens": {value}, "loss": 3}}\n']
    assert read(log(tmp_path, *lines)).train == ((1, 2),)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no line with tokens and a loss yet"),
        (["garbage\n"], "line 1: no JSON"),
        (["[1, 2]\n"], "is no JSON object"),
        (["[" * 100_000 + "\n"], "line 1: no JSON"),
        (["x" * (LONGEST_LINE + 1)], "longer than 1,048,576 characters"),
    ],
)
def test_what_is_no_log_is_named(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        read(log(tmp_path, *lines))


def test_a_missing_or_binary_log_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"log\.jsonl is missing: give the folder"):
        read(tmp_path)
    (tmp_path / "log.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(ValueError, match="is not UTF-8"):
        read(tmp_path)


@given(points, st.floats(0, 0.999))
def test_smoothing_stays_between_the_losses(values, weight):
    out = smooth(values, weight)
    assert [x for x, _ in out] == [x for x, _ in values]
    for number, (_, loss) in enumerate(out):
        seen = [y for _, y in values[: number + 1]]
        assert min(seen) - 1e-6 <= loss <= max(seen) + 1e-6


def test_smoothing_is_the_weighted_mean_of_what_was_seen():
    losses = [5.0, 3.0, 4.0, 1.0]
    shares = [0.5 ** (3 - number) for number in range(4)]
    expected = sum(share * loss for share, loss in zip(shares, losses, strict=True)) / sum(shares)
    assert smooth(tuple(enumerate(losses)), 0.5)[-1][1] == pytest.approx(expected)
    assert smooth(((1, 2.0), (2, 3.0)), 0) == ((1, 2.0), (2, 3.0))


@given(points, st.integers(1, 50))
def test_thinning_keeps_bounds_and_order(values, most):
    values = tuple(sorted(values))
    out = thin(values, most)
    assert len(out) <= most or len(values) <= most
    assert bool(out) == bool(values)
    assert [x for x, _ in out] == sorted(x for x, _ in out)
    if len(values) <= most:
        assert out == values
