import gzip
import hashlib
import itertools
import math
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree, html
from processes import finished
from trafilatura import external, html2txt

from webtext.pipeline.documents import main_text, trafilatura_paths, trafilatura_steps
from webtext.pipeline.documents.decode import decode
from webtext.pipeline.settings import ExtractSettings

DATA = Path("../shared/data/html")
SETTINGS = ExtractSettings()
ALWAYS = math.inf  # the share of a page below which the comparison is made, for the text to be trafilatura's
TEXT = "The old harbour town has changed a good deal since the railway came to the valley, people say. "
ARTICLE = "<article>" + "".join(f"<p>{TEXT} {number} é</p>" for number in range(10)) + "</article>"
PLAIN = """
import gzip, hashlib, sys, trafilatura
for path in sys.argv[1:]:
    html = gzip.open(path).read().decode("utf-8", "replace")
    text = trafilatura.extract(html, include_comments=False) or ""
    print(hashlib.sha256(text.encode()).hexdigest())
"""


def extracted(html, **choices):
    return main_text.find_main_text(main_text.parse(html), SETTINGS, **choices)


def paths():
    found = sorted(DATA.glob("*/html/*.gz"))[::12]
    if not found:
        pytest.skip("../shared/data/html is absent")
    return found


def texts_of_trafilatura(names):
    """Hashes, from a process of its own, which can't have our functions in trafilatura."""
    plain = finished([sys.executable, "-c", PLAIN, *names], text=True)
    assert plain.returncode == 0, plain.stderr
    return plain.stdout.split()


def differing(names, **choices):
    ours = []
    for name in names:
        html = gzip.decompress(Path(name).read_bytes()).decode("utf-8", "replace")
        ours.append(hashlib.sha256(extracted(html, share=ALWAYS, **choices).encode()).hexdigest())
    return [name for name, a, b in zip(names, ours, texts_of_trafilatura(names), strict=True) if a != b]


def test_the_text_is_that_of_trafilatura_untouched():
    assert differing([str(path) for path in paths()]) == []


def test_another_trafilatura_gives_its_own_text():
    assert trafilatura_paths.replacements("another digest") == []
    slow = [part for part in trafilatura_steps.REPLACEMENTS if part not in trafilatura_paths.REPLACEMENTS]
    assert len(slow) + len(trafilatura_paths.REPLACEMENTS) == len(trafilatura_steps.REPLACEMENTS)
    assert differing([str(path) for path in paths()[::4]], steps=slow) == []


def test_the_expressions_of_this_trafilatura_are_known():
    assert trafilatura_paths.REPLACEMENTS, (
        "trafilatura has other XPath expressions than those that trafilatura_paths.py was made for: the texts stay "
        "right, but take longer; compare xpaths.py and settings.py, adapt the functions, write the new digest"
    )


# Names and values that the expressions look for, and such as nearly are.
WORDS = (
    "post entry articleBody articleContent article__body post-content Post-content fulltext FullText story text cell "
    "content main-content Main-Content page-Content contentBody cookie tags sidebar author nav Navigation menu footer "
    "Footer share-x x-share teaser Teaser TEASER caption comment comments commentary comol disqus_thread post-comments "
    "infinite-scroll infinitescroll mvp-post-add-box elementor-share-buttons hide-x notloaded reply-1 x-reply-1 hidden "
    "akismet cookie-banner Cookie_Notice onetrust ad-1 primary main true x"
)
VALUES = WORDS.split()
VALUE = st.one_of(
    st.sampled_from(VALUES), st.lists(st.sampled_from(VALUES), max_size=3).map(" ".join), st.just("z " * 120 + "nav")
)
ATTRIBUTES = st.lists(
    st.tuples(
        st.sampled_from(
            ["id", "class", "style", "role", "aria-hidden", "itemprop", "data-component", "data-lp-replacement-content"]
        ),
        st.one_of(VALUE, st.sampled_from(["display:none", "display: none", "MostPopularStories", "Navigation", ""])),
    ),
    max_size=4,
    unique_by=lambda pair: pair[0],
)
NAMES = "div p section article main span aside footer ul ol list item details script svg template h1 em"
TAGS = st.sampled_from(NAMES.split())
TREES = st.recursive(
    st.tuples(TAGS, ATTRIBUTES, st.just([])),
    lambda children: st.tuples(TAGS, ATTRIBUTES, st.lists(children, max_size=4)),
    max_leaves=20,
)


def built(spec, tag="body"):
    _, attributes, children = spec
    element = etree.Element(tag)
    for name, value in attributes:  # in this order: for `@id|@class` the first counts
        element.set(name, value)
    element.extend([built(child, child[0]) for child in children])
    return element


@settings(max_examples=300, deadline=None)
@given(TREES)
def test_functions_select_what_the_expressions_do(spec):
    tree = built(spec)
    for module, name, ours in trafilatura_paths.REPLACEMENTS:
        theirs = getattr(module, name)
        assert theirs is not ours
        if not isinstance(theirs, list):
            assert ours(tree) == theirs(tree)
            continue
        for mine, their in zip(ours, theirs, strict=True):
            # trafilatura takes the first of what BODY_XPATH selects
            last = 1 if name == "BODY_XPATH" else None
            assert mine(tree)[:last] == their(tree)[:last], their.path


def test_our_functions_stand_in_trafilatura_only_during_a_call():
    before = [getattr(owner, name) for owner, name, _ in trafilatura_steps.REPLACEMENTS]
    assert extracted(ARTICLE)
    assert before == [getattr(owner, name) for owner, name, _ in trafilatura_steps.REPLACEMENTS]


LEAVES = "aside nav svg script style form table figure label p div abbr img"
FRAMES = "aside nav menu form table figure div p font"
CLEANED = st.recursive(
    st.tuples(st.sampled_from(LEAVES.split()), st.just([])),
    lambda children: st.tuples(st.sampled_from(FRAMES.split()), st.lists(children, max_size=4)),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(CLEANED, st.sampled_from(["", "presentation"]))
def test_cleaning_is_that_of_trafilatura_also_where_tags_are_nested(spec, role):
    numbers = itertools.count()

    def markup(spec):
        tag, children = spec
        return f"<{tag} role='{role}'>{next(numbers)}{''.join(map(markup, children))}</{tag}>{next(numbers)}"

    page = f"<html><body>{markup(spec)}</body></html>"
    cleaned = [
        etree.tostring(clean(html.fromstring(page, parser=html.xhtml_parser), main_text._OPTIONS))
        for clean in (trafilatura_steps._their_tree_cleaning, trafilatura_steps._tree_cleaning)
    ]
    assert cleaned[0] == cleaned[1]


def test_only_scripts_of_json_stay_and_no_text_is_lost():
    tree = main_text.parse(
        "<html><head><style>s</style></head><body>a<script>x</script>b<p>c"
        "<script type='application/ld+json'>{}</script>d<style>s</style>e</p><script type=module src=x></script>f"
    )
    trafilatura_steps.remove_scripts(tree)
    assert "".join(tree.itertext()) == "abc{}def"
    assert len(list(tree.iter("script", "style"))) == 1


def test_scripts_stay_where_cleaning_leaves_no_paragraph():
    tree = main_text.parse("<nav><p>a<script>x</script></nav><div>b<script>y</script></div>")
    trafilatura_steps.remove_scripts(tree)
    assert len(list(tree.iter("script"))) == 2


def test_verdicts_are_kept_for_some_values_only():
    test = trafilatura_paths._test("nav")
    kept = test.__self__
    for number in range(20_000):
        assert test(f"nav-{number}")
        assert not test(f"x-{number}")
    assert test("z" * 5_000 + "nav")
    assert not test("")
    assert len(kept) <= 8192
    assert max(map(len, kept)) < 200


TOKENS = "<p> </p> <div> </div> <br> <br><br> <a> </a> <select> </select> <h2> </h2> <b> </b> &nbsp; &#13; &copy;"
PARTS = st.sampled_from([*TOKENS.split(), "\n", "\t"])
RUNS = st.sampled_from(["the valley and the town ", "of it ", "Häfen ", "x", " ", "  \n ", "the old of the " * 20])


@settings(max_examples=100, deadline=None)  # jusText takes 30 ms to hash its list of stop words
@given(st.lists(st.one_of(PARTS, RUNS), max_size=40).map("".join))
def test_paragraphs_are_those_of_justext(markup):
    tree = main_text.parse(f"<html><body>{markup}</body></html>")
    expected = external.try_justext(tree, None, None)
    found = trafilatura_steps._try_justext(tree, None, None)
    assert [p.text for p in found] == [p.text for p in expected]


@settings(max_examples=100, deadline=None)
@given(TREES)
def test_the_bound_of_the_text_is_one(spec):
    tree = built(spec)
    for element in tree.iter():
        element.text, element.tail = "a b", "c"
    assert trafilatura_steps.longest(tree) >= len(html2txt(main_text.parse(etree.tostring(tree, encoding="unicode"))))


@pytest.mark.parametrize("depth", [100, 300, 1000, 1900])
def test_deep_pages_are_read_whole(depth):
    text = extracted(f"<html><body>{'<div>' * depth}{ARTICLE}{'</div>' * depth}</body></html>")
    assert text.count("harbour") == 10


@pytest.mark.parametrize(
    "start",
    [
        "<!doctype html><html>",
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">\n<html/>',
        "<!-- a comment --><!doctype html><html>",
        '<?xml version="1.0" encoding="latin-1"?>\n<html>',
        "",
        "\ufeff<html>",
        "\0\x01<html>",
        "<html/>",
    ],
)
def test_pages_that_start_oddly_have_title_and_text(start):
    page = f"{start}<head><title>Tü</title></head><body>{ARTICLE}</body></html>"
    tree = main_text.parse(page)
    assert tree.findtext(".//title") == "Tü"
    assert main_text.find_main_text(tree, SETTINGS).count("é") == 10


@pytest.mark.parametrize("html", ["", " ", "\0", "<!-- -->", "\ufffe\uffff"])
def test_nothing_gives_nothing(html):
    tree = main_text.parse(html)
    assert tree is None or extracted(html) == ""


def test_decoded_surrogates_do_no_harm():
    assert extracted(
        decode(f"<html><body>{f'<p>{TEXT}</p>' * 10}\ud83d</body></html>".encode("utf-8", "surrogatepass"))
    )
