import importlib

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from webtext.pipeline.documents import trafilatura_paths

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
    for (module, name), ours in zip(trafilatura_paths._OURS, trafilatura_paths.SELECTORS, strict=True):
        theirs = getattr(importlib.import_module(module), name)
        for mine, their in zip(ours, theirs if isinstance(theirs, list) else [theirs], strict=True):
            # trafilatura takes the first of what BODY_XPATH selects
            last = 1 if name == "BODY_XPATH" else None
            assert mine(tree)[:last] == their(tree)[:last], their.path


def test_another_trafilatura_has_its_own_expressions():
    for (module, name), found in zip(
        trafilatura_paths._OURS, trafilatura_paths.selectors("another digest"), strict=True
    ):
        theirs = getattr(importlib.import_module(module), name)
        assert found == (theirs if isinstance(theirs, list) else [theirs])


def test_the_expressions_of_this_trafilatura_are_known():
    assert trafilatura_paths.selectors("another digest") != trafilatura_paths.SELECTORS, (
        "trafilatura has other XPath expressions than those that trafilatura_paths.py was made for: the texts stay "
        "right, but take longer; compare xpaths.py and settings.py, adapt the functions, write the new digest"
    )


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
