"""How often the language of a text is found, and what that costs.

    .venv/bin/python benchmarks/language.py [--texts 2000] [FOLDER...]

Texts are sentences of 75 languages, alone and mixed (tests/support/mixed_languages.py). A folder has saved pages
(*.html), such as the documentation in a Debian package; those of at least 128 tokens count. A page is in English where
a tenth of its words are English function words, and in another language where under a fiftieth are.
"""

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
import mixed_languages

from webtext.pipeline.documents import extract
from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text import language
from webtext.pipeline.text.document import Document

_FUNCTION_WORDS = frozenset(("the", "of", "and", "to", "is", "that", "with", "this"))
_EVERYTHING = ExtractSettings(language_probability=0)


def is_kept(text: str) -> bool:
    """Whether the build takes the text for English."""
    return language.identify(text)[2] >= ExtractSettings().language_probability


def documents_in(folder: Path) -> Iterator[str]:
    """The text of each page that is a document but for its language."""
    for path in sorted(folder.rglob("*.html")):
        found = extract.extract_page(path.read_bytes(), _EVERYTHING)
        if isinstance(found, Document):
            yield found.text


def row(name: str, texts: list[str]) -> str:
    """One line of a table in Markdown."""
    start = time.process_time()
    kept = [is_kept(text) for text in texts]
    milliseconds = (time.process_time() - start) / max(len(texts), 1) * 1e3
    counts: Counter[str] = Counter()
    for text, english in zip(texts, kept, strict=True):
        words = re.findall(r"\w+", text.lower())
        share = sum(word in _FUNCTION_WORDS for word in words) / max(len(words), 1)
        kind = "english" if share >= 0.1 else "foreign" if share < 0.02 else "unclear"
        counts[kind] += 1
        counts[f"{kind} kept"] += english
    lost = counts["english"] - counts["english kept"]
    return (
        f"| {name} | {len(texts)} | {len(texts) - sum(kept)} | {lost} of {counts['english']} | "
        f"{counts['foreign kept']} of {counts['foreign']} | {milliseconds:.2f} |"
    )


def main() -> None:
    """Print shares of right verdicts on sentences and mixed texts, then a table of the folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--texts", type=int, default=2000)
    arguments = parser.parse_args()
    language.identify("warm up")
    if arguments.texts and mixed_languages.LINGUA.is_file():
        sentences = mixed_languages.read_sentences()
        kept = {code: sum(map(is_kept, own)) / len(own) for code, own in sentences.items()}
        others = (sum(kept.values()) - kept["en"]) / (len(kept) - 1)
        print(f"sentences: {kept['en']:.3f} of the English are kept, {others:.4f} of the others")
        for seed in range(3):
            right = Counter(
                (english, is_kept(text) == english) for text, english in mixed_languages.texts(arguments.texts, seed)
            )
            share = (right[True, True] + right[False, True]) / arguments.texts
            print(
                f"mixed and capitals, seed {seed}: {share:.4f} right, "
                f"{right[True, False]} English lost, {right[False, False]} others kept"
            )
    if arguments.folders:
        print("\n| pages of | documents | not English | English lost | others kept | ms a text |")
        print("|---|---|---|---|---|---|")
    for folder in arguments.folders:
        print(row(folder.name, list(documents_in(folder))), flush=True)


if __name__ == "__main__":
    main()
