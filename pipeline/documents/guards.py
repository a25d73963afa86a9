"""What is refused before a parser, the extractor or the tokenizer sees it, so that no page takes them minutes.

The limits are set so that what passes takes a fraction of the budget of CPU time: a page near the budget would be a
document on one machine and a time-out on another. Of 504 real pages none is refused: they have up to 34,000 tags, 334
attributes in a tag, a nesting of 44 and a sum of depths of 148,000.
"""

import re
from typing import Any, Final

from lxml import etree  # type: ignore[import-untyped]

from webtext.pipeline.text.clean import CONTROLS
from webtext.schemas.records import Loss, Reason

_MAX_TAGS: Final = 50_000  # "<" in a page: some steps of trafilatura take the square of the elements
_LONG_TAG: Final = 1024  # characters; in shorter ones the attributes are too few to count
_MAX_TAG: Final = 1_500_000  # bytes; real pages have 635,000, a whole JSON document in one attribute
_MAX_ATTRIBUTES: Final = 5_000  # in one tag: both lxml and trafilatura take the square of them, 2.5 s for 20,000
_MAX_SQUARES: Final = _MAX_ATTRIBUTES**2  # over all tags
_FEW: Final = 100  # attributes of a tag that don't matter
_MAX_DEPTH: Final = 512  # lxml reads up to 2,048 and drops the rest
# Links, lists and div are measured again for every ancestor: 7.6 s for 4,000 links below 1,000 div, a sum of 4 million.
_MAX_DEPTHS: Final = 1_000_000

# Inline elements are taken out of their text, which leaves it in pieces, and lxml joins all of them anew for each:
# pieces x characters. 25 thousand million take 6 s.
_MAX_PIECES: Final = 25 * 10**9
_FEW_PIECES: Final = 2_000  # with fewer, a page of 10 MB is below

_MARKUP: Final = re.compile(r"<[A-Za-z!/?]")
_TAG: Final = re.compile(r"""<[A-Za-z][^=>]*+(?:=\s*+(?:"[^"]*+"|'[^']*+')?+[^=>]*+)*+""")
_ATTRIBUTE: Final = re.compile(r"""[^\s"'=>/]++(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"']*+))?+""")
_SAMPLE: Final = 65_536  # characters that tell text from binary
_BINARY: Final = 0.02  # share of control characters


def refuse(html: str) -> Loss | None:
    """Why the markup is not parsed, or None."""
    if not _MARKUP.search(html):
        return Loss(Reason.NO_TEXT, "no markup")
    sample = html[:_SAMPLE].encode("utf-8", "replace")
    controls = len(sample) - len(sample.translate(None, CONTROLS)) - sample.count(b"\f")
    if controls > _BINARY * len(sample):
        return Loss(Reason.NO_TEXT, f"binary: {controls} control characters in {len(sample)} bytes")
    tags = html.count("<")
    if tags > _MAX_TAGS:
        return Loss(Reason.TOO_MANY_TAGS, f"{tags} tags, at most {_MAX_TAGS} are parsed")
    return _refuse_tags(html)


def _refuse_tags(html: str) -> Loss | None:
    tags = _TAG.findall(html)
    if sum(length * length for length in map(len, tags)) <= _MAX_SQUARES:  # as of nearly every page
        return None
    in_script, seen, squares = False, 0, 0
    for tag in _TAG.finditer(html):
        start, end = tag.span()
        if end - start <= _LONG_TAG:
            continue
        attributes = sum(1 for _ in _ATTRIBUTE.finditer(html, start + 1, end)) - 1  # the first is the tag's name
        if attributes <= _FEW and end - start <= _MAX_TAG:
            continue
        in_script, seen = _in_script(html[seen:start], in_script), start
        if in_script:
            continue
        if end - start > _MAX_TAG:
            return Loss(Reason.TAG_TOO_LONG, f"a tag of {end - start} characters, at most {_MAX_TAG} are parsed")
        squares += attributes * attributes
        if squares > _MAX_SQUARES:
            return Loss(
                Reason.TOO_MANY_ATTRIBUTES, f"over {_MAX_ATTRIBUTES} attributes in a tag, or as dear ones in many"
            )
    return None


def _in_script(markup: str, before: bool) -> bool:
    """Whether what follows is the program text of a script, where "<" opens no tag; `before`: whether this began so."""
    markup = markup.lower()
    opened, closed = markup.rfind("<script"), markup.rfind("</script")
    return before if opened == closed else opened > closed


def refuse_tree(tree: Any) -> Loss | None:
    """Why no text is looked for in the parsed page, or None."""
    elements = _count_elements(tree)
    if elements > _FEW_PIECES and elements * _count_characters(tree) > _MAX_PIECES:
        refusal = _refuse_pieces(tree)
        if refusal:
            return refusal
    if not _is_deep(tree):
        return None
    depth = deepest = total = 0
    for event, _ in etree.iterwalk(tree, events=("start", "end")):
        if event == "end":
            depth -= 1
            continue
        depth += 1
        deepest = max(deepest, depth)
        total += depth
        if deepest > _MAX_DEPTH:
            return Loss(Reason.TOO_DEEP, f"nested more than {_MAX_DEPTH} deep")
        if total > _MAX_DEPTHS:
            return Loss(Reason.TOO_DEEP, f"the depths of the elements sum up to more than {_MAX_DEPTHS}")
    return None


# With 50,000 elements at most, the sum can only be reached where something is deeper than 20; few real pages go on to
# the exact count, which takes Python a step for each element.
_is_deep: Final = etree.XPath("boolean(/" + "/".join("*" * 30) + ")")
_count_elements: Final = etree.XPath("count(//*)")
_count_characters: Final = etree.XPath("string-length(/)")

# What stays between two texts.
_SPLITS: Final = frozenset({"p", "div", "br", "ul", "ol", "li", "dl", "dt", "dd", "pre", "blockquote"}) | frozenset(
    {"table", "tbody", "tr", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6"}
)


def _refuse_pieces(tree: Any) -> Loss | None:
    runs = [(0, 0)]  # inline elements and characters since the last split, of all elements that split and are open
    for event, element in etree.iterwalk(tree, events=("start", "end")):
        splits = element.tag in _SPLITS
        if event == "start":
            pieces, characters = (0, 0) if splits else runs[-1]
            if splits:
                runs.append((0, 0))
            runs[-1] = (pieces + (not splits), characters + len(element.text or ""))
        else:
            if splits:
                runs.pop()
            pieces, characters = (0, 0) if splits else runs[-1]
            runs[-1] = (pieces, characters + len(element.tail or ""))
        pieces, characters = runs[-1]
        if pieces * characters > _MAX_PIECES:
            return Loss(Reason.TOO_MANY_TAGS, f"over {pieces} inline tags in a text of over {characters} characters")
    return None
