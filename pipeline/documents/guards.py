"""What is refused before a parser, the extractor or the tokenizer sees it, so that no page takes them minutes.

The limits are set so that what passes takes a fraction of the budget of CPU time: a page near the budget would be a
document on one machine and a time-out on another. Of 504 real pages none is refused: they have up to 34,000 tags, 334
attributes in a tag, a nesting of 44 and a sum of depths of 148,000.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from lxml import etree  # type: ignore[import-untyped]

from webtext.pipeline.text.clean import CONTROLS
from webtext.schemas.records import Loss, Reason

_MAX_TAGS: Final = 50_000  # "<" in a page: some steps of trafilatura take the square of the elements
_LONG_TAG: Final = 8192  # bytes; in shorter ones the attributes are too few to count
_MAX_TAG: Final = 1_500_000  # bytes; real pages have 635,000, a whole JSON document in one attribute
_MAX_ATTRIBUTES: Final = 5_000  # in one tag: both lxml and trafilatura take the square of them, 2.5 s for 20,000
_MAX_DEPTH: Final = 512  # lxml reads up to 2,048 and drops the rest
# Links, lists and div are measured again for every ancestor: 7.6 s for 4,000 links below 1,000 div, a sum of 4 million.
_MAX_DEPTHS: Final = 1_000_000

_MARKUP: Final = re.compile(r"<[A-Za-z!/?]")
_ATTRIBUTE: Final = re.compile(r"""[^\s"'=>/]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s>"']*))?|>""")
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
    in_script, seen = False, 0
    for start, end in _long_pieces(html):
        if not html[start].isalpha() or not (refusal := _refuse_tag(html[start:end])):
            continue
        in_script, seen = _in_script(html[seen : start - 1], in_script), start - 1
        if not in_script:
            return refusal
    return None


def _long_pieces(html: str) -> Iterator[tuple[int, int]]:
    """Begin and end of what stands between a "<" and the next, where that is more than _LONG_TAG."""
    at = html.find("<")
    while at >= 0:
        # All that lie before the last "<" in reach are short: thousands of tags cost one step.
        near = html.rfind("<", at + 1, at + _LONG_TAG + 2)
        if near < 0:
            near = html.find("<", at + _LONG_TAG + 2)
            end = near if near >= 0 else len(html)
            if end - at - 1 > _LONG_TAG:
                yield at + 1, end
        at = near


def _refuse_tag(piece: str) -> Loss | None:
    """Of what follows a "<" up to the next. A tag with "<" in its values passes for a short one."""
    end = 0
    for attributes, match in enumerate(_ATTRIBUTE.finditer(piece)):
        end = match.end()
        if match[0] == ">":
            break
        if attributes > _MAX_ATTRIBUTES:
            return Loss(Reason.TOO_MANY_ATTRIBUTES, f"over {_MAX_ATTRIBUTES} attributes in a tag")
    if end > _MAX_TAG:
        return Loss(Reason.TAG_TOO_LONG, f"a tag of {end} characters, at most {_MAX_TAG} are parsed")
    return None


def _in_script(markup: str, before: bool) -> bool:
    """Whether what follows is the program text of a script, where "<" opens no tag; `before`: whether this began so."""
    markup = markup.lower()
    opened, closed = markup.rfind("<script"), markup.rfind("</script")
    return before if opened == closed else opened > closed


def refuse_tree(tree: Any) -> Loss | None:
    """Why no text is looked for in the parsed page, or None."""
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
