"""One key for each name, and no two kinds of names that meet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.identity import names, urls

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def test_a_url_keeps_its_link_key():
    assert names.key_of("http://www.a.org/x/") == urls.link_key("https://a.org/x")


@given(TEXTS, TEXTS)
def test_ids_share_a_key_only_if_equal(one, other):
    assert (names.key_of(names.of_id(one)) == names.key_of(names.of_id(other))) == (one == other)


@given(TEXTS)
def test_kinds_do_not_meet(text):
    assert (
        len({names.key_of(names.of_id(text)), names.key_of(names.of_text(text)), names.key_of(f"http://{text}/")}) == 3
    )


@given(TEXTS.filter(bool))
def test_what_a_build_shows_can_be_asked_for(text):
    for name in (names.of_id(text), names.of_text(text)):
        assert names.find_name(name) == name


def test_what_people_type():
    assert names.find_name("HTTP://A.org") == "http://a.org/"
    assert names.find_name("g0pA_taska.txt") == "id:g0pA_taska.txt"
    with pytest.raises(ValueError, match="empty"):
        names.find_name("")


@pytest.mark.parametrize("name", ["", "nothing", "text:", "text:zz", "text:00", "http:/a"])
def test_what_is_no_name_has_no_key(name):
    with pytest.raises(ValueError):  # noqa: PT011  each kind says it in its own words
        names.key_of(name)
