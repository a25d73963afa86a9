import re

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from webtext.pipeline.text import minhash

words = st.lists(
    st.sampled_from(["a", "b", "c", "d", "e", "Größe", "東京", "naïve", "don't", "x1", "_", "Ω"]), max_size=60
)


def exact_shingles(text):
    found = re.findall(r"\w+", text.lower())
    width = min(5, len(found))
    return {tuple(found[i : i + width]) for i in range(len(found) - width + 1)} if found else set()


@given(words)
def test_one_hash_for_each_distinct_shingle(found):
    text = " ".join(found)
    assert len(minhash.shingles(text)) == len(exact_shingles(text))


@given(
    st.text(), st.text(st.characters(max_codepoint=0x2100)), st.text("a_1 \x1c\x85\xa0\u2019\u2014\u00e9\u0130\ud800")
)
def test_words_are_runs_of_word_characters(any_text, latin, tricky):
    for text in (any_text, latin, tricky, latin + "\u2019s \u2014 ok"):
        assert minhash.words(text) == re.findall(r"\w+", text.lower())


def test_words_in_linear_time_with_every_mark_there_is():
    marks = "".join(chr(code) for code in range(0x2000, 0x2C00) if not chr(code).isalnum())
    text = f"one {marks} two" * 300
    assert minhash.words(text) == re.findall(r"\w+", text)


@settings(max_examples=25)
@given(words)
def test_signatures_are_those_of_datasketch(found):
    hashes = minhash.shingles(" ".join(found))
    oracle = MinHash(num_perm=128, seed=1, scheme="affine32", hashfunc=int)
    oracle.update_batch(hashes.tolist())
    assert minhash.sign(hashes).tolist() == oracle.hashvalues.tolist()


def test_long_texts_are_signed_in_chunks():
    hashes = np.arange(10_000, dtype=np.uint32)
    halves = [minhash.sign(hashes[:5000]), minhash.sign(hashes[5000:])]
    assert minhash.sign(hashes).tolist() == np.minimum(*halves).tolist()


@pytest.mark.parametrize("similarity", [0.2, 0.5, 0.8])
def test_the_share_of_equal_values_estimates_the_jaccard_similarity(similarity):
    random = np.random.default_rng(0)
    shared = int(1000 * similarity)
    own = (1000 - shared) // 2
    estimates = []
    for _ in range(60):
        pool = random.choice(2**32, 1000, replace=False).astype(np.uint32)
        a, b = pool[: shared + own], np.concatenate([pool[:shared], pool[shared + own :]])
        estimates.append((minhash.sign(a) == minhash.sign(b)).mean())
    # Six standard errors of the mean of 60 estimates.
    assert abs(np.mean(estimates) - similarity) < 6 * np.sqrt(similarity * (1 - similarity) / 128 / 60)


def test_bands_are_equal_where_four_values_are_and_know_their_place():
    a = np.arange(128, dtype=np.uint32)[None]
    b = a.copy()
    b[0, 4:8] = 7
    same = (minhash.bands(a) == minhash.bands(b))[0]
    assert same.tolist() == [band != 1 for band in range(32)]
    repeated = minhash.bands(np.full((1, 128), 5, np.uint32))
    assert len(np.unique(repeated)) == 32


def test_text_hash_ignores_white_space_only():
    assert minhash.text_hash("a  b\nc ") == minhash.text_hash("a b c")
    assert minhash.text_hash("a b c") != minhash.text_hash("a b C")


def test_golden_signature():
    # Stored signatures must stay comparable: a change here needs a new SCHEME.
    signature = minhash.sign(minhash.shingles("In the beginning was the Word, and the Word was with God."))
    assert signature[:4].tolist() == [207591384, 1573225700, 411030637, 351710374]
