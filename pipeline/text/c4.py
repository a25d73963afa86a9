"""C4's rules: Raffel et al. 2020, JMLR 21(140), section 2.2, and the code that made C4 (TFDS, c4_utils.py).

Paper and code agree, and the code adds three rules: words of over 1,000 characters, marks of citations, lines on
policies. Two things are not here: the list of bad words, and the removal of spans of lines that another page has too.
Sentences are counted by their end marks, not by nltk's model, which has to be downloaded.
"""

import re

MIN_WORDS = 5  # of a line
MIN_SENTENCES = 3  # of a page

_LONGEST_WORD = 1000  # characters
_END_MARKS = (".", "?", "!", '"')
_CITATION = re.compile(r"\[(?:\d*|edit|citation needed)\]")
_POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
_SENTENCE_END = re.compile(r"""[.?!]["')\]]*\s+(?=[^\sa-z])""")  # within a line: a word in lower case goes on


def kept_text(text: str) -> tuple[str, str | None]:
    """The lines that C4 keeps, and the first rule that the page breaks, as "rule: value, allowed range"."""
    lines: list[str] = []
    sentences = 0
    for whole in text.splitlines():
        if any(len(word) > _LONGEST_WORD for word in whole.split()):
            continue
        line = _CITATION.sub("", whole.strip())
        if not line.endswith(_END_MARKS) or line.endswith("...") or len(line.split()) < MIN_WORDS:
            continue
        lower = line.lower()
        if "lorem ipsum" in lower:
            return text, "lorem_ipsum: in a line, allowed in none"
        if "javascript" in lower:
            continue
        if "{" in line:
            return text, "curly_bracket: in a line, allowed in none"
        if any(policy in lower for policy in _POLICIES):
            continue
        sentences += 1 + len(_SENTENCE_END.findall(line))
        lines.append(line)
    if sentences < MIN_SENTENCES:
        return text, f"sentences: {sentences}, at least {MIN_SENTENCES} in the lines that stay"
    return "\n".join(lines).strip(), None
