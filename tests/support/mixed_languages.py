"""Texts of several languages, and in capitals, of which the majority of characters is known: out of real sentences."""

import json
import random
import re
from collections import Counter, defaultdict
from itertools import accumulate, pairwise
from math import exp, log
from pathlib import Path

import zstandard

LINGUA = Path(__file__).resolve().parents[3] / "shared/data/langid/lingua_300_per_language.jsonl.zst"
SENTENCE_ENDS = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
LEAST, MOST = 2_000, 60_000  # characters of a text


def read_sentences():
    """Language -> 300 sentences of it, for 75 languages."""
    raw = zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(LINGUA.open("rb")).read()
    found = defaultdict(list)
    for row in map(json.loads, raw.decode().splitlines()):
        found[row["lang"]].append(row["text"])
    assert Counter(map(len, found.values())) == {300: 75}
    return dict(found)


def run_of(sentences, characters, rng):
    """As many characters of a language: paragraphs of sentences in an order of chance, again and again if need be."""
    made, left = [], characters
    while left > 0:
        for sentence in rng.sample(sentences, len(sentences)):
            made.append(sentence + ("\n" if rng.random() < 0.2 else " "))
            left -= len(made[-1])
            if left <= 0:
                break
    return "".join(made)[:characters]


def cut(text, pieces, rng):
    """The text in pieces of lengths of chance."""
    places = sorted(rng.randrange(len(text)) for _ in range(pieces - 1))
    return [text[a:b] for a, b in pairwise([0, *places, len(text)])]


def arranged(most, rest, rng):
    """A majority before, behind, around and between the rest, in turns with it, and sentence by sentence."""
    order = rng.choice(["before", "behind", "around", "between", "in turns", "by sentences"])
    if order == "before":
        return [most, rest]
    if order == "behind":
        return [rest, most]
    if order == "around":
        head, tail = cut(most, 2, rng)
        return [head, rest, tail]
    if order == "between":
        head, tail = cut(rest, 2, rng)
        return [head, most, tail]
    if order == "by sentences":
        parts = SENTENCE_ENDS.split(most) + SENTENCE_ENDS.split(rest)
        rng.shuffle(parts)
        return parts
    parts = rng.randrange(3, 30)
    return [part for pair in zip(cut(most, parts, rng), cut(rest, parts, rng), strict=True) for part in pair]


def mixed(sentences, rng):
    """(a text of which 51 to 95 % of the characters are in English or are not, whether they are)."""
    size = round(exp(rng.uniform(log(LEAST), log(MOST))))
    english = rng.random() < 0.5
    majority = round(size * rng.uniform(0.51, 0.95))
    foreign = size - majority if english else majority
    codes = rng.sample(sorted(sentences.keys() - {"en"}), rng.choice([1, 1, 2, 3]))
    ends = [0, *accumulate(rng.uniform(1, 3) for _ in codes)]
    cuts = [round(foreign * end / ends[-1]) for end in ends]
    other = "".join(run_of(sentences[code], b - a, rng) for code, (a, b) in zip(codes, pairwise(cuts), strict=True))
    own = run_of(sentences["en"], size - foreign, rng)
    return rng.choice([" ", "\n"]).join(arranged(own, other, rng) if english else arranged(other, own, rng)), english


def in_capitals(sentences, rng):
    """(a text of one language in capitals, whether it is English)."""
    english = rng.random() < 0.5
    code = "en" if english else rng.choice(sorted(sentences.keys() - {"en"}))
    return run_of(sentences[code], round(exp(rng.uniform(log(LEAST), log(MOST)))), rng).upper(), english


def texts(count, seed=0):
    """`count` of (text, whether most of it is English), one of five in capitals."""
    sentences = read_sentences()
    rng = random.Random(seed)
    for number in range(count):
        yield (in_capitals if number % 5 == 4 else mixed)(sentences, rng)
