"""What a page says of itself, where that is cheap to read. None of it decides whether a page stays."""

from typing import Any

import msgspec

from pipeline import guards

_MAX_TITLE = 500  # characters


class Metadata(msgspec.Struct, frozen=True):
    """Of one page; "" where it says nothing."""

    title: str = ""
    published: str = ""  # ISO 8601 date
    html_lang: str = ""  # as declared: a language tag, lower case


def read(tree: Any) -> Metadata:
    """What the page of this tree says of itself."""
    return Metadata(title=" ".join(guards.clean(tree.findtext(".//title") or "").split())[:_MAX_TITLE])
