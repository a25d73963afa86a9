import io
import json
import statistics
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from webtext.jobs.funnel import print_funnel
from webtext.pipeline.account.report import Facts
from webtext.pipeline.account.report_page import render
from webtext.pipeline.engine.stage import PartOutput, Stage, numbered
from webtext.pipeline.links.dumps import read_posts
from webtext.pipeline.links.health import GREATEST_SCORE, LEAST_SCORE, Histogram, months, read_months, warnings
from webtext.pipeline.links.stages import run_posts
from webtext.pipeline.settings import LinkSettings
from webtext.schemas.manifest import CorpusManifest, Tally

REDDIT = Path(__file__).resolve().parents[4] / "shared" / "data" / "reddit"
DAY = 86_400


def at(year, month, day=1):
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())


def of(found, threshold=3):
    """Months of (created_utc, score, retrieved_utc)."""
    histogram = Histogram()
    for post in found:
        histogram.add(*post)
    return months(histogram.rows(), threshold)


_POST = st.tuples(
    st.one_of(st.just(0), st.integers(at(2009, 1), at(2009, 12, 31))),
    st.integers(-200, 300),
    st.integers(at(2010, 1), at(2010, 2)),
)


@settings(deadline=None)
@given(st.lists(_POST, max_size=40))
def test_figures_are_those_of_the_posts(found):
    by_month = {}
    for created, score, retrieved in found:
        if created:
            by_month.setdefault(datetime.fromtimestamp(created, UTC).strftime("%Y-%m"), []).append(
                (created, score, retrieved)
            )
    result = {month.name: month for month in of(found)}
    assert {name for name, month in result.items() if month.posts} == by_month.keys()
    for name, mine in by_month.items():
        month = result[name]
        assert month.posts == month.aged == len(mine)
        assert month.median == max(statistics.median_low(score for _, score, _ in mine), LEAST_SCORE)
        assert month.reached == sum(score >= 3 for _, score, _ in mine)
        assert month.age == sum(retrieved - created for created, _, retrieved in mine)


@settings(deadline=None)
@given(st.lists(_POST, max_size=40), st.lists(st.integers(0, 2), min_size=40, max_size=40))
def test_any_split_of_the_input_gives_the_same(found, owners):
    parts = [Histogram() for _ in range(3)]
    for post, owner in zip(found, owners, strict=False):
        parts[owner].add(*post)
    rows = [row for part in parts for row in part.rows()]
    assert months(rows, 3) == months(reversed(rows), 3) == of(found)


def test_scores_are_clipped():
    found = of([(at(2010, 1), 10**9, 0), (at(2010, 1), -(10**9), 0)], threshold=10**6)
    assert (found[0].median, found[0].reached) == (LEAST_SCORE, 1)
    assert of([(at(2010, 1), 10**9, 0)])[0].median == GREATEST_SCORE


def test_the_age_of_a_score():
    [month] = of([(at(2010, 1), 3, at(2010, 1) + 60), (at(2010, 1), 3, at(2010, 1) + 3 * DAY), (at(2010, 1), 3, 0)])
    assert (month.posts, month.aged, month.young, month.age) == (3, 2, 1, 3 * DAY + 60)


def test_months_without_a_post_are_shown_but_not_centuries():
    assert [m.name for m in of([(at(2010, 11), 3, 0), (at(2011, 2), 3, 0)])] == [
        "2010-11",
        "2010-12",
        "2011-01",
        "2011-02",
    ]
    assert [m.name for m in of([(1, 3, 0), (at(2010, 1), 3, 0), (at(9999, 1), 3, 0)])] == [
        "1970-01",
        "2010-01",
        "9999-01",
    ]


def yields(*numbers):
    """Months from 2018-01 with so many posts of score 5 each, and as many of score 1."""
    return of(
        [(at(2018 + n // 12, n % 12 + 1), score, 0) for n, number in enumerate(numbers) for score in (1, 5) * number]
    )


@pytest.mark.parametrize(
    ("numbers", "alarms"),
    [
        ([100] * 9, []),
        ([100] * 4 + [49] + [100] * 4, ["2018-05"]),
        ([100] * 4 + [50] + [100] * 4, []),
        ([100] * 4 + [0] + [100] * 4, ["2018-05"]),
        ([100] * 4 + [0, 0, 0, 0] + [100] * 4, ["2018-05", "2018-06", "2018-07", "2018-08"]),
        ([10, 100, 300, 1000, 3000, 9000], []),  # it grows
        ([9000, 3000, 1000, 300, 100, 10], []),  # it shrinks
        ([100, 100, 100, 5], []),  # the last month may not be over
        ([15, 15, 15, 2, 15, 15, 15], []),  # too few to tell
        ([100, 100, 900, 100, 100], []),  # a good month does not make its neighbours bad
    ],
)
def test_months_under_half_of_their_neighbours(numbers, alarms):
    found = yields(*numbers)
    assert [month.name for month in found if month.alarm] == alarms
    assert [line[:7] for line in warnings(found)] == alarms


def test_a_warning_tells_what_may_be_wrong():
    good = [(at(2018, month), 5, at(2018, month) + 90 * DAY) for month in (1, 2, 4, 5) for _ in range(50)]
    young = [(at(2018, 3), 1, at(2018, 3) + 60) for _ in range(50)]
    assert warnings(of(good + young)) == [
        "2018-03 has 0 posts with enough karma, the months around it 50 in the mean; most scores were read within a "
        "day of the post: check its dump"
    ]
    assert "it has no posts at all" in warnings(of(good))[0]
    console = Console(file=io.StringIO(), width=200)
    print_funnel(CorpusManifest({}, {"posts": Tally(1, 1, 1)}, (), (), {}), console, warnings(of(good)))
    assert "warning: 2018-03 has 0 posts" in console.file.getvalue()


def test_the_report_shows_the_months():
    from webtext.pipeline.account.findings import Clusters, Kept

    found = yields(*[100] * 4, 7, *[100] * 4)
    manifest = CorpusManifest({}, {}, (), (), {})
    facts = Facts(manifest, {}, {}, Kept(0, (), ()), Clusters({}, ()), found)
    page = render(facts)
    assert "2018-05 has 7 posts with enough karma, the months around it 100 in the mean" in page
    assert "2018-09" in page
    assert "No post has a date" in render(Facts(manifest, {}, {}, Kept(0, (), ()), Clusters({}, ())))


def months_of_posts(folder, files):
    paths = []
    for name, lines in files.items():
        path = folder / name
        path.write_bytes(b"\n".join(lines) + b"\n")
        paths.append({"submissions": [str(path)]})
    stage = Stage(
        name="posts",
        folder=str(folder / "posts"),
        settings={},
        inputs=(),
        parts=numbered(paths),
        run=partial(run_posts, LinkSettings(), 2),
        unit="lines",
    )
    for part in stage.parts:
        PartOutput(stage, part).run()
    return read_months(map(str, sorted((folder / "posts").glob("*.months.parquet"))), 3)


def test_the_stage_counts_what_it_passes_on(tmp_path):
    lines = [
        json.dumps(
            {
                "id": f"{n}",
                "url": f"http://example.com/{n}",
                "score": n % 7,
                "created_utc": at(2010, 1 + n % 5),
                "retrieved_on": at(2011, 1),
            }
        ).encode()
        for n in range(300)
    ]
    lines += [b"not json", b'{"id": "x", "url": "http://i.imgur.com/a", "score": 9, "created_utc": 1262304000}']
    whole = months_of_posts(tmp_path, {"all": lines})
    assert [month.posts for month in whole] == [60] * 5
    assert all(month.aged == 60 and month.young == 0 for month in whole)
    (tmp_path / "cut").mkdir()
    assert months_of_posts(tmp_path / "cut", {"a": lines[:10], "b": lines[10:222], "c": lines[222:]}) == whole
    (tmp_path / "list").mkdir()
    assert months_of_posts(tmp_path / "list", {"urls": [b"http://example.com/"]}) == []  # a list has no dates


def test_real_dumps_tell_when_scores_were_read():
    path = REDDIT / "RS_2024_schema.ndjson.zst"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    histogram = Histogram()
    for post in read_posts(io.BytesIO(path.read_bytes()), path.name, 3):
        histogram.add(post.created_utc, post.score, post.retrieved_utc)
    aged = Counter()
    for month, _, number, known, *_ in histogram.rows():
        aged[month] += known
        assert known <= number
    assert aged.total() >= 10
