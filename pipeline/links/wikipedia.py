"""Is a page Wikipedia's, by its address? Its own hosts, mirrors, and what wraps other pages.

Test sets are made of Wikipedia, so copies of it are left out too. Precision comes first: other wikis must stay.
"""

import re
from functools import cache
from importlib import resources
from typing import Final, NamedTuple


class _Place(NamedTuple):
    """A part of a host that shows Wikipedia."""

    path: str  # beginning of the path; "/" for the whole host
    wraps: bool  # shows other pages too: the URL must name Wikipedia


@cache
def _places() -> dict[str, tuple[_Place, ...]]:
    """By host."""
    found: dict[str, tuple[_Place, ...]] = {}
    table = resources.files("webtext.pipeline.links").joinpath("data/wikipedia-hosts.tsv")
    for line in table.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            place, kind, _ = line.split("\t")
            host, _, path = place.partition("/")
            found[host] = (*found.get(host, ()), _Place("/" + path, kind == "wrapper"))
    return found


_NAMED: Final = re.compile(r"(?:%2F|%3A|(?<![a-z0-9-]))wikipedia\.org(?![a-z0-9-]|\.[a-z])", re.ASCII | re.IGNORECASE)
_INSIDE: Final = re.compile(r"(?:\A|\.)wikipedia\.org\.|(?:\A|-)wikipedia-org\.translate\.goog\Z", re.ASCII)


def address(canonical: str) -> str | None:
    """How a canonical URL leads to Wikipedia: by its own hosts, mirrors, or what wraps other pages. None: it doesn't.

    All sub-domains of a listed host count, by whole labels. Takes about a microsecond.
    """
    authority, _, rest = canonical.partition("://")[2].partition("/")
    host = authority.partition(":")[0]
    rest = f"/{rest}"
    places, parent = _places(), host
    while parent:
        for place in places.get(parent, ()):
            if rest.lower().startswith(place.path):
                if not place.wraps:
                    return host
                if "wikipedia.org" in rest and _NAMED.search(rest):
                    return f"{host} shows a page of Wikipedia"
        parent = parent.partition(".")[2]
    return f"{host} shows a page of Wikipedia" if "wikipedia" in host and _INSIDE.search(host) else None
