"""A text as a reader sees it: the last step before it is judged, the same for pages and for given texts."""

import re
from collections.abc import Collection
from typing import Final
from unicodedata import combining, normalize

CONTROLS: Final = bytes(code for code in range(32) if chr(code) not in "\t\n\r")
"""Control characters that no text has."""

_MAX_TEXT: Final = 2_000_000  # characters
_LONG_BLANK: Final = re.compile(r"(?<!\s)\s{1000,}")
_MANY_BLANKS: Final = 500_000  # tiktoken panics at about 0.9 million blanks in a row, so a shorter text can't make it
_MOST_MARKS: Final = 30  # on one letter, as in the Stream-Safe Text Format; normalize takes the square of their number
_ENDLESS_MARKS: Final = re.compile(rf"\x01{{{_MOST_MARKS + 1},}}")


def clean(text: str, longest: int = _MAX_TEXT) -> str:
    """In NFC, without what can't be seen, without endless blanks, of so many characters at most.

    What can't be seen is control characters, lone surrogates, and what else is neither printable nor white space: soft
    hyphens, zero-width spaces, joiners, marks of direction, private and unassigned characters. trafilatura leaves out
    the same of pages.
    """
    text = text.encode("utf-8", "ignore").translate(None, CONTROLS + b"\x7f").decode()  # "ignore": lone surrogates
    if not text.isascii():
        text = _normal(text)
    if len(text) > _MANY_BLANKS:
        text = _LONG_BLANK.sub(lambda run: run.group()[0], text)
    return text[:longest].strip()


def _normal(text: str) -> str:
    """In NFC without invisible characters: Unicode Standard Annex 15, with its section 13 for endless marks."""
    used = {character for character in set(text) if not character.isascii()}
    if unseen := [ord(character) for character in used if not (character.isprintable() or character.isspace())]:
        text = text.translate(dict.fromkeys(unseen))
    if marks := {character for character in used if combining(normalize("NFD", character)[0])}:
        text = _without_endless_marks(text, marks)
    return normalize("NFC", text)


def _without_endless_marks(text: str, marks: Collection[str]) -> str:
    """Of more than 30 combining marks in a row the first 30."""
    pieces, at = [], 0
    for run in _ENDLESS_MARKS.finditer(text.translate(dict.fromkeys(map(ord, marks), "\x01"))):
        pieces.append(text[at : run.start() + _MOST_MARKS])
        at = run.end()
    return "".join([*pieces, text[at:]])
