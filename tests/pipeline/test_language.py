import pytest

from pipeline import language

TEXTS = {
    "en": "The quick brown fox jumps over the lazy dog while the children are playing in the garden.",
    "de": "Der schnelle braune Fuchs springt über den faulen Hund, während die Kinder im Garten spielen.",
    "fr": "Le renard brun saute par-dessus le chien paresseux pendant que les enfants jouent au jardin.",
    "ja": "子供たちが庭で遊んでいる間に、素早い茶色の狐がのろまな犬を飛び越えます。",
}


@pytest.mark.parametrize("code", TEXTS)
def test_languages(code):
    best, probability, english = language.identify(TEXTS[code])
    assert best == code
    assert 0.5 < probability <= 1
    assert (english >= 0.5) == (code == "en")


def test_line_feeds_and_emptiness_do_no_harm():
    assert language.identify("The house\n\nis on the hill\nand it is old")[0] == "en"
    _, _, english = language.identify("")
    assert 0 <= english <= 1
