"""The rules of a robots.txt for one crawler: which group is its own, and what the group says of a path.

Only the groups that address the crawler are kept, and a path is matched without regular expressions: neither many names
over many rules nor many wildcards make a file of 500 KiB dear.

Beyond the RFC, Crawl-delay is read, and what Google's parser and protego forgive is forgiven: a missing colon,
misspelled Disallow, a name with more than a product token ("webtext/1.0"). A group ends only at a User-agent line after
an Allow or Disallow: a Crawl-delay between two names does not end it, as in Google's parser and crawler-commons.

Source: RFC 9309 sections 2.2.1 to 2.2.4.
"""

import codecs
import math
import re
from collections.abc import Iterable
from typing import Final, Self, TypeAlias
from urllib.parse import quote

_Line: TypeAlias = tuple[str, str]  # what a line of a group says: "allow", "disallow" or "delay", and its value

_DIRECTIVE = re.compile(
    r"(?P<agent>user[- ]?agent)|(?P<allow>allow)|(?P<disallow>diss?all?ow|diasllow|disallaw)|(?P<delay>crawl[- ]delay)",
    re.IGNORECASE,
)
_NAME = re.compile(r"\**([a-z_-]+)")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_SAFE: Final = "%/=?&:;,+@!'()[]|~"  # what is left as it is in a path, "*" and "$" are not
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode_text(body: bytes) -> str:
    """The text of a robots.txt: UTF-8, or UTF-16 with a byte-order mark. Other octets stay as surrogates.

    NUL and byte-order marks are dropped everywhere, so that neither UTF-16 without a mark nor files put together hide
    a line.
    """
    encoding = next((encoding for mark, encoding in _MARKS if body.startswith(mark)), "utf-8")
    text = body.decode(encoding, "surrogateescape" if encoding == "utf-8" else "replace")
    return text.replace("\0", "").replace("\ufeff", "")


class RobotsRules:
    """What a robots.txt lets one crawler do."""

    def __init__(self, lines: Iterable[_Line]) -> None:
        """`lines` of all groups that address the crawler."""
        self.crawl_delay: float | None = None
        """Seconds between requests: the longest that is given."""
        self._plain: dict[str, bool] = {}  # pattern without wildcard -> allowed
        wild: dict[tuple[str, ...], tuple[int, bool]] = {}  # parts between wildcards -> length of pattern, allowed
        for what, value in lines:
            if what == "delay":
                delay = _seconds(value)
                if delay is not None:
                    self.crawl_delay = max(delay, self.crawl_delay or 0.0)
            elif value:
                allow = what == "allow"
                pattern = _pattern(value)
                first, *rest = pattern.split("*")
                if not rest:
                    self._plain[pattern] = allow or self._plain.get(pattern, False)
                else:
                    parts = (first, *filter(None, rest))
                    wild[parts] = max((len(pattern), allow), wild.get(parts, (0, False)))
        self._lengths = sorted({len(pattern) for pattern in self._plain}, reverse=True)
        # Longest first, Allow before Disallow: the first that matches decides.
        self._wild = sorted(((length, allow, parts) for parts, (length, allow) in wild.items()), reverse=True)
        self._wild_characters = sum(length for length, _, _ in self._wild)

    @classmethod
    def parse(cls, text: str, product: str) -> Self:
        """The rules of `text` for the crawler with this product token; those for "*" where no group names it."""
        groups: dict[str, list[_Line]] = {}
        addressed: set[str] = set()
        named = False  # a User-agent line came after the last Allow or Disallow
        product = product.lower()
        for what, value in _lines(text):
            if what == "agent":
                if not named:
                    addressed = set()
                named = True
                name = product_token(value)
                if name in (product, "*"):
                    addressed.add(name)
                    groups.setdefault(name, [])
            else:
                named = named and what == "delay"
                for name in addressed:
                    groups[name].append((what, value))
        return cls(groups.get(product, groups.get("*", ())))

    def allows(self, target: str) -> bool:
        """Whether the path `target`, with its query, may be fetched: the longest pattern decides, of equals Allow."""
        if target == "/robots.txt":
            return True
        # "$" is escaped in a path, so the "$" of a pattern is found at the end only.
        path = _normal(target, _SAFE) + "$"
        best = (0, True)
        for length in self._lengths:
            if length <= len(path) and (allow := self._plain.get(path[:length])) is not None:
                best = (length, allow)
                break
        for length, allow, parts in self._wild:
            if (length, allow) <= best:
                break
            if _matches(parts, path):
                return allow
        return best[1]

    def cost(self, target: str) -> int:
        """Comparisons of two characters that `allows` takes at most."""
        return (self._wild_characters + len(self._lengths)) * len(target)


def product_token(name: str) -> str:
    """What a name addresses, in lower case: the letters, "-" and "_" that it begins with, "*", or "" for nobody.

    "*" around a name, as some write it, is ignored. RFC 9309 section 2.2.1.
    """
    match = _NAME.match(name.lower())
    if match:
        return match[1]
    return "*" if name.startswith("*") else ""


def _lines(text: str) -> Iterable[_Line]:
    for line in text.replace("\r", "\n").split("\n"):
        content = line.partition("#")[0].strip()
        field = _DIRECTIVE.match(content)
        if field is None or field.lastgroup is None:
            continue
        rest = content[field.end() :]
        value = rest.lstrip()
        if value.startswith(":"):
            yield field.lastgroup, value[1:].strip()
        elif value != rest or not rest:  # no colon
            yield field.lastgroup, value


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


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
