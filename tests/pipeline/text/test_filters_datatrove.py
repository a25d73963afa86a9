"""The filters beside datatrove's, on texts at random and on real ones."""

import gzip
import math
from pathlib import Path

import pytest
import trafilatura
from filter_rules import broken, spaced
from hypothesis import given, settings
from hypothesis import strategies as st

from webtext.pipeline.documents.decode import decode
from webtext.pipeline.text import c4, gopher

PAGES = Path(__file__).resolve().parents[4] / "shared" / "data" / "html" / "scrapinghub" / "html"


def oracle(text):
    """The first rule of each of datatrove's filters against a text, and what its C4 leaves of it."""
    pytest.importorskip("datatrove", reason="datatrove is not installed")
    from datatrove.data import Document
    from datatrove.pipeline.filters import C4QualityFilter, GopherQualityFilter, GopherRepetitionFilter
    from datatrove.pipeline.filters.fineweb_quality_filter import FineWebQualityFilter
    from datatrove.utils.word_tokenizers import WordTokenizer

    class Words(WordTokenizer):
        """Between blanks; its own English tokenizer is spaCy's."""

        def word_tokenize(self, text):
            return text.split()

        def sent_tokenize(self, text):
            return [text]

        def span_tokenize(self, text):
            return [(0, len(text))]

    words = Words()

    def said(judge):
        document = Document(text, "id")
        found = judge.filter(document)
        return (document.text, "") if found is True else (text, found[1])

    return {
        "quality": said(GopherQualityFilter(language=words))[1],
        "repetition": said(GopherRepetitionFilter(language=words))[1],
        # The paper's thresholds, and its "at most" where the code says "less than".
        "fineweb": said(
            FineWebQualityFilter(
                line_punct_thr=math.nextafter(0.12, 1),
                short_line_thr=math.nextafter(0.67, 0),
                short_line_length=29,
                char_duplicates_ratio=math.nextafter(0.1, 0),
                language=words,
            )
        )[1],
        # C4's own figures; how sentences are counted is the tokenizer's matter.
        "c4": said(C4QualityFilter(min_num_sentences=1, min_words_per_line=5, language=words)),
    }


NAMES = {
    "word_count": {"gopher_short_doc", "gopher_long_doc"},
    "mean_word_length": {"gopher_below_avg_threshold", "gopher_above_avg_threshold"},
    "hashes_per_word": {"gopher_too_many_hashes"},
    "ellipses_per_word": {"gopher_too_many_ellipsis"},
    "bullet_lines": {"gopher_too_many_bullets"},
    "ellipsis_lines": {"gopher_too_many_end_ellipsis"},
    "alphabetic_words": {"gopher_below_alpha_threshold"},
    "stop_words": {"gopher_enough_stop_words"},
    "repeated_paragraphs": {"dup_para_frac"},
    "repeated_paragraphs_characters": {"dup_para_char_frac"},
    "repeated_lines": {"dup_line_frac"},
    "repeated_lines_characters": {"dup_line_char_frac", "char_dup_ratio"},
    **{f"top_{n}_gram": {f"top_{n}_gram"} for n in gopher.TOP_NGRAMS},
    **{f"repeated_{n}_grams": {f"duplicated_{n}_n_grams"} for n in gopher.REPEATED_NGRAMS},
    "line_ends": {"line_punct_ratio"},
    "short_lines": {"short_line_ratio"},
    "new_lines_per_word": {"list_ratio"},
    "": {""},
}


def agree(text):
    theirs = oracle(text)
    rule = broken("gopher", text)
    assert (theirs["quality"] or theirs["repetition"]) in NAMES[rule]
    assert theirs["fineweb"] in NAMES[broken("fineweb", text)]
    left, why = theirs["c4"]
    ours, our_why = c4.kept_text(text)
    if our_why is None:
        assert (ours, "") == (left, why)
    elif why:
        assert our_why.split(":")[0] in {why, "sentences"}
    else:
        assert our_why.startswith("sentences")
        assert left.count("\n") < c4.MIN_SENTENCES - 1
    return rule


LINE = st.lists(
    st.sampled_from([*"aeio", "the", "of", "and", "word", "#", "...", "-", "12", "harbour", "extraordinarily", "{"]),
    min_size=1,
    max_size=12,
).map(" ".join)
BLOCKS = st.lists(
    st.tuples(LINE, st.sampled_from(["", ".", "...", "?", ' "']), st.sampled_from(["\n", "\n\n", " "])),
    min_size=1,
    max_size=25,
)


@settings(deadline=None)
@given(BLOCKS, st.integers(0, 60), st.integers(1, 3))
def test_datatrove_agrees_on_texts_at_random(blocks, prose, times):
    mixed = "".join(line + end + gap for line, end, gap in blocks * times)
    agree((" ".join(spaced(prose + 2)) + "\n" + mixed).strip())


@pytest.mark.skipif(not PAGES.is_dir(), reason="no ../shared/data/html")
def test_datatrove_agrees_on_real_texts():
    rules = set()
    for path in sorted(PAGES.iterdir()):
        text = trafilatura.extract(decode(gzip.decompress(path.read_bytes()))) or ""
        if text:
            half = text[: len(text) // 2]
            rules |= {agree(text), agree(f"{text}\n{half}"), agree(f"{half}\n" * 3 + text)}
    assert len(rules) > 3
