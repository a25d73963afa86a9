"""Published filters of texts, by family. Off unless asked for: WebText had none of them."""

from collections.abc import Sequence

from webtext.pipeline.text import c4, fineweb, gopher
from webtext.schemas.records import Loss, Reason


def apply(text: str, families: Sequence[str]) -> str | Loss:
    """What the families leave of a text, or the first rule against it.

    They apply in the order given. It matters, because C4 removes lines: after it, the others see fewer.

    Args:
        text: of one document.
        families: each one of pipeline.settings.FILTERS.
    """
    for family in families:
        match family:
            case "gopher":
                reason, broken = Reason.FILTER_GOPHER, gopher.broken_rule(text)
            case "c4":
                reason = Reason.FILTER_C4
                text, broken = c4.kept_text(text)
            case "fineweb":
                reason, broken = Reason.FILTER_FINEWEB, fineweb.broken_rule(text)
            case _:
                raise ValueError(f"unknown filter {family!r}")
        if broken:
            return Loss(reason, broken)
    return text


def rule_of(dropped: Loss) -> str | None:
    """The rule that refused a text, as "gopher.word_count"; None where no filter did."""
    family = _FAMILIES.get(dropped.reason)
    return f"{family}.{dropped.detail.partition(':')[0]}" if family else None


_FAMILIES = {Reason.FILTER_GOPHER: "gopher", Reason.FILTER_C4: "c4", Reason.FILTER_FINEWEB: "fineweb"}
