import numpy as np
import pytest

from webtext.pipeline.documents import extract
from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text.clean import _MANY_BLANKS, clean
from webtext.pipeline.text.document import Document
from webtext.schemas import vocabulary
from webtext.schemas.records import Loss, Reason

SENTENCE = "The old harbour town has changed a good deal since the railway came to the valley, people say. "
GERMAN = "Die alte Hafenstadt hat sich sehr verändert, seit die Eisenbahn in das Tal gekommen ist, sagt man. "
SETTINGS = ExtractSettings()


def page(body, head="<title>Harbour &amp; valley</title>", encoding="utf-8"):
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>".encode(encoding)


def article(sentence=SENTENCE, paragraphs=12):
    return "<article>" + "".join(f"<p>{sentence * 3} {n}.</p>" for n in range(paragraphs)) + "</article>"


def reason(payload, settings=SETTINGS):
    found = extract.extract_page(payload, settings)
    assert isinstance(found, Loss)
    return found.reason


def test_an_article_becomes_a_document():
    found = extract.extract_page(page("<nav><a href=/>Home</a></nav>" + article()), SETTINGS)
    assert isinstance(found, Document)
    assert found.title == "Harbour & valley"
    assert found.text.startswith("The old harbour town")
    assert "Home" not in found.text
    ids = np.frombuffer(found.tokens, "<u2").tolist()
    assert vocabulary.load().decode(ids) == found.text
    assert found.language_probability > 0.5
    assert (len(found.text_hash), len(found.signature)) == (16, 512)


def test_the_first_reason_counts():
    assert reason(page("")) is Reason.NO_TEXT
    assert reason(b"\x00\x01\x02" * 300) is Reason.NO_TEXT
    assert reason(page(article(GERMAN))) is Reason.NOT_ENGLISH
    assert reason(page(article(paragraphs=1))) is Reason.TOO_SHORT
    assert reason(page("<p>x" * 60_000)) is Reason.TOO_MANY_TAGS
    assert reason(page("<p " + "ab=c " * 20_000 + ">x")) is Reason.TOO_MANY_ATTRIBUTES


def test_a_long_attribute_is_no_reason():
    found = extract.extract_page(page(f"<div data-state='{'{x: 1}, ' * 20_000}'></div>" + article()), SETTINGS)
    assert isinstance(found, Document)


def test_thresholds_are_settings():
    everything = ExtractSettings(language_probability=0, min_tokens=0)
    assert isinstance(extract.extract_page(page(article(GERMAN)), everything), Document)
    assert isinstance(extract.extract_page(page(article(paragraphs=1)), everything), Document)


@pytest.mark.parametrize(
    ("declared", "real"),
    [("utf-8", "utf-8"), ("utf-8", "latin-1"), ("iso-8859-1", "latin-1"), ("", "latin-1"), ("windows-1251", "cp1251")],
)
def test_characters_survive_what_the_page_declares(declared, real):
    text = (
        "Это старый город у моря, и железная дорога изменила его жизнь. "
        if real == "cp1251"
        else ("Déjà vu: l'été où la vieille ville naïve a changé, à côté de la forêt. ")
    )
    meta = f'<meta charset="{declared}">' if declared else ""
    assert text in extract.decode(page(f"<p>{text * 20}</p>", meta, real))


def test_cleaned_text_is_safe_to_tokenize():
    text = clean("a\x00b \ud800 c" + " \n\u00a0" * 700_000 + "d" + "\n" * 1000 + "e")
    assert text == "ab  c d\ne"
    vocabulary.load().encode_ordinary(text)
    almost = "a" + " " * (_MANY_BLANKS - 2) + "b"
    assert clean(almost) == almost
    vocabulary.load().encode_ordinary(almost)


def test_equal_pages_give_equal_documents_whatever_came_before():
    first = extract.extract_page(page(article()), SETTINGS)
    extract.extract_page(page(article(GERMAN)), SETTINGS)
    extract.extract_page(page(article(SENTENCE + "Something else entirely. ")), SETTINGS)
    assert extract.extract_page(page(article()), SETTINGS) == first
