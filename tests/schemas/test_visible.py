"""What strangers wrote, as people get to see it."""

import io
import json
import logging
import unicodedata
from dataclasses import dataclass

import pytest
from hostile_names import HOSTILE, unseen
from hypothesis import given
from hypothesis import strategies as st

from webtext.schemas.visible import VisibleFormatter, json_line, visible, visible_strings

ANY = st.text(st.characters(codec=None))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, 100 %", "plain text, 100 %"),
        ("déjà vu 日本語 \u00a0 😀 ¡", "déjà vu 日本語 \u00a0 😀 ¡"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("a\r\nb\tc\x7f", r"a\r\nb\tc\x7f"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202eevil\u2066\u200f", r"\u202eevil\u2066\u200f"),
        ("\u2028\u2029\ufeff", r"\u2028\u2029\ufeff"),
        ("\udc80\U000e0041", r"\udc80\U000e0041"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(text, shown):
    assert visible(text) == shown


def test_what_is_to_stay_stays():
    assert visible("a\tb\n\x1b", keep="\n\t") == "a\tb\n\\x1b"


@given(ANY)
def test_nothing_unseen_is_left_and_nothing_else_is_changed(text):
    assert not unseen(visible(text))
    if not unseen(text):
        assert visible(text) == text
    assert visible(visible(text)) == visible(text)


@given(st.recursive(ANY, lambda inner: st.lists(inner) | st.dictionaries(ANY, inner)))
def test_json_says_the_same_without_them(value):
    line = json_line(value)
    assert not unseen(line)
    assert json.loads(line) == value
    line.encode()


@dataclass(frozen=True)
class Inner:
    title: str
    size: int


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner | None
    others: list[Inner]


def test_all_strings_of_a_record():
    record = Outer(HOSTILE, Inner(HOSTILE, 3), [Inner(HOSTILE, 4)])
    shown = visible_strings(record)
    assert shown == Outer(visible(HOSTILE), Inner(visible(HOSTILE), 3), [Inner(visible(HOSTILE), 4)])
    assert record.name == HOSTILE
    assert visible_strings(Outer("a", None, [])) == Outer("a", None, [])


def test_the_hostile_text_has_one_of_each_kind():
    assert {unicodedata.category(character) for character in HOSTILE} >= {"Cc", "Cf", "Zl", "Zp"}


def test_log_records_of_libraries_take_one_line():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(VisibleFormatter("%(levelname)s %(message)s"))
    log = logging.Logger("library")
    log.addHandler(handler)
    log.warning("no such page: %s", HOSTILE)
    assert not unseen(stream.getvalue()[:-1])
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.exception("it failed")
    assert not unseen(stream.getvalue(), keep="\n")
