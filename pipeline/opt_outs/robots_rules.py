"""The rules of a robots.txt for one crawler: which group is its own, and what the group says of a path.

Beside Allow and Disallow these are Content-Usage and Content-Signal, which opt out, and License, which names a document
that may. All three hold for everyone where they stand before the first group, unless the crawler's group has its own.
A License is the site's too where an empty line or a Sitemap parts it from the group above it, as most are written.

Only the groups that address the crawler are kept: many names over many rules do not make a file of 500 KiB dear.

Beyond the RFC, Crawl-delay is read, and what Google's parser and protego forgive is forgiven: a missing colon,
misspelled Disallow, a name with more than a product token ("webtext/1.0"). A group ends only at a User-agent line after
an Allow or Disallow: a Crawl-delay between two names does not end it, as in Google's parser and crawler-commons.

Source: RFC 9309 sections 2.2.1 and 2.2.4; draft-ietf-aipref-attach-05 section 3; contentsignals.org; RSL 1.0 section
4.4.
"""

import codecs
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, Self

from webtext.pipeline.opt_outs.paths import PathOptOuts, PathRules
from webtext.pipeline.opt_outs.signals import (
    CONTENT_SIGNAL,
    CONTENT_USAGE,
    OptOut,
    line_of,
    product_token,
    signal_refuses,
    usage_refuses,
)

MAX_BYTES: Final = 500 * 1024
"""How much of a robots.txt is read, as sent and as decoded; the rest does not count. RFC 9309 section 2.5 wants at
least this."""

_MOST_LICENCES: Final = 16


class Line(NamedTuple):
    """A line of a robots.txt that says something."""

    what: str  # the name of a group of _DIRECTIVE; "break" also for an empty line
    value: str
    number: int  # from 1


_DIRECTIVE = re.compile(
    r"(?P<agent>user[- ]?agent)|(?P<allow>allow)|(?P<disallow>diss?all?ow|diasllow|disallaw)|(?P<delay>crawl[- ]delay)"
    r"|(?P<usage>content-usage)|(?P<signal>content-signal)|(?P<license>license)|(?P<break>sitemap)",
    re.IGNORECASE,
)
# What opts out of training: the signal, what it is called, and whether a statement refuses.
_PREFERENCES: Final = {
    "usage": (CONTENT_USAGE, "Content-Usage", usage_refuses),
    "signal": (CONTENT_SIGNAL, "Content-Signal", signal_refuses),
}
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
    """What a robots.txt lets one crawler do, and what it lets it use."""

    def __init__(self, lines: Iterable[Line], site: Iterable[Line] = ()) -> None:
        """`lines` of all groups that address the crawler, and those that hold where these groups have none."""
        self.crawl_delay: float | None = None
        """Seconds between requests: the longest that is given."""
        lines, site = list(lines), list(site)
        for line in lines:
            delay = _seconds(line.value) if line.what == "delay" else None
            if delay is not None:
                self.crawl_delay = max(delay, self.crawl_delay or 0.0)
        access = (line for line in lines if line.what in ("allow", "disallow") and line.value)
        self._access = PathRules((line.value, line.what == "allow") for line in access)
        self._preferences = [
            PathOptOuts(signal, (_preference(line, title, refuses) for line in _own(what, lines, site)))
            for what, (signal, title, refuses) in _PREFERENCES.items()
        ]
        self.licences = _own("license", lines, site)[:_MOST_LICENCES]
        """The lines that name documents about the licence, the first 16."""

    @classmethod
    def parse(cls, text: str, product: str) -> Self:
        """The rules of `text` for the crawler with this product token; those for "*" where no group names it."""
        groups: dict[str, list[Line]] = {}
        site: list[Line] = []  # lines of no group
        addressed: set[str] = set()
        named = False  # a User-agent line came after the last rule
        before_all = True  # no User-agent line came yet
        apart = True  # a gap is behind the last line of a group
        product = product.lower()
        for line in _lines(text):
            if line.what == "break":
                apart = True
                continue
            if line.what == "agent":
                if not named:
                    addressed = set()
                named = True
                name = product_token(line.value)
                if name in (product, "*"):
                    addressed.add(name)
                    groups.setdefault(name, [])
                before_all = False
            elif before_all or (line.what == "license" and apart):
                site.append(line)
                continue
            else:
                named = named and line.what == "delay"
                for name in addressed:
                    groups[name].append(line)
            apart = False
        return cls(groups.get(product, groups.get("*", ())), site)

    def allows(self, target: str) -> bool:
        """Whether the path `target`, with its query, may be fetched: the longest pattern decides, of equals Allow."""
        return target == "/robots.txt" or self._access.number_of(target) != 0

    def opt_outs(self, target: str) -> Iterator[OptOut]:
        """What refuses to have the path `target`, with its query, used for training."""
        for preferences in self._preferences:
            yield from preferences.of(target)

    def cost(self, target: str) -> int:
        """Comparisons of two characters that `allows` and `opt_outs` take at most."""
        return self._access.cost(target) + sum(preferences.cost(target) for preferences in self._preferences)


def _preference(line: Line, title: str, refuses: Callable[[str], bool]) -> tuple[str, str]:
    """The pattern of paths in a line, and the line as it is told; "" where it does not refuse."""
    path, statement = "", line.value
    if statement.startswith("/"):
        path, statement = [*statement.split(maxsplit=1), ""][:2]
    return path, f"robots.txt line {line.number}: {line_of(title, line.value)}" if refuses(statement) else ""


def _own(what: str, lines: Iterable[Line], site: Iterable[Line]) -> list[Line]:
    """The lines of a kind in the crawler's groups, or else those that hold for everyone."""
    return [line for line in lines if line.what == what] or [line for line in site if line.what == what]


def _lines(text: str) -> Iterable[Line]:
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        content = line.partition("#")[0].strip()
        field = _DIRECTIVE.match(content)
        if field is None or field.lastgroup is None:
            if not line.strip():
                yield Line("break", "", number)
            continue
        rest = content[field.end() :]
        value = rest.lstrip()
        if value.startswith(":"):
            yield Line(field.lastgroup, value[1:].strip(), number)
        elif value != rest or not rest:  # no colon
            yield Line(field.lastgroup, value, number)


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
