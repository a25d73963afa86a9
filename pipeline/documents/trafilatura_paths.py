"""trafilatura's XPath expressions as functions: the same elements in the same order, in a third of the time.

They look for words in the class and id of nearly every element by `re:test`, 40 % of all time: alternations of fifty
words, tried again for each of the hundreds of elements with the same class. Here what was found for a value is kept.

These functions are right for the expressions that they were written after. `REPLACEMENTS` is empty where trafilatura
has others, so that a new version is slower, not wrong.
"""

import hashlib
import importlib
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, NamedTuple

from trafilatura import settings, xpaths

_VALUES: Final = 8192  # that are kept for a pattern
_SHORT: Final = 200  # characters of a value that is kept

# Of the expressions that the functions below were written after.
_DIGEST: Final = "ef63562d0cef10ee9b731fd57b9eb6fc35bc2303f317508437f5a0fb1898ad86"

Found = list[Any]
Selector = Callable[[Any], Found]
Test = Callable[[str], bool]

_patterns: Final[list[str]] = []  # of all tests, which are part of the digest
_SECTIONS: Final = ("div", "item", "list", "p", "section", "span")
_FRAMES: Final = ("article", "div", "main", "section")


class _Verdicts(dict[str, bool]):
    """Value -> whether a pattern is found in it; "" has none. What is known costs no step of Python."""

    def __init__(self, pattern: str, flags: int) -> None:
        super().__init__()
        self._search = re.compile(pattern, flags).search

    def __missing__(self, value: str) -> bool:
        found = value != "" and self._search(value) is not None
        if len(value) < _SHORT:
            if len(self) >= _VALUES:
                self.clear()
            self[value] = found
        return found


def _test(*patterns: str, flags: int = 0) -> Test:
    """Whether one of the patterns is found in a value."""
    pattern = "|".join(patterns)
    _patterns.append(pattern)
    return _Verdicts(pattern, flags).__getitem__


def _words(name: str) -> tuple[str, ...]:
    """A list of words of trafilatura's; no words where it has no such list, and then the digest is another."""
    return tuple(getattr(xpaths, name, ()))


def _by_id_or_class(tags: Collection[str], in_id: Test, in_class: Test) -> Selector:
    def select(tree: Any) -> Found:
        return [
            element
            for element in tree.iterdescendants(*tags)
            if in_id(element.get("id", "")) or in_class(element.get("class", ""))
        ]

    return select


def _by_class(tags: Collection[str], in_class: Test) -> Selector:
    def select(tree: Any) -> Found:
        return [element for element in tree.iterdescendants(*tags) if in_class(element.get("class", ""))]

    return select


def _first(tags: Collection[str], test: Callable[[Any], bool]) -> Selector:
    """Of what BODY_XPATH selects only the first element is used."""

    def select(tree: Any) -> Found:
        for element in tree.iterdescendants(*tags):
            if test(element):
                return [element]
        return []

    return select


# RAW_TREE_PRUNE_XPATH

_appended: Final = _test("mvp-post-add-(?:box|wrap)")
_endless: Final = _test("mvp-post-add-(?:box|wrap)|infinite-?scroll")


def _follow_ups(tree: Any) -> Found:
    return [
        element
        for element in _follow_up_candidates(tree)
        if element.find(".//h1") is None or _appended(element.get("id", "")) or _appended(element.get("class", ""))
    ]


_ASIDES: Final = ("div", "section", "aside")
_follow_up_candidates: Final = _by_id_or_class(_ASIDES, _endless, _endless)
_share_buttons: Final = _by_class(_ASIDES, _test("elementor-share-buttons"))

# REMOVE_COMMENTS_AND_LISTS_XPATH

_comment_id: Final = _test("^(?:[Cc]omment(?!ary)|comol|disqus_thread|dsq-comments)")
_comment_list_id: Final = _test("^(?:[Cc]omment(?!ary)|comol)")
_comment_class: Final = _test("^[Cc]omment(?!ary)|(?:article|post)-comments")


def _comments(tree: Any) -> Found:
    found = []
    for element in tree.iterdescendants("div", "list", "section", "details", "ol", "ul"):
        in_id = _comment_list_id if element.tag in ("ol", "ul") else _comment_id
        if in_id(element.get("id", "")) or _comment_class(element.get("class", "")):
            found.append(element)
    return found


# OVERALL_DISCARD_XPATH

_both: Final = _words("_OVERALL_DISCARD_BOTH_TOKENS")
_discard_id: Final = _test(*_both, *_words("_OVERALL_DISCARD_ID_TOKENS"))
_discard_class: Final = _test(*_both, *_words("_OVERALL_DISCARD_CLASS_TOKENS"))


def _discarded(tree: Any) -> Found:
    found = []
    for element in tree.iterdescendants(*_SECTIONS):
        first, hit = None, False  # `@id|@class` as a string is the one that the markup has first
        for name, value in element.items():
            if name == "id":
                first = value if first is None else first
                hit = hit or _discard_id(value)
            elif name == "class":
                first = value if first is None else first
                hit = hit or _discard_class(value)
            elif name == "role":
                hit = hit or "nav" in value.replace("N", "n")
            elif name == "data-component":
                hit = hit or "MostPopularStories" in value
            elif name == "data-lp-replacement-content":
                hit = True
        if hit or (first and "cookie" in first):
            found.append(element)
    return found


_hidden_id: Final = _test("reader-comments|akismet")
_hidden_class: Final = _test(
    "^hide-|comments-title|nocomments|-reply-|message|akismet|suggest-links|-hide-|hide-print| hidden| hide|noprint"
    "|notloaded"
)


def _hidden(tree: Any) -> Found:
    found = []
    for element in tree.iterdescendants("*"):
        name_first = style_first = None  # of `@id|@class` and of `@id|@style`
        hit = False
        for name, value in element.items():
            if name == "id":
                name_first = value if name_first is None else name_first
                style_first = value if style_first is None else style_first
                hit = hit or _hidden_id(value)
            elif name == "class":
                name_first = value if name_first is None else name_first
                hit = hit or _hidden_class(value)
            elif name == "style":
                style_first = value if style_first is None else style_first
                hit = hit or "display:none" in value or "display: none" in value
            elif name == "aria-hidden":
                hit = hit or value == "true"
        if hit or (name_first and name_first.startswith("reply-")) or (style_first and "hidden" in style_first):
            found.append(element)
    return found


# TEASER_DISCARD_XPATH, DISCARD_IMAGE_ELEMENTS

_teaser: Final = _test("[tT]easer")
_teasers: Final = _by_id_or_class(_SECTIONS, _teaser, _teaser)
_caption: Final = _test("caption")
_captions: Final = _by_id_or_class(_SECTIONS, _caption, _caption)

# BODY_XPATH

_article_id: Final = _test(*_words("_ARTICLE_CONTENT_ID_TOKENS"))
_article_class: Final = _test(*_words("_ARTICLE_CONTENT_CLASS_TOKENS"))


def _is_article(element: Any) -> bool:
    class_, id_ = element.get("class", ""), element.get("id", "")
    return (
        class_ in ("post", "entry")
        or id_ == "articleContent"
        or _article_id(id_)
        or _article_class(class_)
        or element.get("itemprop") == "articleBody"
    )


_story_id: Final = _test(*_words("_STORY_ID_TOKENS"))
_story_class: Final = _test(*_words("_STORY_CLASS_TOKENS"))
_full_text: Final = _test("fulltext", flags=re.IGNORECASE)


def _is_story(element: Any) -> bool:
    class_, id_ = element.get("class", ""), element.get("id", "")
    return (
        id_ in ("article", "story")
        or class_ in ("postarea", "art-postcontent", "text", "cell", "story")
        or _story_id(id_)
        or _full_text(class_)
        or _story_class(class_)
        or element.get("role") == "article"
    )


_content_id: Final = _test(*_words("_MAIN_CONTENT_ID_TOKENS"), "[mM]ain-[cC]ontent")
_content_class: Final = _test(*_words("_MAIN_CONTENT_CLASS_TOKENS"), "[mM]ain-[cC]ontent", "[pP]age-[cC]ontent")


def _is_content(element: Any) -> bool:
    class_, id_ = element.get("class", ""), element.get("id", "")
    return id_ == "content" or class_ == "content" or _content_id(id_) or _content_class(class_)


# BASIC_CLEAN_XPATH

_NO_TEXT: Final = frozenset({"aside", "fencedframe", "footer", "script", "style", "svg", "template"})
_consent: Final = _test(getattr(settings, "_COOKIE_CONSENT_RE", ""), flags=re.IGNORECASE)


def _unwanted(tree: Any) -> Found:
    found = []
    for element in tree.iterdescendants("*"):
        tag, class_, id_ = element.tag, element.get("class", ""), element.get("id", "")
        if tag in _NO_TEXT or _consent(class_) or _consent(id_):
            found.append(element)
        elif tag == "div" and ("footer" in class_ or "footer" in id_):
            first = next(value for name, value in element.items() if name in ("class", "id"))
            if "footer" in first:
                found.append(element)
    return found


_OURS: Final[dict[tuple[str, str], Sequence[Selector | None] | Selector]] = {
    ("trafilatura.core", "RAW_TREE_PRUNE_XPATH"): (_follow_ups, _share_buttons),
    ("trafilatura.core", "REMOVE_COMMENTS_AND_LISTS_XPATH"): (_comments,),
    ("trafilatura.main_extractor", "OVERALL_DISCARD_XPATH"): (_discarded, _hidden),
    ("trafilatura.main_extractor", "TEASER_DISCARD_XPATH"): (_teasers,),
    ("trafilatura.main_extractor", "DISCARD_IMAGE_ELEMENTS"): (_captions,),
    ("trafilatura.main_extractor", "BODY_XPATH"): (
        _first(_FRAMES, _is_article),
        None,  # quick as it is
        _first(_FRAMES, _is_story),
        _first(_FRAMES, _is_content),
        None,
    ),
    ("trafilatura.baseline", "BASIC_CLEAN_XPATH"): _unwanted,
}


class Selectors(NamedTuple):
    """What each list of expressions selects; of those of `body`, only the first element counts."""

    appended: list[Selector]
    comments: list[Selector]
    discarded: list[Selector]
    teasers: list[Selector]
    captions: list[Selector]
    body: list[Selector]
    unwanted: list[Selector]


def _theirs(module_name: str, name: str) -> Any:
    return getattr(importlib.import_module(module_name), name)  # `trafilatura.baseline` is also a function


def digest(expressions: Sequence[Any]) -> str:
    """Of XPath expressions, and lists of them, and of the patterns of the functions here."""
    lists = [[path.path for path in (theirs if isinstance(theirs, list) else [theirs])] for theirs in expressions]
    return hashlib.sha256(repr((lists, _patterns)).encode()).hexdigest()


def selectors(known: str = _DIGEST) -> Selectors:
    """Our functions, or trafilatura's own expressions where they are not those that are known."""
    is_known = digest([_theirs(*place) for place in _OURS]) == known
    found: list[list[Selector]] = []
    for place, ours in _OURS.items():
        theirs = _theirs(*place)
        pairs = zip([ours] if callable(ours) else ours, theirs if isinstance(theirs, list) else [theirs], strict=True)
        found.append([(mine if is_known else None) or their for mine, their in pairs])
    return Selectors(*found)


SELECTORS: Final = selectors()
