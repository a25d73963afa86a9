import dataclasses

import pytest
from resiliparse.extract.html2text import extract_plain_text

from webtext.pipeline.documents import extract, prefilter
from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text.document import Document
from webtext.schemas.records import Loss, Reason

SETTINGS = ExtractSettings(prefilter=True)
ENGLISH = "The old harbour town has changed a good deal since the railway came to the valley, people say. "
GERMAN = "Die alte Hafenstadt hat sich sehr verändert, seit die Eisenbahn in das Tal gekommen ist, sagt man. "


def page(sentence, times):
    return "<!doctype html><title>t</title><body><article>" + "".join(
        f"<p>{sentence * 3}</p>" if n == 0 else f"<p>{sentence * 3} {n}.</p>" for n in range(times)
    )


def test_an_english_article_is_promising():
    assert prefilter.unpromising(page(ENGLISH, 5), SETTINGS) is None


def test_other_languages_and_little_text_are_not():
    found = prefilter.unpromising(page(GERMAN, 5), SETTINGS)
    assert found is not None
    assert found.reason is Reason.NOT_PROMISING
    assert found.detail.startswith("de ")
    assert prefilter.unpromising(page(ENGLISH, 1), SETTINGS) == Loss(
        Reason.NOT_PROMISING, "284 characters, at least 300 are wanted"
    )
    assert prefilter.unpromising("", SETTINGS) == Loss(Reason.NOT_PROMISING, "0 characters, at least 300 are wanted")


def test_all_text_decides_where_no_main_text_is_found():
    cards = "".join(f"<li><a href=/{n}>{sentence}</a></li>" for n, sentence in enumerate([ENGLISH] * 9))
    markup = f"<!doctype html><body><nav><ul>{cards}</ul></nav>"
    assert len(extract_plain_text(markup, main_content=True, alt_texts=False)) < 300
    assert prefilter.unpromising(markup, SETTINGS) is None
    found = prefilter.unpromising(markup.replace(ENGLISH, GERMAN), SETTINGS)
    assert found is not None
    assert found.detail.startswith("de ")


def test_it_never_asks_for_more_than_a_document_needs():
    everything = dataclasses.replace(SETTINGS, language_probability=0, min_tokens=0)
    assert prefilter.unpromising(page(GERMAN, 1), everything) is None
    assert prefilter.unpromising("", everything) is None
    assert prefilter.unpromising(page(ENGLISH, 1), dataclasses.replace(SETTINGS, min_tokens=64)) is None
    assert prefilter.unpromising(page(ENGLISH, 1), dataclasses.replace(SETTINGS, min_tokens=100_000)) is not None


@pytest.mark.parametrize("on", [True, False])
def test_the_chain_asks_it_only_when_told_to(on):
    settings = dataclasses.replace(SETTINGS, prefilter=on)
    found = extract.extract_page(page(GERMAN, 5).encode(), settings)
    assert isinstance(found, Loss)
    assert found.reason is (Reason.NOT_PROMISING if on else Reason.NOT_ENGLISH)
    assert isinstance(extract.extract_page(page(ENGLISH, 5).encode(), settings), Document)
