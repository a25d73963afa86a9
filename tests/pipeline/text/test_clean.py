import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trafilatura import utils

from webtext.pipeline.text.clean import clean

LETTERS = "Åsa naïve Dvořák São Zoë Ελένη Тимофій 한국 ｶﾞ ½ ﬁ"
INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202c\u2060\u2066\u2069\ufeff\u180e\ue000\x7f\x85"


def test_composed_and_decomposed_letters_are_one_text():
    for form in ("NFC", "NFD"):
        assert clean(unicodedata.normalize(form, LETTERS)) == LETTERS
    assert "ﬁ" in clean(LETTERS)  # compatibility forms are other texts


@pytest.mark.parametrize("character", INVISIBLE.replace("\x85", ""), ids=lambda c: f"{ord(c):04x}")
def test_what_can_not_be_seen_goes(character):
    spoilt = "".join(letter + character for letter in "plain words, Zoë's")
    assert clean(spoilt) == "plain words, Zoë's"
    assert clean(f"e{character}\u0301") == "é"


def test_what_can_be_seen_stays():
    text = "Zoë’s—two words\nline\tsep\u2028arator\u3000✓ 😀 x̂"
    assert clean(text) == text


@given(st.text(st.characters(codec="utf-8") | st.sampled_from(INVISIBLE + "ë\u0301\u0327 \t\n")))
def test_pages_lose_the_same(text):
    once = clean(text)
    theirs = utils.normalize_unicode(utils.remove_control_characters(text))
    assert once == theirs.translate({code: None for code in range(32) if chr(code) not in "\t\n\r"}).strip()
    assert clean(once) == once


@pytest.mark.parametrize("marks", ["\u0300\u0316", "\u0316\u0f71", "\u0f73", "\u0344\u0316"])
def test_endless_marks_are_cut(marks):
    endless = "".join(sorted(marks * 20_000, key=unicodedata.combining, reverse=True))  # the worst order for NFC
    found = clean(f"a{endless} b")
    assert len(found) < 100
    assert found.endswith(" b")


def test_as_many_marks_as_a_language_has_stay():
    rng = random.Random(5)
    text = "".join(letter + "".join(rng.choices("\u0323\u0302\u0301\u0f72", k=4)) for letter in "zalgo" * 10)
    assert clean(text) == unicodedata.normalize("NFC", text)
