"""Text that strangers wrote, as people get to see it: in a terminal, in a line of a log, on a page.

URLs, titles, names of files and messages of libraries may hold escape sequences that rewrite a terminal, marks that
turn the direction of the text around them, or line ends that forge a line. What can't be seen is spelled out.
"""

import dataclasses
import json
import logging
import re
import unicodedata
from typing import Any, Final, TypeVar, cast

_T = TypeVar("_T")

_ODD: Final = re.compile(r"[^ -~]")  # all but the printable characters of ASCII: a few of a text
# Other (controls, formats such as bidi marks, lone surrogates, private use, unassigned), line and paragraph separators.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str, keep: str = "") -> str:
    r"""`text` with each character that can't be seen as its escape in Python, such as \x1b; those of `keep` stay."""
    return _ODD.sub(lambda found: found[0] if found[0] in keep else _spelled(found[0]), text)


def _spelled(character: str) -> str:
    if unicodedata.category(character) not in _UNSEEN:
        return character
    return character.encode("unicode_escape").decode()


def visible_strings(value: _T) -> _T:
    """A record of ours, or a list of such, with all its strings made visible."""
    shown: Any = value
    if isinstance(value, str):
        shown = visible(value)
    elif isinstance(value, list):
        shown = [visible_strings(item) for item in value]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        shown = dataclasses.replace(value, **{f.name: visible_strings(getattr(value, f.name)) for f in fields})
    return cast("_T", shown)


def json_line(value: Any) -> str:
    """`value` as JSON on one line. What can't be seen is escaped there too, which its readers undo."""
    return _ODD.sub(lambda found: _escaped(found[0]), json.dumps(value, ensure_ascii=False))


def _escaped(character: str) -> str:
    return character if unicodedata.category(character) not in _UNSEEN else json.dumps(character)[1:-1]


class VisibleFormatter(logging.Formatter):
    """Log records of which only a traceback takes more than one line."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The record's own line."""
        return visible(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """The line with its traceback."""
        return visible(super().format(record), keep="\n\t")


def log_visibly() -> None:
    """Let warnings of libraries, which have no handler of ours, be shown in this way."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(VisibleFormatter())
