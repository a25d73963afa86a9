import pytest

from webtext.pipeline.documents import metadata
from webtext.pipeline.documents.parsing import parse


def read(head, start="<html>", body=""):
    page = f"<!doctype html>{start}<head>{head}</head><body><p>x</p>{body}</body></html>"
    return metadata.read(parse(page))


def ld(*dates):
    return "".join(f'<script type="application/ld+json">{{"datePublished": "{day}"}}</script>' for day in dates)


@pytest.mark.parametrize(
    ("markup", "published"),
    [
        ('<meta property="article:published_time" content="2014-03-02T23:59:00-08:00">', "2014-03-02"),
        ('<meta itemprop="datePublished" content="2014-03-02">', "2014-03-02"),
        (ld("2011-12-31T10:00:00Z"), "2011-12-31"),
        (ld("2011-12-31", "2011-12-31T01:00"), "2011-12-31"),
        (ld("2011-12-31", "2012-01-01"), ""),
        ('<meta itemprop="datePublished" content="2014-03-02">' + ld("2011-12-31"), "2014-03-02"),
        ('<meta itemprop="datePublished" content="03/02/2014">', ""),
        ('<meta itemprop="datePublished" content="2014-02-30">', ""),
        ('<meta itemprop="datePublished" content="2014-03-021">', ""),
        ('<meta itemprop="datePublished">', ""),
        ('<meta property="article:modified_time" content="2014-03-02">', ""),
        ("", ""),
    ],
)
def test_published(markup, published):
    assert read(markup).published == published
    assert read("", body=markup).published == published


def test_published_by_time():
    time = '<time itemprop="datePublished" datetime="2015-05-06T07:08">May</time>'
    assert read("", body=time).published == "2015-05-06"
    assert read("", body='<time datetime="2015-05-06">of a comment</time>').published == ""


@pytest.mark.parametrize(
    ("declared", "lang"),
    [("en", "en"), ("EN_us", "en-us"), (" de ", "de"), ("zh-Hant-TW", "zh-hant-tw"), ("", ""), ("x" * 99, "")],
)
def test_html_lang(declared, lang):
    assert read("", f"<html lang='{declared}'>").html_lang == lang


def test_title():
    assert read("<title> Harbour &amp;\n valley\x07 </title>").title == "Harbour & valley"
    assert len(read(f"<title>{'long ' * 1000}</title>").title) == 500
    assert read("").title == ""
