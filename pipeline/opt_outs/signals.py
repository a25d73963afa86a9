"""What reserves a page from the training of models: the vocabularies, and what header fields and meta tags say in them.

Of several statements the strictest holds. What is in no vocabulary says nothing.

Source: draft-ietf-aipref-attach-05 and draft-ietf-aipref-vocab-08 (Content-Usage, a dictionary of RFC 9651 section 3.2;
`train-genai` is the label of the drafts before vocab-05); contentsignals.org (Content-Signal); W3C TDM Reservation
Protocol, final report of 2024-05-10 (tdm-reservation); Google's robots meta tag and X-Robots-Tag, whose form noai and
noimageai borrow. Not done: ai.txt, tdm-policy (a reservation with a policy is a reservation).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

PRODUCT: Final = "webtext"
"""The product token: what a robots.txt group names to address this crawler (RFC 9309 section 2.2.1)."""

CONTENT_SIGNAL: Final = "content-signal"
CONTENT_USAGE: Final = "content-usage"
RSL: Final = "rsl"
TDMREP: Final = "tdmrep"

_LINE: Final = 200  # characters of a line that are told

_TRAINING: Final = frozenset({"train-ai", "train-genai"})
# What X-Robots-Tag and <meta name="robots"> say -> the signal.
_RULES: Final = {"noai": "noai", "noml": "noai", "noimageai": "noimageai"}
# Rules of X-Robots-Tag that have a colon themselves, so it does not end the name of a crawler.
_VALUED_RULES: Final = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})

# RFC 9651 section 4.2.2. Inner lists and dates are passed over without a look inside.
_KEY: Final = r"[a-z*][a-z0-9_.*-]*+"
_BARE: Final = (
    r"(?:[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*+|\"(?:[ !#-\[\]-~]|\\[\"\\])*+\"|[-@]?[0-9][0-9.]*+|\?[01]"
    r"|:[A-Za-z0-9+/=]*+:|\([^()]*+\))"
)
_MEMBER: Final = re.compile(
    rf"(?P<key>{_KEY})(?:=(?P<value>{_BARE}))?+(?:;[ ]*+{_KEY}(?:={_BARE})?+)*+[ \t]*+(?:,[ \t]*+|\Z)"
)


_NAME: Final = re.compile(r"\**([a-z_-]+)")


@dataclass(frozen=True, slots=True)
class OptOut:
    """One statement that models shall not be trained on a page."""

    signal: str  # one of pipeline.settings.OPT_OUTS
    line: str  # what said so, and where: "robots.txt line 3: Content-Usage: train-ai=n"

    def __str__(self) -> str:
        return f"{self.signal}: {self.line}"


def first(found: Iterable[OptOut], obeyed: frozenset[str]) -> OptOut | None:
    """The first that is obeyed; where none is, the first."""
    ignored = None
    for opt_out in found:
        if opt_out.signal in obeyed:
            return opt_out
        ignored = ignored or opt_out
    return ignored


def line_of(name: str, value: str) -> str:
    """A line as it is told: on one line, and not endless."""
    return f"{name}: {' '.join(value.split())}"[:_LINE]


def usage_refuses(value: str) -> bool:
    """Whether a Content-Usage disallows training. One that is no dictionary says nothing, as the drafts want it."""
    stated: dict[str, str | None] = {}
    at = 0
    value = value.strip(" \t")
    while at < len(value):
        member = _MEMBER.match(value, at)
        if member is None or (member.end() == len(value) and member[0].rstrip(" \t").endswith(",")):
            return False
        stated[member["key"]] = member["value"]  # of equal keys the last holds
        at = member.end()
    return any(stated.get(label) == "n" for label in _TRAINING)


def signal_refuses(value: str) -> bool:
    """Whether a Content-Signal says ai-train=no."""
    for member in value.lower().replace(";", ",").split(","):
        label, _, answer = member.partition("=")
        if label.strip() == "ai-train" and answer.strip() == "no":
            return True
    return False


def of_fields(fields: Iterable[tuple[str, str]]) -> Iterator[OptOut]:
    """What the header fields of a response say. Names in any case."""
    usages = []
    for name, value in fields:
        if name.lower() == CONTENT_USAGE:
            usages.append((name, value))
        else:
            yield from _of_field(name, value, name)
    if usages:  # several fields are one dictionary
        yield from _of_field(CONTENT_USAGE, ", ".join(value for _, value in usages), usages[0][0])


def of_meta(name: str, content: str) -> Iterator[OptOut]:
    """What a <meta> of this name (or http-equiv) says."""
    lowered = name.lower()
    field = "x-robots-tag" if lowered in ("robots", PRODUCT) else lowered
    yield from _of_field(field, content, f"meta {lowered}")


def _of_field(name: str, value: str, shown: str) -> Iterator[OptOut]:
    line = line_of(shown, value)
    match name.lower():
        case "x-robots-tag":
            yield from (OptOut(signal, line) for signal in _robots_signals(value))
        case "tdm-reservation":
            if value.strip() == "1":
                yield OptOut(TDMREP, line)
        case "content-usage":
            if usage_refuses(value):
                yield OptOut(CONTENT_USAGE, line)
        case "content-signal":
            if signal_refuses(value):
                yield OptOut(CONTENT_SIGNAL, line)


def product_token(name: str) -> str:
    """What a name addresses, in lower case: the letters, "-" and "_" that it begins with, "*", or "" for nobody.

    "*" around a name, as some write it, is ignored. RFC 9309 section 2.2.1.
    """
    match = _NAME.match(name.lower())
    if match:
        return match[1]
    return "*" if name.startswith("*") else ""


def _robots_signals(value: str) -> list[str]:
    """The signals among the rules for every crawler, or for this one."""
    agent = ""
    found: dict[str, None] = {}
    for part in value.lower().split(","):
        name, colon, rest = part.strip().partition(":")
        if colon and name.strip() not in _VALUED_RULES:
            agent, rule = name.strip(), rest.strip()  # holds for the rules that follow in the same field
        else:
            rule = name.strip()
        if rule in _RULES and (agent == "" or product_token(agent) in ("*", PRODUCT)):
            found[_RULES[rule]] = None
    return list(found)
