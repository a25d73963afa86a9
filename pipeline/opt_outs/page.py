"""What a page says of itself: the opt-outs in its header fields and in the <meta> of its head.

The head is read without a parser, in linear time, so that a crawler can ask before it keeps a page, and a page out of
an archive passes the same check.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from webtext.pipeline.opt_outs.signals import OptOut, of_fields, of_meta

_HEAD_BYTES: Final = 256 * 1024
# One of these is in a <meta> of every head that opts out.
_WORDS: Final = (b"noai", b"noml", b"noimageai", b"tdm-reservation", b"content-usage", b"content-signal")
# What holds no tags, and where the head ends.
_MARK: Final = re.compile(rb"<(?:!--|(script|style|title|template)[\s/>]|/head[\s>]|body[\s>])")
_ANY_META: Final = re.compile(rb"<meta[^>]*+")
_META: Final = re.compile(rb"<meta[\s/]([^>]{1,2000}+)>", re.IGNORECASE)
# The value is optional, so that a long name without one is passed over at once, not tried again from each letter.
_ATTRIBUTE: Final = re.compile(
    rb"([a-z][a-z-]*+)(?:\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s\"'>]++)))?+", re.IGNORECASE
)


def of_page(fields: Iterable[tuple[str, str]], html: bytes) -> Iterator[OptOut]:
    """The opt-outs of a page, its header fields first.

    Args:
        fields: names in any case.
        html: decoded from its content coding; its first 256 KiB are read.
    """
    yield from of_fields(fields)
    for tag in _META.finditer(_head(html)):
        attributes = {
            found[1].lower(): (found[2] or found[3] or found[4] or b"").decode("latin-1").strip()
            for found in _ATTRIBUTE.finditer(tag[1])
            if found.lastindex != 1
        }
        name = attributes.get(b"name") or attributes.get(b"http-equiv", "")
        yield from of_meta(name, attributes.get(b"content", ""))


def _head(html: bytes) -> bytes:
    """The head without comments, scripts and the like; empty where no word in it opts out, as on nearly every page."""
    html = html[:_HEAD_BYTES].replace(b"\0", b"")  # NUL: UTF-16 then looks like ASCII
    lowered = html.lower()
    tags = b"".join(_ANY_META.findall(lowered))
    if not any(word in tags for word in _WORDS):
        return b""
    pieces = []
    at = 0
    while mark := _MARK.search(lowered, at):
        pieces.append(html[at : mark.start()])
        if mark[0] == b"<!--":
            close = b"-->"
            end = lowered.find(close, mark.start() + 2)  # "<!-->" is whole
        elif mark[1]:
            close = b"</" + mark[1]
            end = lowered.find(close, mark.end())
        else:
            return b" ".join(pieces)
        if end < 0:  # it has no end, so that nothing behind it is a tag
            return b" ".join(pieces)
        at = end + len(close)
    return b" ".join([*pieces, html[at:]])
