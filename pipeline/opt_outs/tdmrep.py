"""/.well-known/tdmrep.json: which paths of a site are reserved from text and data mining.

Source: W3C TDM Reservation Protocol, final report of 2024-05-10, "TDM file on the origin server". Of the locations that
match a path the longest decides, as in robots.txt, from which the patterns are.
"""

from typing import Any, Final

import msgspec

from webtext.pipeline.opt_outs.paths import PathOptOuts
from webtext.pipeline.opt_outs.signals import TDMREP

WELL_KNOWN: Final = "/.well-known/tdmrep.json"


def parse(text: str) -> PathOptOuts:
    """What the file says; nothing where it is not such a file."""
    try:
        document = msgspec.json.decode(text)
    except (ValueError, RecursionError):  # no JSON, or one that is nested to do harm
        document = []
    rules = document if isinstance(document, list) else [document]
    return PathOptOuts(TDMREP, (found for number, rule in enumerate(rules, 1) for found in _statement(number, rule)))


def _statement(number: int, rule: Any) -> list[tuple[str, str]]:
    location = rule.get("location") if isinstance(rule, dict) else None
    if not isinstance(location, str):
        return []
    reserved = rule.get("tdm-reservation") in (1, "1")
    line = f"{WELL_KNOWN} rule {number}: location {location[:200]}, tdm-reservation 1"
    return [(location, line if reserved else "")]
