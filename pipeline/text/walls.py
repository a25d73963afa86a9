"""Is a page a soft failure: an error, a wall or a parked domain that came with status 200 instead of the page?

The signs are in data/walls.tsv. A failure says little, so the length of the main text decides how many are needed:

- at most 40 words: one;
- at most 200 words: two in different places (title, text, markup) that tell the same reason, because a short article
  about error 404 may be titled so, and a short page may stand beside a box that asks to log in;
- more: it is a page, whatever it says.

docs/soft-failures.md has the figures.
"""

import re
from functools import cache
from html import unescape
from importlib import resources
from typing import Final, NamedTuple

from webtext.schemas.records import Loss, Reason

ONE_SIGN: Final = 40
"""Words of a text that one sign is enough for."""
TWO_SIGNS: Final = 200
"""Words of a text that two signs are enough for."""
_LONGEST: Final = 3_000  # characters: more are more than 200 words, but for texts that nobody would miss
_TOP: Final = 500  # characters at the top of the text in which signs are looked for
_BODY: Final = 3_000  # characters of visible text that stand for the main text where there is none
_MARKUP: Final = 100_000  # characters: what comes instead of a page is small; a bundle of scripts may name anything

# A tie between reasons goes to the first: a page that checks for robots also asks for JavaScript.
_ORDER: Final = (
    Reason.BOT_CHECK,
    Reason.COOKIE_WALL,
    Reason.LOGIN_WALL,
    Reason.PARKED_DOMAIN,
    Reason.SOFT_404,
    Reason.NEEDS_JAVASCRIPT,
)


class _Signs(NamedTuple):
    """Of one reason."""

    title: re.Pattern[str]
    text: re.Pattern[str]
    html: tuple[str, ...]
    hint: tuple[str, ...]


@cache
def _signs() -> dict[Reason, _Signs]:
    found: dict[tuple[str, str], list[str]] = {}
    for line in resources.files("webtext.pipeline.text").joinpath("data/walls.tsv").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            place, reason, pattern, _, _ = line.split("\t")
            found.setdefault((place, reason), []).append(pattern)
    return {
        reason: _Signs(
            re.compile("|".join(found["title", reason])),
            re.compile(rf"(?:\A|[.!?:] )(?:{'|'.join(found['text', reason])})"),
            tuple(found.get(("html", reason), ())),
            tuple(found.get(("hint", reason), ())),
        )
        for reason in _ORDER
    }


def soft_failure(title: str, text: str, html: str) -> Loss | None:
    """Why this is not the page that was asked for, or None.

    Long texts cost nothing; others are searched once for each sign. Linear.

    Args:
        title: of the page.
        text: its main text; "" where there is none, and then the visible text of the markup stands for it.
        html: the page.
    """
    if len(text) > _LONGEST:
        return None
    words = len(text.split())
    if words > TWO_SIGNS:
        return None
    top = _plain(text[:_TOP])
    if not text:
        top = _plain(visible(html))
        words = len(top.split())
    parts = _parts(_plain(title))
    small = len(html) <= _MARKUP
    best: list[str] = []
    verdict = None
    for reason, signs in _signs().items():
        seen = _seen(signs, parts, top, html if small else "")
        if len(seen) > len(best):
            best, verdict = seen, reason
    if verdict is None or words > TWO_SIGNS or (words > ONE_SIGN and len(best) < 2):
        return None
    return Loss(verdict, f"{', '.join(best)}; {words} words")


def gone(html: str) -> str:
    """The signs that a page is a soft 404, for a judge without main text; "" where it isn't one for sure.

    The title says so, so does the text or the markup, and there are at most 200 visible words, menus and all.
    """
    html = html[:_MARKUP]
    begin = html.lower().find("<title")
    title = html[begin : begin + 1000].partition(">")[2].partition("<")[0] if begin >= 0 else ""
    signs = _signs()[Reason.SOFT_404]
    parts = _parts(_plain(_unescaped(title)))
    if not any(signs.title.fullmatch(part) for part in parts):
        return ""
    body = _plain(visible(html, len(html)))
    if len(body.split()) > TWO_SIGNS:
        return ""
    seen = _seen(signs, parts, body[:_BODY], html)
    return ", ".join(seen) if len(seen) > 1 else ""


def _seen(signs: _Signs, parts: list[str], top: str, html: str) -> list[str]:
    """The signs of one reason, at most one of each place."""
    seen = []
    if match := next(filter(None, map(signs.title.fullmatch, parts)), None):
        seen.append(f'title "{match[0][:80]}"')
        if mark := next((mark for mark in signs.hint if mark in html), ""):
            seen.append(f"markup {mark}")
    if match := signs.text.search(top):
        seen.append(f'text "{match[0].lstrip(".!?: ")[:80]}"')
    if mark := next((mark for mark in signs.html if mark in html), ""):
        seen.append(f"markup {mark}")
    return seen


_BLANKS: Final = re.compile(r"\s+")
_QUOTES: Final = str.maketrans({"\u2018": "'", "\u2019": "'", "\u2026": "...", "\u201c": '"', "\u201d": '"'})
_SEPARATOR: Final = re.compile(r" [|\-\u2013\u2014\u2022\u00b7\u00bb\u00ab:/~]+ |: ")
_TAG: Final = re.compile(r"<[^<>]*>")
_HIDDEN: Final = re.compile(r"<script.*?(?:</script>|\Z)|<style.*?(?:</style>|\Z)", re.DOTALL)
_ENDLESS: Final = re.compile("(?<=&#)[0-9]{1000,}")  # int() refuses more than 4,300 digits, and so would `unescape`
_NO_CHARACTER: Final = "1114112"


def _plain(text: str) -> str:
    """In lower case, with straight quotes and single blanks."""
    return _BLANKS.sub(" ", text.translate(_QUOTES)).strip().lower()


def _unescaped(text: str) -> str:
    return unescape(_ENDLESS.sub(_NO_CHARACTER, text))


def _parts(title: str) -> list[str]:
    """The title, and its first and last part, one of which may be the site's name."""
    whole = title[:300].rstrip(" .!")
    parts = _SEPARATOR.split(whole)
    return [whole, parts[0].rstrip(" .!"), parts[-1]] if len(parts) > 1 else [whole]


def visible(html: str, most: int = _BODY) -> str:
    """The beginning of what a browser without scripts shows, roughly: markup without tags, scripts and styles."""
    markup = html[:_MARKUP]
    begin = markup.find("<body")
    pieces, at, size = [], max(begin, 0), 0
    while at < len(markup) and size < most:
        hidden = _HIDDEN.search(markup, at)
        end, after = hidden.span() if hidden else (len(markup), len(markup))
        piece = " ".join(_unescaped(_TAG.sub(" ", markup[at:end])).split())
        pieces.append(piece)
        size += len(piece)
        at = after
    return " ".join(filter(None, pieces))[:most]
