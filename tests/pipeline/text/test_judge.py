import numpy as np

from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text import minhash
from webtext.pipeline.text.document import Document
from webtext.pipeline.text.judge import judge
from webtext.schemas import vocabulary

ALL = ExtractSettings(min_tokens=0, language_probability=0)


def test_a_document_is_its_text_in_tokens_with_a_hash_and_a_signature():
    text = " ".join(f"The {n} boats came home late." for n in range(40))
    found = judge(text, ALL, title="Boats", published="2016-01-02", html_lang="en")
    assert isinstance(found, Document)
    assert vocabulary.load().decode(np.frombuffer(found.tokens, "<u2").tolist()) == text
    assert found.text_hash == minhash.text_hash(text)
    assert found.signature == minhash.sign(minhash.shingles(text)).astype("<u4").tobytes()
    assert (found.title, found.published, found.html_lang) == ("Boats", "2016-01-02", "en")


def test_a_short_text_has_the_signature_of_no_shingles_so_that_it_resembles_nothing():
    found = judge("Page not found.", ALL)
    assert isinstance(found, Document)
    assert set(np.frombuffer(found.signature, "<u4").tolist()) == {2**32 - 1}
