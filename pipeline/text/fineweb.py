"""FineWeb's own rules: Penedo et al. 2024, arXiv 2406.17557, section 3.6.

FineWeb has most of Gopher's and C4's rules too: ask for those by name. The thresholds are the paper's. Its code
(datatrove 0.10.1, fineweb_quality_filter.py) allows only 0.01 of repeated characters, and has the rule on new lines,
which the paper does not name.
"""

from webtext.pipeline.text import gopher

# Of Unicode's property Sentence_Terminal what English, Chinese and Japanese texts have; the last three are full-width.
_FULL_STOPS = tuple(".?!‼‽⁇⁈⁉。｡\uff0e\uff1f\uff01")


def broken_rule(text: str) -> str | None:
    """The first rule that the text breaks, as "rule: value, allowed range"; None if it breaks none."""
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return "line_ends: no line, at least one is wanted"
    stops = sum(line.endswith(_FULL_STOPS) for line in lines) / len(lines)
    if stops <= 0.12:
        return f"line_ends: {stops:.3f} with a full stop, more than 0.12"
    short = sum(len(line) < 30 for line in lines) / len(lines)
    if short >= 0.67:
        return f"short_lines: {short:.3f}, less than 0.67"
    _, characters = gopher.repeats(lines)
    repeated = characters / (len(text) - text.count("\n"))
    if repeated >= 0.1:
        return f"repeated_lines_characters: {repeated:.3f}, less than 0.1"
    new_lines = text.count("\n") / len(text.split())
    if new_lines > 0.3:
        return f"new_lines_per_word: {new_lines:.3f}, at most 0.3"
    return None
