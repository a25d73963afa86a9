"""The posts of a thread: the elements that hold the text of one, as forum software names them."""

import re
from typing import Any, Final

from webtext.pipeline.documents.rendering import Block, render

_TAGS: Final = ("article", "blockquote", "div", "li", "section", "td")
_PROPERTIES: Final = frozenset({"articleBody", "text"})  # of schema.org
_NAMED: Final = re.compile(
    r"\b(?:answer|comment|entry|message|post|reply|topic)[\s_-]{0,2}(?:body|cell|content|message|msg|text)\b|\bmessage\b"
    # XenForo, FluxBB, phpBB, vBulletin, Invision, Vanilla, Discourse, Stack Exchange
    r"|bbWrapper|postmsg|postbody|js-post__content-text|rich-?text|userContent|\bcooked\b|contentWrap|s-prose",
    re.IGNORECASE,
)
_DIGITS: Final = re.compile(r"\d+")
_FEWEST: Final = 2  # posts of a thread


def posts(tree: Any) -> list[Block]:
    """The blocks of the posts; empty where there are none. The tree has trafilatura's names of tags."""
    groups: dict[tuple[str, str], list[Any]] = {}
    for element in tree.iterdescendants(*_TAGS):
        class_ = element.get("class", "")
        if element.get("itemprop") in _PROPERTIES or _NAMED.search(class_):
            groups.setdefault((element.tag, element.get("itemprop") or _DIGITS.sub("", class_)), []).append(element)
    best: list[Any] = []
    most = 0
    for group in groups.values():
        members = set(group)
        outer = [element for element in group if not any(each in members for each in element.iterancestors())]
        size = sum(len(element.text_content()) for element in outer)
        if len(outer) >= _FEWEST and size > most:
            best, most = outer, size
    return [block for element in best for block in render(element)]
