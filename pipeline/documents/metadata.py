"""What a page says of itself, where that is cheap to read. None of it decides whether a page stays.

The date of publication is taken from markup that means just that, and only as ISO 8601. trafilatura's own metadata
also guesses dates from addresses and texts, and takes as long as all the extraction.
"""

import re
from datetime import date
from typing import Any, Final

import msgspec

from webtext.pipeline.text.clean import clean

_MAX_TITLE: Final = 500  # characters
_MAX: Final = 20  # elements of a kind
_LANG: Final = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{1,8}){0,4}")
_DATE: Final = re.compile(r"\s{0,20}(\d{4}-\d\d-\d\d)(?![\d-])")
_JSON_DATE: Final = re.compile(r'"datePublished"\s{0,9}:\s{0,9}"([^"]{10,40})"')

# Open Graph's article namespace, schema.org as microdata, Dublin Core; then <time>.
_NAMES: Final = {
    "property": frozenset({"article:published_time"}),
    "itemprop": frozenset({"datePublished"}),
    "name": frozenset({"article:published_time", "datePublished", "DC.date.issued", "dcterms.issued"}),
}


class Metadata(msgspec.Struct, frozen=True):
    """Of one page; "" where it says nothing."""

    title: str = ""
    published: str = ""  # ISO 8601 date
    html_lang: str = ""  # as declared: a language tag, lower case


def read(tree: Any) -> Metadata:
    """What the page of this tree says of itself."""
    return Metadata(
        title=" ".join(clean(tree.findtext(".//title") or "").split())[:_MAX_TITLE],
        published=_published(tree),
        html_lang=_html_lang(tree),
    )


def _html_lang(tree: Any) -> str:
    declared = (tree.get("lang") or tree.get("xml:lang") or "").strip().lower().replace("_", "-")
    return declared if _LANG.fullmatch(declared) else ""


def _published(tree: Any) -> str:
    """The first kind of markup that names dates decides, and only if they are all the same day."""
    scripts, metas, times = [], [], []
    for element in tree.iter("meta", "script", "time"):  # one walk: each takes as long as reading the head
        if element.tag == "meta":
            if any(element.get(attribute) in names for attribute, names in _NAMES.items()):
                metas.append(element)
        elif element.tag == "script":
            if element.get("type") == "application/ld+json":
                scripts.append(element)
        elif element.get("itemprop") == "datePublished" or element.get("pubdate") is not None:
            times.append(element)
    dates = (_JSON_DATE.findall(script.text or "") for script in scripts[:_MAX])
    for kind in (
        _values(metas, "content"),
        (found for script in dates for found in script),
        _values(times, "datetime"),
    ):
        days = {_day(value) for value in kind}
        if days:
            return days.pop() if len(days) == 1 else ""
    return ""


def _values(elements: list[Any], attribute: str) -> list[str]:
    return [value for element in elements[:_MAX] if (value := element.get(attribute)) is not None]


def _day(value: str) -> str:
    found = _DATE.match(value)
    try:
        return date.fromisoformat(found[1]).isoformat() if found else ""
    except ValueError:
        return ""
