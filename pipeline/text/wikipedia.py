"""Is a page Wikipedia's, by its address, or a copy of a Wikipedia article, by what it says of itself?

Test sets are made of Wikipedia, so copies of it are left out too. Precision comes first: other wikis, and pages that
quote Wikipedia or speak of it, must stay. docs/soft-failures.md has the figures.
"""

import re
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

from webtext.pipeline.text.document import Dropped
from webtext.schemas.records import Reason


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


_TAG: Final = re.compile(r"<[^<>]*>")
_BLANKS: Final = re.compile(r"(?:\s|&nbsp;|&#160;)+")

# What the licence asks for, as mirrors word it (https://en.wikipedia.org/wiki/Wikipedia:Reusing_Wikipedia_content). The
# first half is looked for in the markup; the second half must follow in the visible text, as it is often a link.
_NOTICES: Final = (
    (
        "uses material from the",
        "Wikipedia article",
    ),  # This article uses / It uses material from the Wikipedia article X
    ("rticle is issued from", "Wikipedia"),  # Kiwix: This article is issued from Wikipedia
    ("is based on a", "Wikipedia article written by"),  # WikiMili, HowlingPixel
    ("is based on the copyrighted", "Wikipedia article"),
    ("rticle is copied from an", "article on Wikipedia"),  # The Free Dictionary
    ("This entry is from", "Wikipedia, the"),  # Answers.com
    ("provided directly from the open source", "Wikipedia"),  # MedLibrary
)
_LICENSE: Final = re.compile(
    r"creative commons|\bcc[ -]by|gnu free documentation|gfdl|attribution.share", re.IGNORECASE
)
_TAGLINE: Final = "rom Wikipedia, the free encyclopedia"

# What only Wikipedia's own servers write. Each is judged in a short piece of the markup, so that no page makes it slow.
_HOST: Final = re.compile(r"//[a-z.-]{2,30}wikipedia\.org/", re.ASCII)
_SITE: Final = re.compile(
    r"wgSiteName\"?\s?[:=]\s?\"Wikipedia\"|wgServer\"?\s?[:=]\s?\"[^\"]{0,30}wikipedia\.org\"", re.ASCII
)
_EDIT_LINK: Final = re.compile(
    r"//[a-z.-]{2,30}wikipedia\.org/w/index\.php\?title=[^\"'\s<>]{1,300}action=edit(?:&amp;|&)section=", re.ASCII
)

# Weak signs. Each is common where Wikipedia is quoted, or in other wikis.
_SIGNED_TITLE: Final = re.compile(
    r"<title[^<>]{0,100}>[^<>]{1,300} [-\u2013\u2014] Wikipedia(, the free encyclopedia)?\s{0,9}</title", re.ASCII
)
_POLICY_LINK: Final = re.compile(r'href="[^"<>]{0,60}/(?:wiki/)?Wikipedia(?::|%3A)|title="Wikipedia:', re.ASCII)
_MARKUP: Final = (
    "mw-content-text",
    "mw-parser-output",
    "mw-editsection",
    'id="cite_ref-',
    'id="cite_note-',
    "firstHeading",
)
_REFERENCES: Final = tuple(f"[{number}]" for number in range(1, 9))


def copied(html: str, text: str) -> Dropped | None:
    """WIKIPEDIA_COPY for a page that is an article of Wikipedia, or None.

    One strong sign is enough: the notice that the licence asks for, or what only Wikipedia's servers write. Else two
    weak ones are needed, and one of them must name Wikipedia: MediaWiki's markup is that of thousands of other wikis,
    and one mention or quotation proves nothing. Costs one search of the markup where Wikipedia is not named. Linear.

    Args:
        html: the page.
        text: its main text.
    """
    if "ikipedia" not in html:
        return None
    if strong := _strong(html):
        return Dropped(Reason.WIKIPEDIA_COPY, strong)
    naming = _naming(html, text)
    if not naming:
        return None
    general = _general(html, text)
    if len(naming) + len(general) < 2:
        return None
    return Dropped(Reason.WIKIPEDIA_COPY, ", ".join(naming + general))


def _strong(html: str) -> str:
    for begin, end in _NOTICES:
        # Not more than a few places: a page may repeat the words, but not to make this slow.
        at = html.find(begin)
        for _ in range(4):
            if at < 0:
                break
            notice = _visible(html[at : at + 2000])
            if notice[len(begin) :].lstrip().startswith(end) and _LICENSE.search(notice[:600]):
                return f'"{begin} {end}", with a licence'
            at = html.find(begin, at + 1)
    for name in ("wgSiteName", "wgServer"):
        if _SITE.match(html, max(html.find(name), 0)):
            return "written by Wikipedia's servers"
    at = html.find('rel="canonical"')
    if at >= 0 and _HOST.search(html, html.rfind("<", 0, at), html.find(">", at, at + 1000) + 1):
        return "its canonical address is at Wikipedia"
    at = html.find('class="printfooter"')
    if at >= 0 and _HOST.search(_first_link(html[at : at + 1000])):
        return '"Retrieved from" Wikipedia in the footer'
    at = html.find(_TAGLINE)
    if at >= 0 and "siteSub" in html[max(at - 200, 0) : at]:
        return f'"F{_TAGLINE}" under the heading'
    if "action=edit" in html and len(_EDIT_LINK.findall(html)) > 1:
        return "links to edit its sections at Wikipedia"
    return ""


def _naming(html: str, text: str) -> list[str]:
    """Weak signs that name Wikipedia."""
    signs = []
    if _TAGLINE in html or _TAGLINE in text:
        signs.append(f'"F{_TAGLINE}"')
    at = html.find("<title")
    if at >= 0 and _SIGNED_TITLE.match(html, at):
        signs.append("its title ends with Wikipedia")
    if "Wikipedia:" in html and len(_POLICY_LINK.findall(html)) > 1:
        signs.append("links to project pages of Wikipedia")
    if "Wikipedia® is a registered trademark" in html or "Wikipedia&reg; is a registered trademark" in html:
        signs.append("Wikipedia's trademark notice")
    return signs


def _general(html: str, text: str) -> list[str]:
    """Weak signs of articles of an encyclopedia, or of any wiki: at most one of each kind."""
    signs = []
    if sum(mark in html for mark in _MARKUP) > 1:
        signs.append("MediaWiki's markup")
    if all(mark in text for mark in _REFERENCES):
        signs.append("numbered references")
    return signs


def _first_link(markup: str) -> str:
    return markup[markup.find("<a ") :].partition(">")[0]


def _visible(markup: str) -> str:
    return _BLANKS.sub(" ", _TAG.sub("", markup))
