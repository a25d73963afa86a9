import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.dedup import sketches
from webtext.pipeline.text import minhash

sets = st.sets(st.integers(0, 2**32 - 1), max_size=40)


def array(values):
    return np.array(sorted(values), np.uint32)


def joined(others):
    values = np.concatenate([np.empty(0, np.uint32), *map(array, others)])
    return values, np.cumsum([0, *map(len, others)])


def jaccard(a, b):
    return len(a & b) / len(a | b) if a | b else 0


@given(sets, st.lists(sets, max_size=8))
def test_similarity_is_jaccard(one, others):
    others = [other | set(sorted(one)[::2]) for other in others]
    found = sketches.similarity(array(one), *joined(others), "shingles")
    assert np.allclose(found, [jaccard(one, other) if one else 0 for other in others])


def test_long_documents_are_compared_by_their_smallest_shingles():
    random = np.random.default_rng(1)
    universe = random.choice(2**32, 60_000, replace=False)
    for common, own in ((20_000, 10_000), (5_000, 25_000), (1_000, 100)):
        a, b = set(universe[: common + own].tolist()), {*universe[:common].tolist(), *universe[-own:].tolist()}
        cut = [array(found)[: sketches.LIMIT] for found in (a, b)]
        found = sketches.similarity(cut[0], cut[1], np.array([0, len(cut[1])]), "shingles")
        assert abs(found[0] - jaccard(a, b)) < 0.03


def test_a_short_text_resembles_nothing():
    text = " ".join(f"w{n}" for n in range(minhash.LEAST_SHINGLES + 3))
    assert len(minhash.shingles(text)) == minhash.LEAST_SHINGLES - 1
    assert not len(sketches.sketch(text, "shingles"))
    assert (minhash.signature(text) == 2**32 - 1).all()
    assert len(sketches.sketch(text + " more", "shingles")) == minhash.LEAST_SHINGLES
    assert (minhash.signature(text + " more") != 2**32 - 1).any()


def test_signatures_agree_as_minhash_says():
    a, b = (
        minhash.signature(f"{'the same words over and over ' * 3} {end} " + " ".join(map(str, range(99))))
        for end in "xy"
    )
    bounds = np.array([0, 128, 256])
    found = sketches.similarity(a, np.concatenate([a, b]), bounds, "signature")
    assert found.tolist() == [1, (a == b).mean()]
