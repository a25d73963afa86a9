import pytest
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.documents.page_kind import KINDS, PageKind, kind_of
from webtext.pipeline.documents.parsing import parse

LD = "<script type='application/ld+json'>{}</script>"


def kind(head="", body="<p>x</p>", attributes=""):
    return kind_of(parse(f"<html><head>{head}</head><body {attributes}>{body}</body></html>"))


@pytest.mark.parametrize(
    ("head", "body", "attributes", "name"),
    [
        ("<meta property=og:type content=Article>", "", "", "article"),
        (LD.format('{"@type": "NewsArticle"}'), "", "", "article"),
        (LD.format('{"@graph": [{"@type" : ["WebPage", "BlogPosting"]}]}'), "", "", "article"),
        ("", "<div itemscope itemtype='https://schema.org/Article'>x</div>", "", "article"),
        ("", "<article>x</article>", "", "article"),
        ("", "<article>x</article><article>y</article>", "", "other"),
        ("<meta name=generator content='Discourse 3.1'><meta property=og:type content=article>", "", "", "forum"),
        (LD.format('{"@type": "DiscussionForumPosting"}'), "<article>x</article>", "", "forum"),
        ("", "x", "class='ipsApp ipsApp_front'", "forum"),
        ("<meta name=generator content='Sphinx 7.2'>", "", "", "documentation"),
        ("<meta property=og:type content=product>", "", "", "product"),
        (LD.format('{"@type": "Product"}') + LD.format('{"@type": "CollectionPage"}'), "", "class=archive", "listing"),
        (LD.format("{broken"), "x", "", "other"),
        ('<script>\'"@type": "NewsArticle"\'</script>', "x", "", "other"),
        ("", "x", "", "other"),
    ],
)
def test_a_page_is_of_the_kind_that_it_says(head, body, attributes, name):
    assert kind(head, body, attributes).name == name


def test_certainty_grows_with_what_agrees_and_falls_with_what_does_not():
    one = kind("<meta property=og:type content=article>")
    more = kind("<meta property=og:type content=article>" + LD.format('{"@type": "Article"}'))
    mixed = kind("<meta property=og:type content=article>" + LD.format('{"@type": "Product"}'))
    assert mixed.certainty < one.certainty < more.certainty < 1
    assert kind() == PageKind("other", 0.0)


@given(st.lists(st.sampled_from(["Article", "Product", "ItemList", "QAPage", "Thing"])), st.text(max_size=20))
def test_every_page_has_a_kind(types, generator):
    head = "".join(LD.format(f'{{"@type": "{each}"}}') for each in types)
    found = kind(head + f"<meta name=generator content='{generator.encode('ascii', 'ignore').decode()}'>")
    assert found.name in KINDS
    assert 0 <= found.certainty < 1
