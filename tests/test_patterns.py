"""Every regular expression of the source takes linear time, by its parse tree and by the clock."""

import re
from pathlib import Path

import pytest
from regex_ambiguity import ambiguities
from regex_attacks import superlinear
from source_patterns import ROOMS, places

from webtext.pipeline.documents import trafilatura_paths
from webtext.pipeline.text import walls

ROOT = Path(__file__).parent.parent


def of_functions():
    """(name, pattern, searched, whole) of the patterns that functions make of what they are given."""
    for reason, signs in walls._signs().items():
        yield f"walls-title-{reason}", signs.title, False, True
        yield f"walls-text-{reason}", signs.text, True, False
    for number, pattern in enumerate(trafilatura_paths._patterns):
        yield f"trafilatura_paths-{number}", re.compile(pattern), True, False
    yield "tensor_files", re.compile(r"model(-[0-9]{5}-of-[0-9]{5})?\.safetensors"), False, True


MADE_BY_FUNCTIONS = {
    "webtext.pipeline.text.walls",
    "webtext.pipeline.documents.trafilatura_paths",
    "webtext.model.tensor_files",
}
PLACES = {f"{place.module.removeprefix('webtext.')}-{place.name}": place for place in places(ROOT)}


@pytest.mark.parametrize("name", PLACES)
def test_patterns_of_the_source_are_linear(name):
    place = PLACES[name]
    try:
        pattern = place.compiled()
    except NameError:
        assert place.module in MADE_BY_FUNCTIONS, "of_functions() names no pattern of this module"
        return
    assert ambiguities(pattern, place.searched, place.whole) == []
    assert superlinear(pattern, place.searched, place.whole) is None


def test_patterns_that_functions_make_are_linear():
    for name, pattern, searched, whole in of_functions():
        # The parse trees of walls.tsv have bounded repetitions over bounded texts only.
        assert not any("exponential" in why for why in ambiguities(pattern, searched, whole)), name
        assert superlinear(pattern, searched, whole) is None, name


def test_all_calls_of_re_are_seen():
    assert len(PLACES) > 80
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        text = path.read_text("utf-8")
        assert "from re import" not in text, path
        assert "import re as" not in text, path
        assert not re.search(r"^import regex|^from regex", text, re.MULTILINE), path


@pytest.mark.parametrize(
    "pattern",
    [
        r"charset\s*=\s*[\"']?\s*([\w.:+-]{1,40})",
        r"/(?:[^/]+-[^/]+-[^/]+|[^/]*[0-9]{5}[^/]*|[^/]+\.html?)(?P<mark>/amp)\Z",
        r"([a-z][a-z-]*)\s*=\s*\"([^\"]*)\"",
        r"(?:\s+|<[^>]*>)*x",
        r"(<html[^<>]*?)\s*/>",
    ],
    ids=["charset", "amp", "attribute", "nested", "closed-html"],
)
def test_what_was_not_linear_is_found(pattern):
    assert ambiguities(re.compile(pattern), True, False)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", [r"<!--.*?-->", r"x\w*_\w*_\w*$"], ids=["beginnings", "cubic"])
def test_what_was_not_linear_is_found_by_the_clock(pattern):
    assert superlinear(re.compile(pattern, re.DOTALL), True, False)


@pytest.mark.parametrize("pattern", [r"\s+", r"<[^<>]*>", r"(?<!\s)\s{1000,}", r"^[a-z]*:", r"a*+b", r"(?>a*)b"])
def test_what_is_linear_is_not_suspected(pattern):
    searched = pattern not in {r"a*+b", r"(?>a*)b"}
    assert ambiguities(re.compile(pattern), searched, False) == []
    assert superlinear(re.compile(pattern), searched, False) is None
