"""The changes between two extractions as JSON and as an HTML page in the style of the report."""

import json
from collections.abc import Sequence
from string import Template
from typing import Final

from webtext.pipeline.account import markup
from webtext.pipeline.account.changes import ABSENT, DOCUMENT, Changes, Difference, Domain, Example, Transition
from webtext.pipeline.account.markup import Column
from webtext.schemas.records import Reason

JSON: Final = "changes.json"
PAGE: Final = "changes.html"

_SHOWN: Final = 3  # examples of each transition; JSON has more
_NAME: Final = 60  # characters
_DETAIL: Final = 160


def to_json(changes: Changes) -> bytes:
    """Indented JSON: equal for equal changes."""
    return json.dumps(changes.to_object(), indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def render(changes: Changes) -> str:
    """The page. Pure. URLs come from strangers: all text is escaped."""
    tokens = changes.after.tokens - changes.before.tokens
    documents = changes.after.documents - changes.before.documents
    return Template(markup.template(PAGE)).substitute(
        style=markup.template("style.css"),
        before=markup.text(changes.before.work),
        after=markup.text(changes.after.work),
        figures=markup.figures(
            (
                "Documents",
                _signed(documents),
                f"{changes.before.documents:,} before, {changes.after.documents:,} after",
            ),
            ("Tokens", _signed(tokens), f"{changes.before.tokens:,} before, {changes.after.tokens:,} after"),
            ("Gained", f"{changes.gained:,}", "documents that were none"),
            ("Lost", f"{changes.lost:,}", "documents that are none now"),
            ("Other text", f"{changes.changed:,}", "documents before and after"),
            ("Same text", f"{changes.same:,}", "documents, to the letter"),
        ),
        differences=_differences(changes.differences),
        transitions=_transitions(changes.transitions),
        domains=f"{changes.domains:,}",
        gains=_domains(changes.gains),
        losses=_domains(changes.losses),
    )


def _differences(differences: Sequence[Difference]) -> str:
    if not differences:
        return '<p class="quiet">Nothing that is known.</p>\n'
    columns = (Column("Name"), Column("Before"), Column("After"))
    rows = ((entry.name, entry.before, entry.after) for entry in differences)
    return markup.table(columns, ([f"<code>{markup.text(cell, _DETAIL)}</code>" for cell in row] for row in rows))


def _transitions(transitions: Sequence[Transition]) -> str:
    if not transitions:
        return '<p class="quiet">No page changed.</p>\n'
    most = max(entry.pages for entry in transitions)
    columns = (
        Column("Before and after", "why"),
        Column("Pages", "n"),
        Column("Tokens", "n"),
        Column("Such as", "what"),
    )
    rows = (
        (
            f"{_words(entry)}{markup.bar(most, ('kept' if entry.after == DOCUMENT else 'lost', entry.pages))}",
            f"{entry.pages:,}",
            _signed(entry.tokens_after - entry.tokens_before),
            "".join(map(_example, entry.examples[:_SHOWN])),
        )
        for entry in transitions
    )
    return markup.table(columns, rows, stacked=True)


def _words(entry: Transition) -> str:
    if entry.before == entry.after:
        return "a document with other text"
    return f"{_state(entry.before)} → {_state(entry.after)}"


def _state(state: str) -> str:
    if state in (DOCUMENT, ABSENT):
        return {DOCUMENT: "<b>document</b>", ABSENT: "no page"}[state]
    return markup.text(Reason(state).words if state in Reason.__members__.values() else state)


def _example(example: Example) -> str:
    before, after, detail = example.tokens_before, example.tokens_after, markup.text(example.detail, _DETAIL)
    if before and after:
        said = f"{before:,} → {after:,} tokens"
    elif before or after:
        said = f"{before or after:,} tokens {'before' if before else 'now'}"
        said += f"; {'now' if before else 'before'}: {detail}" if detail else ""
    else:
        said = detail
    return f'<div class="example">{markup.address(example.url)} <span class="detail">{said}</span></div>'


def _signed(number: int) -> str:
    return f"{number:+,}".replace("-", "\N{MINUS SIGN}") if number else "0"


def _domains(domains: Sequence[Domain]) -> str:
    if not domains:
        return '<p class="quiet">None.</p>\n'
    columns = (Column("Domain"), *(Column(name, "n") for name in ("Tokens", "Gained", "Lost", "Changed")))
    rows = (
        (
            markup.text(entry.name, _NAME) or "no URL",
            _signed(entry.tokens),
            f"{entry.gained:,}",
            f"{entry.lost:,}",
            f"{entry.changed:,}",
        )
        for entry in domains
    )
    return markup.table(columns, rows)
