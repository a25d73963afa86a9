"""A text without what no reader sees: the last step before it is judged."""

import re
from typing import Final

CONTROLS: Final = bytes(code for code in range(32) if chr(code) not in "\t\n\r")
"""Control characters that no text has."""

_MAX_TEXT: Final = 2_000_000  # characters
_LONG_BLANK: Final = re.compile(r"(?<!\s)\s{1000,}")
_MANY_BLANKS: Final = 500_000  # tiktoken panics at about 0.9 million blanks in a row, so a shorter text can't make it


def clean(text: str, longest: int = _MAX_TEXT) -> str:
    """Without control characters and lone surrogates, without endless blanks, of so many characters at most."""
    text = text.encode("utf-8", "ignore").translate(None, CONTROLS).decode()  # "ignore" drops lone surrogates
    if len(text) > _MANY_BLANKS:
        text = _LONG_BLANK.sub(lambda run: run.group()[0], text)
    return text[:longest].strip()
