"""JSON objects of strangers, a line each: also what Python and old clients write, which is no JSON by the standard."""

import json
from typing import Any

import msgspec


def decode(line: bytes) -> Any:
    """The value of a line, as by `lenient` where it is no JSON. Raises ValueError or RecursionError."""
    try:
        return msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return lenient(line)


def lenient(line: bytes) -> Any:
    """The value of a line that may have what RFC 8259 does not.

    That is NaN and infinities; halves of surrogate pairs, as cut texts leave them; raw control characters; numbers of
    thousands of digits, which become infinite. Octets that are not UTF-8 become halves too (U+DC80 to U+DCFF), so
    that who reads a field can tell.

    Raises:
        ValueError: no JSON either way.
        RecursionError: nested without end.
    """
    return json.loads(line.decode("utf-8", "surrogateescape"), strict=False, parse_int=_number)


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) < 100 else float(digits)
