"""E-mail and public IPv4 addresses replaced: the rules of datatrove's PIIFormatter, with which FineWeb was made.

Source: Penedo et al. 2024, arXiv 2406.17557, section 3.7; datatrove 0.10.1, pipeline/formatters/pii.py, whose stand-ins
these are. There the stand-ins take turns over a whole process; here they depend on the document alone, and equal
addresses get equal ones. All is linear in the text, where datatrove's pattern for e-mail is quadratic.
"""

import ipaddress
import re
from typing import NamedTuple

EMAILS = ("email@example.com", "firstname.lastname@example.org")
ADDRESSES = (  # public, and no host of theirs answered when FineWeb chose them
    "22.214.171.124",
    "126.96.36.199",
    "188.8.131.52",
    "184.108.40.206",
    "220.127.116.11",
    "18.104.22.168",
)

_ODD = "!#$%&'*+/=?^`{|}~-"  # beside letters, digits and _, what RFC 5322 allows before the @
_LOCAL = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_." + _ODD
_LONGEST_LOCAL = 64  # characters: RFC 5321, 4.5.3.1.1
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_AT_HOST = re.compile(rf"@{_LABEL}(?:\.{_LABEL})+")
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
# Alone: not inside 1.2.3.4.5, which is the number of a version or a section.
_ADDRESS = re.compile(rf"(?<![0-9])(?<![0-9]\.)(?:{_OCTET}\.){{3}}{_OCTET}(?![0-9]|\.[0-9])", re.ASCII)


class Masked(NamedTuple):
    """A text without addresses, and how many were replaced."""

    text: str
    emails: int
    addresses: int


def mask(text: str) -> Masked:
    """Replace e-mail addresses and public IPv4 addresses."""
    text, emails = _mask_emails(text) if "@" in text else (text, 0)
    given: dict[str, str] = {}
    addresses = 0

    def stand_in(match: re.Match[str]) -> str:
        nonlocal addresses
        if not ipaddress.IPv4Address(match.group()).is_global:
            return match.group()
        addresses += 1
        return given.setdefault(match.group(), ADDRESSES[len(given) % len(ADDRESSES)])

    text = _ADDRESS.sub(stand_in, text)
    return Masked(text, emails, addresses)


def _mask_emails(text: str) -> tuple[str, int]:
    # From each @ to the left, not from each possible start to the right: that is what makes it linear.
    pieces: list[str] = []
    given: dict[str, str] = {}
    done = count = 0
    for host in _AT_HOST.finditer(text):
        before = text[max(done, host.start() - _LONGEST_LOCAL) : host.start()]
        local = before[len(before.rstrip(_LOCAL)) :].rpartition("..")[2].lstrip("." + _ODD)
        if not local or local.endswith("."):
            continue
        stand_in = given.setdefault(local + host.group(), EMAILS[len(given) % len(EMAILS)])
        pieces += (text[done : host.start() - len(local)], stand_in)
        done = host.end()
        count += 1
    return "".join(pieces) + text[done:], count
