"""Texts of a kind, by number, and files of them."""

import random

NOUNS = "river window teacher garden bridge winter letter market summer kitchen forest station evening".split()  # noqa: SIM905
VERBS = "opened crossed followed remembered painted repaired watched described answered carried".split()  # noqa: SIM905


def story_of(seed, sentences=6):
    """English of a kind; different seeds share few 5-word shingles."""
    rng = random.Random(seed)
    return " ".join(
        f"The {rng.choice(NOUNS)} and the old {rng.choice(NOUNS)} {rng.choice(VERBS)} what the {rng.choice(NOUNS)} "
        f"{rng.choice(VERBS)} before the {rng.choice(NOUNS)} was {rng.choice(VERBS)}."
        for _ in range(sentences)
    )


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
