import pytest

from webtext.pipeline.documents.parsing import parse
from webtext.pipeline.documents.tidy import tidy

LONG = "A sentence that is shown to all readers. "


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("a<p hidden>b</p>c", "ac"),
        ("a<p hidden=until-found>b</p>c", "abc"),
        ("on <time datetime=2011-03-04>4 March</time> it", "on 4 March it"),
        ("a <math><mi>x</mi><mo>+</mo><mn>1</mn></math> b", "a x+1 b"),
        ("a <math alttext='x^2'><mi>x</mi></math> b", "a \\(x^2\\) b"),
        (
            "a <math><semantics><mi>x</mi><annotation encoding='application/x-tex'>y</annotation></semantics></math>b",
            "a \\(y\\)b",
        ),
        ("a <math><semantics><mi>x</mi><annotation encoding=other>y</annotation></semantics></math> b", "a x b"),
    ],
)
def test_sentences_stay_whole_and_hidden_text_leaves(markup, text):
    tree = parse(f"<html><body>{LONG}<p>{LONG}</p>{markup}</body></html>")
    tidy(tree)
    assert "".join(tree.itertext()) == LONG * 2 + text


def test_a_page_that_a_script_shows_is_not_hidden():
    tree = parse(f"<html><body hidden><main hidden>{LONG * 9}</main><p>x</p></body></html>")
    tidy(tree)
    assert "".join(tree.itertext()) == LONG * 9 + "x"
