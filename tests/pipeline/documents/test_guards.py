import gzip
from pathlib import Path

import pytest

from webtext.pipeline.documents import guards, main_text
from webtext.pipeline.documents.decode import decode
from webtext.schemas.records import Reason

DATA = Path("../shared/data/html")


def reason(html):
    found = guards.refuse(html)
    return found and found.reason


def test_what_is_no_markup_is_refused():
    assert reason("") is reason("plain text, 1 < 2") is reason("\0\x01\x02<p>" * 300) is Reason.NO_TEXT
    assert reason("<p>text") is reason("<!doctype html>text\x00\x0c" + "x" * 200) is None


def test_too_many_tags():
    assert reason("<p>x" * 50_001) is Reason.TOO_MANY_TAGS
    assert reason("<p>x" * 50_000) is None


@pytest.mark.parametrize("attribute", ["a=1 ", "a ", "a='x' ", 'a = "x"', "a/", "\ta\n"])
def test_too_many_attributes_of_a_tag(attribute):
    assert reason("<html><p " + attribute * 5_200 + ">x") is Reason.TOO_MANY_ATTRIBUTES
    assert reason("<html><p " + attribute * 4_900 + ">x " + "a=1 " * 90_000) is None


def test_long_values_and_scripts_are_no_attributes():
    assert reason("<div data-state='" + '{"x y": 1}, ' * 20_000 + "'>") is None
    assert reason("<script>for(i=0;i<n; " + "a = b; " * 20_000 + "</script><p>x") is None
    assert reason("<p " + "x" * 1_600_000 + ">") is Reason.TAG_TOO_LONG


def nested(html):
    found = guards.refuse_tree(main_text.parse(html))
    return found and found.reason


def test_too_deep():
    assert nested("<html><body>" + "<div>" * 520 + "x") is Reason.TOO_DEEP
    assert nested("<html><body>" + "<div>" * 500 + "x") is None
    assert nested("<html><body>" + "<div>" * 100_000 + "x") is Reason.TOO_DEEP  # cut off by lxml
    assert nested("<html><body>" + "<div>" * 400 + "<a href=/>x</a>" * 3_000) is Reason.TOO_DEEP
    assert nested("<html><body>" + "<div>" * 20 + "<p><a href=/>x</a>" * 20_000) is None


@pytest.mark.parametrize("element", ["<a href=/>x</a>", "<img src=x>", "<x-y>x</x-y>", "<span><b>x</b>y</span>"])
def test_long_texts_in_many_pieces(element):
    pieces = 9_000 // element.count("</") if "</" in element else 9_000
    text = "The old harbour town has changed a good deal since the railway came. " * 50
    assert nested("<html><body><p>" + (element + text) * pieces) is Reason.TOO_MANY_TAGS
    assert nested("<html><body><p>" + (element + text[:250]) * pieces) is None
    # What stays between two texts keeps them apart.
    assert nested("<html><body><p>" + (element + text + "<br>") * pieces) is None
    assert nested("<html><body><ul>" + ("<li>" + element * 5 + text) * (pieces // 5)) is None


def test_no_real_page_is_refused():
    pages = sorted(DATA.glob("*/html/*.gz"))
    if not pages:
        pytest.skip("../shared/data/html is absent")
    refused = []
    for path in pages:
        html = decode(gzip.decompress(path.read_bytes()))
        if guards.refuse(html) or guards.refuse_tree(main_text.parse(html)):
            refused.append(path.name)
    assert refused == []


@pytest.mark.parametrize("attribute", ["a='<' ", 'a="<b>" ', "a = '>' ", "a=<\n", "a='\"<' "])
def test_attributes_are_counted_over_marks_in_their_values(attribute):
    assert reason("<html><p " + attribute * 5_200 + ">x") is Reason.TOO_MANY_ATTRIBUTES
    assert reason("<html><p " + attribute * 4_900 + ">x") is None


def test_attributes_of_many_tags_count_by_their_squares():
    tag = "<p " + "".join(f"a{number} " for number in range(1000)) + ">x</p>"
    assert reason("<html>" + tag * 25) is None
    assert reason("<html>" + tag * 26) is Reason.TOO_MANY_ATTRIBUTES
    assert reason("<html>" + "<p a=1 b=2 c=3>x" * 40_000) is None


def test_a_script_full_of_what_looks_like_tags_takes_no_square_of_time():
    loop = "if (i<n " + "a " * 6_000
    assert reason("<html><script>" + loop * 200 + "</script><p>x") is None
    assert reason("<script>" + loop + "</script>" + loop) is Reason.TOO_MANY_ATTRIBUTES
