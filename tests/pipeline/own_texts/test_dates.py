from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.own_texts.dates import LEAST_SECONDS, seconds_of

DAY = int(datetime(2009, 11, 5, tzinfo=UTC).timestamp())
NOON = DAY + 12 * 3600


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2009", datetime(2009, 1, 1, tzinfo=UTC).timestamp()),
        ("2009-11", datetime(2009, 11, 1, tzinfo=UTC).timestamp()),
        ("2009-W45", DAY - 3 * 86400),
        *((form, DAY) for form in ("2009-11-05", "20091105", "2009-W45-4", "2009W454", "2009-309", "2009309")),
        *((form, NOON) for form in ("20091105T12", "20091105T1200Z", "200911051200", "20091105120000")),
        *((form, NOON) for form in ("2009-11-05 12:00", " 2009-11-05T13:00:00+01:00\n", "20091105T130000+0100")),
        *((form, NOON) for form in (f"{NOON}", f"{NOON}.75", f"{NOON / 1e9}e9")),
    ],
)
def test_the_day_that_is_meant(value, seconds):
    assert seconds_of(value) == seconds


@pytest.mark.parametrize("digits", ["2009", "2009309", "20091105", "200911051200", "20091105120000", str(NOON)])
def test_a_number_says_the_same_as_its_digits(digits):
    assert (
        seconds_of(int(digits))
        == seconds_of(float(digits))
        == seconds_of(f"{digits}.0")
        == seconds_of(digits)
        > DAY // 2
    )


@pytest.mark.parametrize(
    "value",
    [
        *("", "yesterday", "200911", "091105", "2009-13", "2009-366", "20091305", "2009-11-05/2009-11-06", "9" * 60),
        *("5 November 2009", "11/05/2009", "inf", "nan", "-1", "1844", "1969-12-31", "0001-01-01", "1e300", "9" * 12),
        *(0, 1, 123456, 99_999_999, -1, NOON * 1000, 10**40, 1e300, float("nan"), None, True, [], {}),
    ],
)
def test_what_is_not_known(value):
    assert seconds_of(value) == 0


@given(st.integers() | st.floats() | st.text(max_size=20) | st.text("0123456789-:T.Z W", max_size=20))
def test_never_the_first_years_of_the_epoch_but_for_a_date_that_says_so(value):
    seconds = seconds_of(value)
    assert seconds == 0 or seconds >= LEAST_SECONDS or "197" in str(value)


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(9999, 12, 30)), st.sampled_from(["%Y%j", "%Y-%j", "%Y%m%d", "%Y-%m-%d"])
)
def test_each_form_of_a_day(moment, form):
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)
    assert timedelta(seconds=seconds_of(moment.strftime(form))) == day - datetime(1970, 1, 1, tzinfo=UTC)
