import random

import numpy as np
import pytest
import toy_documents
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.dedup import accuracy
from webtext.pipeline.dedup.recipe import find_copies
from webtext.pipeline.files import tabular
from webtext.pipeline.settings import CorpusSettings, DedupSettings


def words(seed, count):
    source = random.Random(seed)
    return " ".join(f"w{source.randrange(10**6)}" for _ in range(count))


@pytest.mark.parametrize("percent", accuracy.EDITS)
def test_a_planted_copy_has_the_similarity_that_is_promised(percent):
    text, share = words(1, 1000), percent / 100
    copy = accuracy.planted(text, words(2, 700), percent)
    assert copy == accuracy.planted(text, words(2, 700), percent)
    assert len(copy.split()) == 1000
    assert accuracy.jaccard(text, copy) == pytest.approx((1 - share) / (1 + share), abs=0.02)


def test_jaccard():
    assert accuracy.jaccard("a b c d e", "A, b; c d e!") == 1
    assert accuracy.jaccard("a b c d e f", "a b c d e g") == pytest.approx(1 / 3)
    assert accuracy.jaccard("", " \n") == 1
    assert accuracy.jaccard("one", "two") == 0


def mixed(number):
    """Murmur3's last step."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        number = (number ^ number >> 33) * factor % 2**64
    return number ^ number >> 33


def pair(a, place):
    """A pair whose hash is that of its place alone, so that pairs tie."""
    return a, (place - mixed(a)) % 2**64


pairs = st.builds(pair, st.integers(0, 9), st.integers(0, 2)) | st.tuples(st.integers(0, 5), st.integers(0, 5))


@given(st.lists(st.lists(pairs, max_size=8), max_size=12), st.integers(1, 9))
def test_a_sample_is_the_distinct_pairs_with_the_smallest_hashes(batches, number):
    found = accuracy._sample((np.array(batch, np.uint64).reshape(-1, 2) for batch in batches), number)
    every = {pair for batch in batches for pair in batch}
    plain = sorted(every, key=lambda pair: (mixed((mixed(pair[0]) + pair[1]) % 2**64), *pair))
    assert [*map(tuple, found.tolist())] == plain[:number]


@pytest.mark.parametrize("method", ["shingles", "signature"])
def test_each_build_measures_its_search(tmp_path, method):
    texts = {f"https://example.org/{n}": words(n, 300) for n in range(150)}
    texts |= {url + "/copy": text + " and an end" for url, text in list(texts.items())[:40]}
    texts |= {url + "/half": " ".join(text.split()[:105]) for url, text in list(texts.items())[:100]}
    documents = toy_documents.write_documents(tmp_path, texts, parts=3)
    settings = CorpusSettings(dedup=DedupSettings(method=method))
    done = find_copies(settings, str(tmp_path), documents, toy_documents.run_here)
    counts = done["accuracy"].tally.counts
    assert [counts[f"planted_{percent:02d}"] for percent in accuracy.EDITS] == [100] * 5
    assert [counts[f"found_{percent:02d}"] for percent in (5, 10, 20)] == [100] * 3
    assert counts["found_50"] == 0  # similarity 0.33
    assert counts["sampled_merged"] == counts["true_merged"] == 40
    assert counts["true_not_merged"] == counts["sampled_not_merged"] > 20
    rows = tabular.read_columns(f"{tmp_path}/accuracy/00000.sampled.parquet").to_pylist()
    for row in rows:
        similarity = accuracy.jaccard(texts[row["url"]], texts[row["other_url"]])
        assert row["similarity"] == pytest.approx(similarity)
        assert row["merged"] == (similarity >= 0.5)
