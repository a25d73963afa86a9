"""What a page says of itself, where that is cheap to read. None of it decides whether a page stays.

The date of publication is taken from markup that means just that, and only as ISO 8601. trafilatura's own metadata
also guesses dates from addresses and texts, and takes as long as all the extraction.
"""

import re
from datetime import date
from typing import Any, Final

import msgspec
from lxml import etree  # type: ignore[import-untyped]

from pipeline import guards

_MAX_TITLE: Final = 500  # characters
_MAX_SCRIPTS: Final = 20
_LANG: Final = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{1,8}){0,4}")
_DATE: Final = re.compile(r"\s{0,20}(\d{4}-\d\d-\d\d)(?![\d-])")
_JSON_DATE: Final = re.compile(r'"datePublished"\s{0,9}:\s{0,9}"([^"]{10,40})"')

# Open Graph's article namespace, schema.org as microdata, Dublin Core; then <time>.
_META: Final = etree.XPath(
    "(//meta[@property='article:published_time' or @itemprop='datePublished' or @name='article:published_time'"
    " or @name='datePublished' or @name='DC.date.issued' or @name='dcterms.issued'])[position() <= 20]/@content",
    smart_strings=False,
)
_JSON: Final = etree.XPath("//script[@type='application/ld+json']", smart_strings=False)
_TIME: Final = etree.XPath(
    "(//time[@itemprop='datePublished' or @pubdate])[position() <= 20]/@datetime", smart_strings=False
)


class Metadata(msgspec.Struct, frozen=True):
    """Of one page; "" where it says nothing."""

    title: str = ""
    published: str = ""  # ISO 8601 date
    html_lang: str = ""  # as declared: a language tag, lower case


def read(tree: Any) -> Metadata:
    """What the page of this tree says of itself."""
    return Metadata(
        title=" ".join(guards.clean(tree.findtext(".//title") or "").split())[:_MAX_TITLE],
        published=_published(tree),
        html_lang=_html_lang(tree),
    )


def _html_lang(tree: Any) -> str:
    declared = (tree.get("lang") or tree.get("xml:lang") or "").strip().lower().replace("_", "-")
    return declared if _LANG.fullmatch(declared) else ""


def _published(tree: Any) -> str:
    """The first kind of markup that names dates decides, and only if they are all the same day."""
    scripts = (_JSON_DATE.findall(script.text or "") for script in _JSON(tree)[:_MAX_SCRIPTS])
    for kind in (_META(tree), (found for script in scripts for found in script), _TIME(tree)):
        days = {_day(value) for value in kind}
        if days:
            return days.pop() if len(days) == 1 else ""
    return ""


def _day(value: str) -> str:
    found = _DATE.match(value)
    try:
        return date.fromisoformat(found[1]).isoformat() if found else ""
    except ValueError:
        return ""
