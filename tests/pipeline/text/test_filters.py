"""Each rule at its published threshold, settings, ledger and cost."""

import dataclasses
import time

import numpy as np
import pytest
from filter_rules import broken, spaced

from webtext.pipeline.documents import extract
from webtext.pipeline.settings import FILTERS, ExtractSettings
from webtext.pipeline.text import c4, filters, gopher
from webtext.pipeline.text.document import Document
from webtext.schemas import vocabulary
from webtext.schemas.manifest import StageManifest
from webtext.schemas.records import Loss, Reason

PROSE = [
    "The old harbour town has changed a good deal since the railway came to the valley.",
    "People who have lived there for long say that its market is not what it used to be.",
    "In the summer of that year a storm took the roof of the church, and nobody mended it.",
    "Fishermen sold their boats to a company with offices in the capital, far from any sea.",
    "Now the quay has three cafés, a museum of knots, and more visitors than it can hold.",
    '"We would not go back," the mayor told a reporter, "but I do miss the smell of tar."',
]
TEXT = "\n".join(PROSE)
SECOND = " ".join(line.replace("the", "this").replace("The", "This") for line in PROSE)


@pytest.mark.parametrize("family", FILTERS)
def test_prose_stays_as_it_is(family):
    assert filters.apply(TEXT, [family]) == TEXT


def test_no_family_is_no_filter():
    assert filters.apply("", []) == ""
    with pytest.raises(ValueError, match="unknown filter 'dolma'"):
        filters.apply("", ["dolma"])


@pytest.mark.parametrize(
    ("rule", "inside", "outside"),
    [
        ("word_count", spaced(50), spaced(49)),
        ("word_count", spaced(100_000, 7), spaced(100_001, 7)),
        ("mean_word_length", [*spaced(49, 3), "four"], spaced(50, 3)),  # 150 characters and 149, because of "of"
        ("mean_word_length", [*spaced(49, 10), "x" * 25], [*spaced(49, 10), "x" * 26]),  # 500 and 501
        ("hashes_per_word", [*spaced(90), *["#"] * 10], [*spaced(90), *["#"] * 11]),
        ("ellipses_per_word", [*spaced(90), *["..."] * 5, *["…"] * 5], [*spaced(90), *["..."] * 5, *["…"] * 6]),
        ("alphabetic_words", [*spaced(80), *map(str, range(100, 120))], [*spaced(80), *map(str, range(100, 121))]),
        ("stop_words", spaced(60), spaced(60)[1:]),
    ],
)
def test_gopher_judges_words_at_the_papers_thresholds(rule, inside, outside):
    assert broken("gopher", " ".join(inside)) != rule
    assert broken("gopher", " ".join(outside)) == rule


@pytest.mark.parametrize(
    ("rule", "marked", "allowed"),
    [("bullet_lines", "- {}", 18), ("bullet_lines", "• {}", 18), ("ellipsis_lines", "{} ...", 6)],
)
def test_gopher_judges_lines_at_the_papers_thresholds(rule, marked, allowed):
    lines = [" ".join(spaced(220)[n::20]) for n in range(20)]
    for number in (allowed, allowed + 1):
        text = "\n".join([marked.format(line) for line in lines[:number]] + lines[number:])
        assert broken("gopher", text) == (rule if number > allowed else "")


def test_gopher_judges_repeats_at_the_papers_thresholds():
    lines = [" ".join([f"a{n}", *spaced(1000)[n * 8 : n * 8 + 7], "of the"[: n + 3]]) for n in range(20)]

    def said(lines, blank="\n"):
        return broken("gopher", blank.join(lines))

    assert said([*lines[:14], *["hm"] * 7]) == ""  # the first of seven is no repeat: 6 of 21
    assert said([*lines[:14], *["hm"] * 8]) == "repeated_lines"  # 7 of 22
    assert said([*lines[:14], *["hm"] * 8], "\n\n") == "repeated_paragraphs"


@pytest.mark.parametrize(("blank", "name"), [("\n", "lines"), ("\n\n", "paragraphs")])
def test_gopher_judges_repeated_characters_at_the_papers_thresholds(blank, name):
    words = ["that", "have", *(f"x{n:03d}" for n in range(238))]
    lines = [" ".join(words[n : n + 20]) for n in range(0, 240, 20)]  # of 99 characters
    long = f"{lines[0]} {lines[1]}"  # of 199
    rule = f"repeated_{name}_characters"
    assert broken("gopher", blank.join([*lines[:5], long, long])) == rule  # 199 of 899 or 905
    assert broken("gopher", blank.join([*lines[:6], long, long])) != rule  # 199 of 999 or 1006


@pytest.mark.parametrize("n", gopher.TOP_NGRAMS)
def test_the_most_frequent_ngram(n):
    words = ["qqqqq"] * n  # 5 n + n - 1 characters
    for group in range(5, 60):
        text = " ".join(" ".join([*spaced(2000)[i * group : (i + 1) * group], *words]) for i in range(20))
        share = 20 * (6 * n - 1) / len(text)
        if 0.16 < share < 0.25:
            top = [
                size
                for size in (2, 3, 4)
                if size <= n and 20 * (n - size + 1) * (6 * size - 1) / len(text) > gopher.TOP_NGRAMS[size]
            ]
            assert broken("gopher", text) == (f"top_{top[0]}_gram" if top else "")


@pytest.mark.parametrize("n", gopher.REPEATED_NGRAMS)
def test_repeated_ngrams_count_without_overlap(n):
    words = [f"q{i:04d}" for i in range(n)]
    for between in range(10, 120, 7):
        text = " ".join([*spaced(60), *words, *spaced(200)[100 : 100 + between], *words])
        share = 5 * n / len(text)
        expected = next(
            (
                f"repeated_{size}_grams"
                for size, most in gopher.REPEATED_NGRAMS.items()
                if size <= n and 5 * (n // size * size) / len(text) > most
            ),
            "",
        )
        assert broken("gopher", text) == expected, share


def test_c4_keeps_the_lines_of_prose():
    page = [
        PROSE[0],
        "Home | About | Contact",
        "Too few words here.",
        "This line ends with an ellipsis, as teasers do...",
        "Please enable JavaScript to see the rest of this page.",
        "By going on you agree to our Privacy Policy and all that.",
        f"A word of {'x' * 1001} characters is no word at all.",
        "The church burnt down[12] in the year of the storm[citation needed].",
        PROSE[2],
    ]
    kept, rule = c4.kept_text("\n".join(page))
    assert rule is None
    assert kept.split("\n") == [PROSE[0], "The church burnt down in the year of the storm.", PROSE[2]]


def test_c4_drops_pages():
    assert broken("c4", TEXT + "\nLorem ipsum dolor sit amet is what printers say.") == "lorem_ipsum"
    assert broken("c4", TEXT + "\nfunction f() { return 1; } is what programmers say.") == "curly_bracket"
    assert broken("c4", "\n".join(PROSE[:2])) == "sentences"
    assert broken("c4", " ".join(PROSE[:3])) == ""  # three sentences in one line
    assert broken("c4", "Mr. smith, i.e. the v. old man, said so to e.g. his dog.") == "sentences"


def test_fineweb_judges_at_the_papers_thresholds():
    lines = [f"{line[:60]} {n}" for n, line in enumerate(PROSE * 17)][:100]
    stops = [line + "." for line in lines]
    assert broken("fineweb", "\n".join(stops[:12] + lines[12:])) == "line_ends"
    assert broken("fineweb", "\n".join(stops[:13] + lines[13:])) == ""
    short = [f"{n:02d}{' x' * 14}"[:29] + "." for n in range(100)]
    assert {len(line) for line in short} == {30}
    assert broken("fineweb", "\n".join(short)) == ""
    shorter = [line[:-2] + "." for line in short]
    assert broken("fineweb", "\n".join(shorter[:66] + stops[66:])) == ""
    assert broken("fineweb", "\n".join(shorter[:67] + stops[67:])) == "short_lines"
    twice = [f"{n} {'ab ' * 15}ab." for n in range(10, 20)]
    assert broken("fineweb", "\n".join([*twice, twice[0]])) == ""
    assert broken("fineweb", "\n".join([*twice[:9], twice[0]])) == "repeated_lines_characters"
    assert broken("fineweb", "\n".join(f"{n:02d} {'x' * 30}." for n in range(50))) == "new_lines_per_word"
    assert broken("fineweb", " \n ") == "line_ends"


def test_the_order_of_the_families_matters():
    menu = "\n".join([TEXT, *["Home | About | Contact | Shop | Press"] * 12])
    assert isinstance(filters.apply(menu, ["fineweb", "c4"]), Loss)
    assert filters.apply(menu, ["c4", "fineweb"]) == TEXT


def test_the_reason_and_the_detail_name_the_rule():
    found = filters.apply("short", ["fineweb", "gopher"])
    assert found == Loss(Reason.FILTER_FINEWEB, "line_ends: 0.000 with a full stop, more than 0.12")
    assert filters.rule_of(found) == "fineweb.line_ends"
    assert filters.rule_of(Loss(Reason.TOO_SHORT, "word_count: 1")) is None


def test_settings_name_the_families():
    assert ExtractSettings().filter_families == ()
    assert ExtractSettings(filters="c4, gopher").filter_families == ("c4", "gopher")
    for value, said in (("gofer", "'gofer' is none of them"), ("c4,c4", "'c4' is there twice"), ("c4,", "'' is none")):
        with pytest.raises(ValueError, match="gopher, c4, fineweb") as error:
            ExtractSettings(filters=value)
        assert said in str(error.value)


def test_the_chain_filters_in_the_order_given():
    chosen = ExtractSettings(filters="c4,gopher")
    screen = f"{'# ' * 40}is what the screen showed."
    page = "<!doctype html><body><article>" + "".join(f"<p>{line}</p>" for line in [*PROSE, screen, SECOND])
    found = extract.extract_page(page.encode(), chosen)
    assert isinstance(found, Loss)
    assert (found.reason, filters.rule_of(found)) == (Reason.FILTER_GOPHER, "gopher.hashes_per_word")
    found = extract.extract_page(page.replace("harbour", "{harbour}").encode(), chosen)
    assert isinstance(found, Loss)
    assert found.reason is Reason.FILTER_C4
    page = "<!doctype html><body><article>" + "".join(f"<p>{line}</p>" for line in [*PROSE, "No end mark", SECOND])
    found = extract.extract_page(page.encode(), ExtractSettings(filters="c4"))
    assert isinstance(found, Document)
    assert found.text == "\n".join([*PROSE, SECOND])
    assert vocabulary.load().decode(np.frombuffer(found.tokens, "<u2").tolist()) == found.text


def test_a_build_counts_what_each_rule_drops(tmp_path):
    import toy_webs

    toy_webs.write_posts(tmp_path / "posts.zst", toy_webs.posts_of())
    toy_webs.write_archives(tmp_path / "web", toy_webs.records_of(24), 1)
    settings = dataclasses.replace(toy_webs.SETTINGS, extract=ExtractSettings(filters="gopher,fineweb", mask=True))
    toy_webs.build(tmp_path / "work", tmp_path / "posts.zst", tmp_path / "web" / "*", settings=settings)
    stage = StageManifest.from_json((tmp_path / "work" / "documents" / "manifest.json").read_bytes())
    tally = stage.tally
    rules = {name: number for name, number in tally.counts.items() if name.startswith("rule ")}
    assert rules
    assert sum(rules.values()) == sum(
        tally.rejected.get(reason, 0) for reason in (Reason.FILTER_GOPHER, Reason.FILTER_FINEWEB)
    )
    assert {"masked e-mail addresses", "masked IP addresses"} <= tally.counts.keys()


@pytest.mark.parametrize(
    "unit",
    [
        "a ",
        "the of and a b c d e f g h i j ",
        "[1",
        "[" * 50,
        '"' * 50,
        "!? ",
        "\n",
        ". \n",
        "a" * 1000,
        "# ",
        "- x\n",
        "é…",
    ],
)
@pytest.mark.parametrize("start", ["", TEXT + "\n" + " ".join(spaced(60_000, 7)) + ".\n"])
def test_cost_is_linear_in_hostile_texts(start, unit):
    text = start + unit * (1_000_000 // len(unit))
    began = time.process_time()
    for family in FILTERS:
        filters.apply(text, [family])
    assert time.process_time() - began < 15
