import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.pages import stages as pages
from webtext.schemas.records import Link, Page, Reason

KEY = bytes(range(16))
LINK = Link(KEY, "http://example.com/", 5, 1000, ())
ARCHIVES = ["one.warc.gz", "two.warc.gz"]
HI, LO = (int.from_bytes(half, "big") for half in (KEY[:8], KEY[8:]))


def captures(*rows):
    """Rows of (captured, verdict, digest, archive, offset)."""
    return np.array(
        [(HI, LO, digest, at, 200, verdict, archive, offset, 0) for at, verdict, digest, archive, offset in rows],
        pages._CAPTURE,
    )


def chosen(*rows):
    page = pages.choose_capture(captures(*rows), ARCHIVES, LINK)
    assert isinstance(page, Page)
    return (page.captured_utc, page.archive, page.offset)


def test_the_nearest_capture_is_taken():
    assert chosen((0, 0, 0, 0, 1), (900, 0, 0, 1, 2), (5000, 0, 0, 0, 3)) == (900, "two.warc.gz", 2)


def test_of_equally_near_ones_the_earlier():
    assert chosen((1100, 0, 0, 0, 1), (900, 0, 0, 0, 2)) == (900, "one.warc.gz", 2)


def test_a_usable_capture_beats_a_nearer_one_that_is_not():
    assert chosen((1000, 1, 0, 0, 1), (9000, 0, 0, 0, 2)) == (9000, "one.warc.gz", 2)


@pytest.mark.parametrize("verdict", [Reason.HTTP_STATUS, Reason.NOT_HTML, Reason.EMPTY_PAGE])
def test_if_none_is_usable_the_nearest_says_why(verdict):
    code = pages._VERDICTS.index(verdict)
    other = 1 if code != 1 else 2
    found = pages.choose_capture(captures((1001, code, 0, 0, 1), (5000, other, 0, 0, 2)), ARCHIVES, LINK)
    assert found.reason is verdict


def test_no_capture_is_a_reason():
    assert pages.choose_capture(captures(), ARCHIVES, LINK).reason is Reason.NO_PAGE


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3, st.integers(0, 1), st.integers(0, 3)), min_size=1), st.randoms())
def test_the_choice_does_not_depend_on_the_order(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert pages.choose_capture(captures(*rows), ARCHIVES, LINK) == pages.choose_capture(
        captures(*shuffled), ARCHIVES, LINK
    )
