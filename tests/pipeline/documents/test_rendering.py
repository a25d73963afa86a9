import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from webtext.pipeline.documents.frames import renamed
from webtext.pipeline.documents.parsing import parse
from webtext.pipeline.documents.rendering import joined, render

MARKUP = st.recursive(
    st.sampled_from(["one", " two ", "\n\t three\n\n", "&nbsp;", "<br>", "\u200b", ""]),
    lambda inside: st.tuples(
        st.sampled_from(
            ["p", "div", "span", "li", "ul", "ol", "table", "tr", "td", "h2", "b", "a", "q", "section", "blockquote"]
        ),
        st.lists(inside, max_size=4),
    ).map(lambda parts: f"<{parts[0]}>{''.join(parts[1])}</{parts[0]}>"),
    max_leaves=20,
)


def shown(markup):
    return joined(render(renamed(parse(f"<html><body>{markup}</body></html>"))))


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<div>\n\n\t<span>\n  a </span>\n\t\tb\n\n</div>\n\n<div>c</div>", "a b\nc"),
        ("<p>a<b>b</b>c <i>d</i></p>", "abc d"),
        ("<p>one<br>two<br><br>three</p>", "one\ntwo\nthree"),
        ("<h2>a<br>heading</h2>x", "a heading\nx"),
        ("<p>He said <q>never</q> twice.</p>", "He said \u201cnever\u201d twice."),
        ("<a>x</a><a>y</a>", "x y"),
        ("<ul><li>a<li><p>b</p><p>c</p></ul>", "- a\n- b\nc"),
        ("<ol start=3><li>a<li>b</ol>", "3. a\n4. b"),
        ("<dl><dt>a<dd>b</dl>", "a\nb"),
        (
            "<table><tr><th>Day<th>Hours<tr><td>Mon<td><ul><li>1 to 2<li>3 to 4</ul></table>",
            "Day | Hours\nMon | 1 to 2 3 to 4",
        ),
        ("<table><tr><td><p>a</p><table><tr><td>b<td>c</table><p>d</p></table>", "a\nb | c\nd"),
        ("<table><caption>t</caption><tr><td>a<td></table>", "t\na"),
        ("x<pre>  def f():\n\n      return 1\n</pre>y", "x\n  def f():\n\n      return 1\ny"),
        ("<pre>a<br>  b</pre>", "a\n  b"),
        ("<pre><span>a</span>\n<b>  b</b></pre>", "a\n  b"),
        ("<pre>\n\n<table>\n<tr>\n<td>a</td>\n\n<td>b</td></tr>\n\n</table>\n\n</pre>", "a | b"),
        ("<textarea> a\n b</textarea>", " a\n b"),
        ("a<script>b</script><style>c</style>d<template>e</template>", "ad"),
        ("<p>\u200b</p><p>\ufeffa</p>", "a"),
        ("<x-card>a</x-card><x-card>b</x-card>", "a\nb"),
    ],
)
def test_a_block_is_what_a_browser_shows(markup, text):
    assert shown(markup) == text


@given(MARKUP)
def test_no_letter_is_lost_and_no_line_is_blank_or_indented(markup):
    tree = parse(f"<html><body>{markup}</body></html>")
    words = "".join(tree.itertext()).replace("\u200b", "")
    text = shown(markup)
    letters = str.maketrans("", "", " \n\t\xa0|-\u200b\u201c\u201d.0123456789")
    assert sorted(text.translate(letters)) == sorted(words.translate(letters))
    assert all(line == line.strip() and line for line in text.split("\n")) or text == ""


def test_links_are_counted_in_characters():
    [block] = render(renamed(parse("<p>ab <a>cde</a> <a>f <b>g</b></a></p>")))
    assert (block.text, block.links) == ("ab cde f g", 6 - 1)


def test_a_page_as_deep_as_the_guards_let_pass_is_rendered():
    assert shown("<div>" * 505 + "deep" + "</div>" * 505) == "deep"
    assert shown("<table><tr><td>" * 165 + "deep") == "deep"
    outer = inner = etree.Element("table")
    for _ in range(500):
        inner = etree.SubElement(inner, "table")
    inner.text = "deep"
    assert joined(render(outer)) == "deep"
