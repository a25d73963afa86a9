import re

import pytest
import truth
from hypothesis import given
from hypothesis import strategies as st

SMALL = st.text(alphabet="ab ÄäB,", max_size=12)


def page(text=None, wanted=(), unwanted=()):
    return truth.TruthPage("p", b"", text, tuple(wanted), tuple(unwanted))


def overlap_by_crossing_out(a, b):
    left = list(b)
    both = 0
    for word in a:
        if word in left:
            left.remove(word)
            both += 1
    return both


@given(SMALL, SMALL)
def test_word_f1_is_the_harmonic_mean_of_precision_and_recall(found, wanted):
    a, b = (re.sub(r"\W+", " ", text).lower().split() for text in (found, wanted))
    both = overlap_by_crossing_out(a, b)
    if both:
        precision, recall = both / len(a), both / len(b)
        expected = 2 / (1 / precision + 1 / recall)
    else:
        expected = float(not a and not b)
    assert truth.word_f1(found, wanted) == pytest.approx(expected)


def test_snippets_are_counted_over_all_pages():
    pages = [page(wanted=["one", "two"], unwanted=["menu"]), page(wanted=["three"], unwanted=["ad", "footer"])]
    # 2 of 3 are there, 1 of 3 that should not be: precision 2/3, recall 2/3
    assert truth.snippet_f1(["one two menu", "nothing"], pages) == pytest.approx(2 / 3)
    assert truth.snippet_f1(["one two", "three"], pages) == 1
    assert truth.snippet_f1(["", ""], pages) == 0


def test_a_page_counts_where_it_has_a_truth():
    assert truth.score(["a b", "c"], [page("a b"), page("d")]) == truth.Scores(0.5, None)
    assert truth.score(["a b"], [page(None, ["a"])]) == truth.Scores(None, 1.0)
    assert truth.score([""], [page("")]) == truth.Scores(1.0, None)


def test_words_of_neighbouring_elements_stay_apart():
    assert truth.visible_text("<div><p>one</p><p>two<br>three</p></div>").split() == ["one", "two", "three"]


def test_the_digest_knows_names_and_contents_not_their_order():
    files = [("a", b"1"), ("b", b"2")]
    assert truth.digest(files) == truth.digest(reversed(files))
    others = [[("a", b"2"), ("b", b"1")], [("a", b"1"), ("c", b"2")], [("a", b"1b2")], [("a", b"1")]]
    assert len({truth.digest(other) for other in [files, *others]}) == 5
