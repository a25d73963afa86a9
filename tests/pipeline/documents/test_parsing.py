import pytest

from webtext.pipeline.documents.parsing import parse, parse_beyond_end

REST = "<p>" + "The committee met again in the autumn and found nothing. " * 10 + "</p>"


@pytest.mark.parametrize("end", ["</body></html>", "</BODY></HTML >", "</html>"])
def test_what_stands_behind_the_end_is_read(end):
    tree = parse_beyond_end(f"<html><body><p>First.</p>{end}<!doctype html><html><body>{REST}</body></html>", 100)
    text = "".join(tree.itertext())
    assert text.startswith("First.")
    assert text.count("autumn") == 10


@pytest.mark.parametrize(
    "rest",
    [
        "",
        " " * 900,
        "<p>short</p>",
        "<!--" + "c" * 900 + "-->",
        f"<script>{'s' * 900}</script>",
        f"<style>{'s' * 900}</style>",
    ],
)
def test_nothing_of_worth_behind_the_end(rest):
    assert parse_beyond_end(f"<html><body>a</body></html>{rest}", 0) is None


def test_less_than_is_wanted_behind_the_end():
    page = f"<html><body>a</body></html>{REST}"
    assert parse_beyond_end(page, 500) is not None
    assert parse_beyond_end(page, 600) is None
    assert parse_beyond_end(REST, 0) is None


@pytest.mark.parametrize("html", ["", " ", "\0", "<!-- -->", "\ufffe\uffff"])
def test_nothing_gives_no_tree_or_an_empty_one(html):
    tree = parse(html)
    assert tree is None or not "".join(tree.itertext()).strip("\ufffe\uffff")
