"""What commands print, each line of it: nothing that strangers wrote acts on a terminal, or forges a line."""

import sys
from typing import Any

from webtext.schemas.visible import json_line, visible


def say(line: str, keep: str = "") -> None:
    """Print one line; characters of `keep` stay as they are."""
    print(visible(line, keep), flush=True)


def complain(line: str) -> None:
    """Print one line on standard error."""
    print(visible(line), file=sys.stderr, flush=True)


def say_json(value: Any) -> None:
    """Print one line of JSON, in UTF-8 whatever the locale."""
    sys.stdout.buffer.write(json_line(value).encode() + b"\n")
    sys.stdout.buffer.flush()
