"""Which rule of a filter refuses a text, and texts that are just at a threshold."""

from webtext.pipeline.text import filters
from webtext.schemas.records import Loss


def broken(family, text):
    found = filters.apply(text, [family])
    if isinstance(found, Loss):
        assert filters.rule_of(found).startswith(family)
        return filters.rule_of(found).partition(".")[2]
    return ""


def spaced(count, width=5):
    """Words that are all different and of one width, but for two stop words."""
    return ["the", "of", *(f"x{n:0{width - 1}d}" for n in range(count - 2))]
