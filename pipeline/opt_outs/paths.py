"""Patterns of paths, as robots.txt has them and other files borrow them, and which of them decides about a path.

A path is matched without regular expressions: many wildcards do not make a file dear.

Source: RFC 9309 sections 2.2.2 and 2.2.3.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

from webtext.pipeline.opt_outs.signals import OptOut

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_SAFE: Final = "%/=?&:;,+@!'()[]|~"  # what is left as it is in a path, "*" and "$" are not
_STATEMENT: Final = 300  # bytes of memory that one takes beside its line
_NONE: Final = 2**31  # minus this is the number of a statement that does not refuse


class PathRules:
    """Patterns of paths with a number each: of those that match a path the longest decides, of equals the largest."""

    def __init__(self, rules: Iterable[tuple[str, int]]) -> None:
        """`rules` are patterns as RFC 9309 section 2.2.3 has them, "" for all paths, and their numbers."""
        self._plain: dict[str, int] = {}  # pattern without wildcard -> number
        wild: dict[tuple[str, ...], tuple[int, int]] = {}  # parts between wildcards -> length of pattern, number
        for value, number in rules:
            pattern = _pattern(value)
            first, *rest = pattern.split("*")
            if not rest:
                self._plain[pattern] = max(number, self._plain.get(pattern, number))
            else:
                parts = (first, *filter(None, rest))
                wild[parts] = max((len(pattern), number), wild.get(parts, (0, number)))
        self._lengths = sorted({len(pattern) for pattern in self._plain}, reverse=True)
        # The longest first, of equals the largest number: the first that matches decides.
        self._wild = sorted(((length, number, parts) for parts, (length, number) in wild.items()), reverse=True)
        self._wild_characters = sum(length for length, _, _ in self._wild)

    def number_of(self, target: str) -> int | None:
        """The number of the path `target`, with its query; None where no pattern matches."""
        # "$" is escaped in a path, so the "$" of a pattern is found at the end only.
        path = _normal(target, _SAFE) + "$"
        best: tuple[int, int] | None = None
        for length in self._lengths:
            if length <= len(path) and (number := self._plain.get(path[:length])) is not None:
                best = (length, number)
                break
        for length, number, parts in self._wild:
            if best is not None and (length, number) <= best:
                break
            if _matches(parts, path):
                return number
        return None if best is None else best[1]

    def cost(self, target: str) -> int:
        """Comparisons of two characters that `number_of` takes at most."""
        return (self._wild_characters + len(self._lengths)) * len(target)


class PathOptOuts:
    """Statements about paths in one signal: of the longest pattern that matches, the first that refuses."""

    def __init__(self, signal: str, statements: Iterable[tuple[str, str]]) -> None:
        """`statements` are patterns, and the line that refuses; "" where one does not."""
        self._signal = signal
        self._lines = [""]
        numbered = []
        for pattern, line in statements:
            numbered.append((pattern, -len(self._lines) if line else -_NONE))
            self._lines += [line] if line else []
        self._rules = PathRules(numbered)
        self.size = sum(map(len, self._lines)) + _STATEMENT * len(numbered)
        """Bytes of memory, about."""

    def of(self, target: str) -> Iterator[OptOut]:
        """What refuses to have the path `target`, with its query, used for training."""
        number = self._rules.number_of(target)
        if number is not None and number != -_NONE:
            yield OptOut(self._signal, self._lines[-number])

    def cost(self, target: str) -> int:
        """Comparisons of two characters that `of` takes at most."""
        return self._rules.cost(target)


def _pattern(value: str) -> str:
    end = "$" if value.endswith("$") else ""
    return _normal(value.removesuffix("$"), _SAFE + "*") + end


def _normal(path: str, safe: str) -> str:
    """`path` in one of its spellings: octets that needn't be escaped aren't, others are.

    "%2F" is not "/", but in a query, where it is equal. RFC 9309 section 2.2.2.
    """
    before, mark, query = path.partition("?")
    octets = _unescape(before, b"%*/") + mark.encode() + _unescape(query, b"%*")
    return quote(octets, safe=safe)


def _unescape(path: str, kept: bytes) -> bytes:
    def octet(match: re.Match[bytes]) -> bytes:
        value = bytes.fromhex(match[1].decode())
        return match[0].upper() if value in kept else value

    return _ESCAPE.sub(octet, path.encode("utf-8", "surrogateescape"))


def _matches(parts: tuple[str, ...], path: str) -> bool:
    """Whether `path` begins with the first part and has the others after it in this order."""
    if not path.startswith(parts[0]):
        return False
    at = len(parts[0])
    for part in parts[1:]:
        at = path.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True
