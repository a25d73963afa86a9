"""Is a page a copy of a Wikipedia article, by what it says of itself?

Precision comes first: other wikis, and pages that quote Wikipedia or speak of it, must stay. docs/soft-failures.md has
the figures. links/wikipedia.py judges addresses.
"""

import re
from typing import Final

from webtext.schemas.records import Loss, Reason

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


def copied(html: str, text: str) -> Loss | None:
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
        return Loss(Reason.WIKIPEDIA_COPY, strong)
    naming = _naming(html, text)
    if not naming:
        return None
    general = _general(html, text)
    if len(naming) + len(general) < 2:
        return None
    return Loss(Reason.WIKIPEDIA_COPY, ", ".join(naming + general))


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
