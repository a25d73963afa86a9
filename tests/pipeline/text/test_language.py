import json
from collections import Counter, defaultdict
from itertools import chain
from pathlib import Path

import pytest
import zstandard

from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text import language

LINGUA = Path(__file__).resolve().parents[4] / "shared/data/langid/lingua_300_per_language.jsonl.zst"

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


def test_more_is_read_where_the_beginning_is_not_certain():
    menu = "Menü Startseite Über uns Kontakt Impressum Datenschutz Anmelden " * 15
    english = TEXTS["en"] + " "
    assert len(menu) < 1000 < len(menu) + 100
    assert language.identify(menu)[2] < 0.5
    assert language.identify(menu + english * 5)[2] < language.identify(menu + english * 20)[2]
    assert language.identify(english * 30) == language.identify(english * 30 + menu * 5)


@pytest.fixture(scope="module")
def sentences():
    """Language -> 300 sentences of it."""
    if not LINGUA.is_file():
        pytest.skip("sentences in 75 languages (../shared/data/langid) are not here")
    raw = zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(LINGUA.open("rb")).read()
    found = defaultdict(list)
    for row in map(json.loads, raw.decode().splitlines()):
        found[row["lang"]].append(row["text"])
    assert Counter(map(len, found.values())) == {300: 75}
    return found


def joined(texts, turn, size=2000):
    """Texts of at least `size` bytes, of neighbouring sentences from the one numbered `turn` on."""
    document = []
    for text in texts[turn:] + texts[:turn]:
        document.append(text)
        if len(" ".join(document).encode()) >= size:
            yield " ".join(document)
            document = []


def rates(texts_by_language):
    """(share of English texts that are kept, share of the others that are)."""
    threshold = ExtractSettings().language_probability
    kept = {
        code: [language.identify(text)[2] >= threshold for text in texts] for code, texts in texts_by_language.items()
    }
    english = kept.pop("en")
    others = list(chain.from_iterable(kept.values()))
    return sum(english) / len(english), sum(others) / len(others)


def test_single_sentences_of_75_languages(sentences):
    recall, false_english = rates(sentences)
    assert recall >= 0.98
    assert false_english <= 0.004


def test_texts_of_2_kilobytes_in_75_languages(sentences):
    turns = (0, 3, 7, 19)  # other cuts of the same sentences: a set alone has 15 English texts
    texts = {code: [text for turn in turns for text in joined(own, turn)] for code, own in sentences.items()}
    assert len(texts["en"]) > 50
    assert rates(texts) == (1, 0)
