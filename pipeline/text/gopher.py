"""Gopher's rules for quality and repetition: Rae et al. 2021, arXiv 2112.11446, appendix A1.1.

The paper does not say what a word is. Here it is what stands between blanks; how repeated characters are counted is
datatrove's choice (HuggingFace/datatrove 0.10.1, gopher_repetition_filter.py), which FineWeb was made with.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

STOP_WORDS: Final = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
TOP_NGRAMS: Final = {2: 0.20, 3: 0.18, 4: 0.16}  # table A1: characters in the most frequent n-gram
REPEATED_NGRAMS: Final = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}  # table A1: in repeated n-grams

_ELLIPSES = ("...", "…")
_BULLETS = ("•", "-")
_PARAGRAPH_ENDS = re.compile(r"\n{2,}")
_LINE_ENDS = re.compile(r"\n+")


def broken_rule(text: str) -> str | None:
    """The first rule that the text breaks, as "rule: value, allowed range"; None if it breaks none."""
    words = text.split()
    return _quality(text, words) or _repeated_lines(text) or _repeated_ngrams(words, len(text))


def _quality(text: str, words: Sequence[str]) -> str | None:
    """A1.1, "Quality Filtering", in the order of its sentences."""
    sizes = [len(word) for word in words if word.isalnum() or any(map(str.isalnum, word))]  # "-" and "|" are no words
    if not 50 <= len(sizes) <= 100_000:
        return f"word_count: {len(sizes)}, expected 50 to 100000"
    mean = sum(sizes) / len(sizes)
    if not 3 <= mean <= 10:
        return f"mean_word_length: {mean:.3f}, expected 3 to 10"
    hashes = text.count("#") / len(words)
    if hashes > 0.1:
        return f"hashes_per_word: {hashes:.3f}, at most 0.1"
    ellipses = sum(map(text.count, _ELLIPSES)) / len(words)
    if ellipses > 0.1:
        return f"ellipses_per_word: {ellipses:.3f}, at most 0.1"
    lines = text.splitlines()
    bullets = sum(line.lstrip().startswith(_BULLETS) for line in lines) / len(lines)
    if bullets > 0.9:
        return f"bullet_lines: {bullets:.3f}, at most 0.9"
    open_ends = sum(line.rstrip().endswith(_ELLIPSES) for line in lines) / len(lines)
    if open_ends > 0.3:
        return f"ellipsis_lines: {open_ends:.3f}, at most 0.3"
    alphabetic = sum(word.isalpha() or any(map(str.isalpha, word)) for word in words) / len(words)
    if alphabetic < 0.8:
        return f"alphabetic_words: {alphabetic:.3f}, at least 0.8"
    stop_words = len(STOP_WORDS.intersection(words))
    if stop_words < 2:
        return f"stop_words: {stop_words}, at least 2"
    return None


def _repeated_lines(text: str) -> str | None:
    """Table A1, upper part: how much of the text are lines and paragraphs that stood before."""
    for name, parts in (("paragraphs", _PARAGRAPH_ENDS.split(text.strip())), ("lines", _LINE_ENDS.split(text))):
        number, characters = repeats(parts)
        if number / len(parts) > 0.30:
            return f"repeated_{name}: {number / len(parts):.3f}, at most 0.30"
        if characters / len(text) > 0.20:
            return f"repeated_{name}_characters: {characters / len(text):.3f}, at most 0.20"
    return None


def repeats(parts: Iterable[str]) -> tuple[int, int]:
    """(how many parts stood before, how many characters they have); the first of equals is no repeat."""
    seen: set[str] = set()
    number = characters = 0
    for part in parts:
        if part in seen:
            number += 1
            characters += len(part)
        seen.add(part)
    return number, characters


def _repeated_ngrams(words: Sequence[str], length: int) -> str | None:
    """Table A1, lower part, for 10 words or more."""
    # An n-gram can only be repeated where an (n-1)-gram is, so few positions stay in play.
    numbers: dict[str, int] = {}
    word = np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int64)
    ends = np.concatenate([[0], np.cumsum(np.fromiter(map(len, words), np.int64, len(words)))])  # blanks left out
    starts, gram = np.arange(len(words)), word  # where a repeated (n-1)-gram starts, and which one it is
    for n in range(2, 11):
        inside = starts <= len(words) - n
        starts = starts[inside]
        _, gram, counts = np.unique(
            gram[inside] * len(numbers) + word[starts + n - 1], return_inverse=True, return_counts=True
        )
        often = counts[gram]
        if n in TOP_NGRAMS:
            first = int(starts[np.argmax(often)]) if len(starts) else 0  # of equally frequent ones, the first counts
            times = int(often.max(initial=1))
            share = times * int(ends[first + n] - ends[first] + n - 1) / length
            if share > TOP_NGRAMS[n]:
                return f"top_{n}_gram: {share:.3f}, at most {TOP_NGRAMS[n]:.2f}"
        starts, gram = starts[often > 1], gram[often > 1]
        sizes = ends[starts + n] - ends[starts]
        # Most texts are far below the limit even if every overlap is counted, which costs no loop.
        if n in REPEATED_NGRAMS and sizes.sum() > REPEATED_NGRAMS[n] * length:
            share = _without_overlap(n, starts, gram, sizes) / length
            if share > REPEATED_NGRAMS[n]:
                return f"repeated_{n}_grams: {share:.3f}, at most {REPEATED_NGRAMS[n]:.2f}"
    return None


def _without_overlap(
    n: int, starts: npt.NDArray[np.int64], gram: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]
) -> int:
    """Characters in n-grams that stood before, from left to right, each word counted once at most."""
    seen: set[int] = set()
    free = characters = 0
    for start, which, size in zip(starts.tolist(), gram.tolist(), sizes.tolist(), strict=True):
        if start < free:
            continue
        if which in seen:
            characters += size
            free = start + n
        seen.add(which)
    return characters
