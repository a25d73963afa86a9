from itertools import chain

import mixed_languages
import pytest

from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text import language

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


def test_a_text_without_words_is_of_no_language():
    for text in ("", " \n", "1 2 3\n" * 500, "x=1; y=f(x)", "0.5 | 17 | 3e8\n" * 100):
        assert language.identify(text) == ("und", 0, 0)


@pytest.mark.parametrize("code", ["en", "de", "fr"])
@pytest.mark.parametrize("times", [1, 5, 100])
def test_capitals_are_read_as_small_letters(code, times):
    capitals = "SECTION 4. " + f"{TEXTS[code]} ".upper() * times
    best, probability, english = language.identify(capitals)
    assert best == code
    assert probability > 0.5
    assert (english >= 0.5) == (code == "en")


@pytest.mark.parametrize("other", ["de", "fr", "ja"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.45, 0.55, 0.7, 0.95])
def test_most_of_a_text_decides(other, share):
    english = (TEXTS["en"] + "\n") * 500
    foreign = (TEXTS[other] + "\n") * 1500
    size = 12_000
    own, rest = english[: round(size * share)], foreign[: round(size * (1 - share))]
    half = len(own) // 2
    for text in (own + rest, rest + own, own[:half] + rest + own[half:]):
        best, probability, found = language.identify(text)
        assert best == ("en" if share > 0.5 else other)
        assert probability > 0.5  # of that part alone
        assert (found >= 0.5) == (share > 0.5)


def test_a_beginning_without_words_does_not_decide():
    table = "".join(f"| {n} | {n * 7919 % 1000} | {n / 8} km |\n" for n in range(300))
    for code, text in TEXTS.items():
        assert language.identify(table + (text + "\n") * 40)[0] == code


def test_the_identifiers_of_a_reference_page_do_not_hide_its_english():
    names = ["weight", "colour", "owner", "width", "price", "taste", "order", "place", "label", "month"] * 6
    contents = "".join(f"{number}.\nbasket_{name}_limit\n" for number, name in enumerate(names))
    for code, sentence in {
        "en": "How many things may be put into a basket before it has to be weighed again. ",
        "de": "Wie viel in einen Korb gelegt werden darf, bevor er noch einmal gewogen werden muss. ",
    }.items():
        assert (language.identify(contents + sentence * 20)[2] >= 0.5) == (code == "en")
    assert language.identify(contents)[2] >= 0.5


needs_sentences = pytest.mark.skipif(
    not mixed_languages.LINGUA.is_file(), reason="sentences in 75 languages (../shared/data/langid) are not here"
)


@pytest.fixture(scope="module")
def sentences():
    """Language -> 300 sentences of it."""
    return mixed_languages.read_sentences()


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


@needs_sentences
def test_single_sentences_of_75_languages(sentences):
    recall, false_english = rates(sentences)
    assert recall >= 0.98
    assert false_english <= 0.004


@needs_sentences
def test_texts_of_2_kilobytes_in_75_languages(sentences):
    turns = (0, 3, 7, 19)  # other cuts of the same sentences: a set alone has 15 English texts
    texts = {code: [text for turn in turns for text in joined(own, turn)] for code, own in sentences.items()}
    assert len(texts["en"]) > 50
    assert rates(texts) == (1, 0)


@needs_sentences
def test_the_majority_of_2000_texts_in_several_languages_and_in_capitals():
    threshold = ExtractSettings().language_probability
    right = [
        (language.identify(text)[2] >= threshold) == english for text, english in mixed_languages.texts(2000, seed=0)
    ]
    assert sum(right) / len(right) >= 0.98
