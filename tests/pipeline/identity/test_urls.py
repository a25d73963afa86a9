import json
import string
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from webtext.pipeline.identity.urls import MAX_CHARACTERS, canonicalize, host_of, link_key, path_of

VECTORS = Path(__file__).with_name("url_vectors.tsv")
KEYS = Path(__file__).with_name("key_vectors.tsv")


def vectors():
    for line in VECTORS.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            url, canonical, note = line.split("\t")
            yield pytest.param(json.loads(url) if url.startswith('"') else url, canonical, id=note)


@pytest.mark.parametrize(("url", "canonical"), vectors())
def test_vector(url, canonical):
    if canonical == "!":
        with pytest.raises(ValueError, match=r"^(is|has) "):
            canonicalize(url)
    else:
        assert canonicalize(url) == canonical
        assert canonicalize(canonical) == canonical


def test_there_are_many_vectors_and_each_has_its_own_note():
    notes = [case.id for case in vectors()]
    assert len(notes) >= 60
    assert len(set(notes)) >= len(notes) - 5  # a few reasons to refuse a URL repeat


# Mostly what breaks URL code: delimiters, escapes and halves of them, blanks, entities, look-alikes, surrogates.
_SHARP = st.sampled_from(
    [
        *"%&;=?#/\\.:@[]+~ \t\n\0",
        *(
            "%25",
            "%2",
            "%4",
            "%41",
            "%2e",
            "%2F",
            "%61",
            "amp;",
            "&amp;",
            "&%61mp;",
            "utm_",
            "utm_x=1",
            "..",
            "//",
            "www.",
            "#!",
            "#/a",
            "index.html",
        ),
        *("\u00e9", "\uff05", "\u3002", "\ud800", "\U0001f600", "xn--", "0x", "a", "1", "com"),
    ]
)
_TAIL = st.lists(st.one_of(_SHARP, st.text(max_size=3)), max_size=12).map("".join)
_HOST = st.lists(st.one_of(_SHARP, st.text(string.ascii_letters + string.digits + "-", max_size=5)), max_size=5).map(
    "".join
)
_URL = st.one_of(
    st.builds("http://example.com/{}".format, _TAIL),
    st.builds("https://{}/{}?{}".format, _HOST, _TAIL, _TAIL),
    _TAIL,
)


@settings(deadline=None)
@given(_URL)
@example("http://h/?a=%41&utm_x=%")
@example("http://h/?%&%41")
@example("http://h/%4%31")
@example("http://h/%%4%31%41")
@example("http://h/&amp;%61mp;amp;x")
@example("http://h/?&&amp;amp;;amp;utm_a")
@example("http://h/%2%65/..")
def test_canonical_is_a_fixed_point_or_a_value_error(url):
    try:
        canonical = canonicalize(url)
    except ValueError:
        return
    assert canonicalize(canonical) == canonical
    assert canonical.isascii()
    assert canonical.isprintable()
    assert " " not in canonical
    assert "#" not in canonical
    assert "&amp;" not in canonical.split("/", 3)[3]
    assert canonical.startswith(("http://", "https://"))
    assert host_of(canonical)
    assert path_of(canonical).startswith("/")
    assert len(link_key(canonical)) == 16


_PIECE = st.text(string.ascii_letters + string.digits + "-._~", min_size=1, max_size=8).filter(
    lambda piece: set(piece) != {"."} and not piece.lower().startswith("utm_")
)
_PAIRS = st.lists(st.tuples(_PIECE.map("p{}".format), _PIECE), max_size=4)


@settings(deadline=None)
@given(_PIECE, _PAIRS, st.data())
def test_variants_of_a_url_share_its_key(segment, pairs, data):
    query = [f"{name}={value}" for name, value in pairs]
    key = link_key(canonicalize(f"https://example.com/{segment}" + ("?" + "&".join(query) if query else "")))
    choose = lambda *options: data.draw(st.sampled_from(options))  # noqa: E731
    scheme, port = choose(("http", ""), ("https", ""), ("http", ":80"), ("https", ":443"), ("HTTP", ""))
    host = choose("example.com", "www.example.com", "EXAMPLE.com", "example.com.", "me:secret@www.example.com")
    for _ in range(choose(0, 1, 2)):
        query.insert(data.draw(st.integers(0, len(query))), choose("utm_source=reddit", "fbclid=1", "", "UTM_medium=x"))
    escaped = f"%{ord(segment[0]):02x}{segment[1:]}"
    variant = f"{scheme}://{host}{port}/{choose(segment, escaped)}{choose('', '/')}"
    variant += ("?" + choose("&", "&amp;", "&amp;amp;").join(query)) if query else choose("", "?")
    variant = choose("", " ", "\n") + variant + choose("", "#comments", " ")
    assert link_key(canonicalize(variant)) == key


def key_vectors():
    for line in KEYS.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            one, other, same, note = line.split("\t")
            yield pytest.param(one, other, same, id=note)


@pytest.mark.parametrize(("one", "other", "same"), key_vectors())
def test_key_vector(one, other, same):
    assert same in "=!"
    assert (link_key(canonicalize(one)) == link_key(canonicalize(other))) is (same == "=")


def test_there_are_many_key_vectors_of_both_kinds():
    verdicts = [case.values[2] for case in key_vectors()]
    assert min(verdicts.count("="), verdicts.count("!")) >= 25


def test_a_key_never_changes():
    # Stored in every table: a change of the key form makes older corpora unreadable.
    assert link_key("https://www.example.com/a/?b=1").hex() == "8082b8058ebcc705ee3b118ccf760855"


def test_length_is_held_before_and_after_escaping():
    room = MAX_CHARACTERS - len("http://example.com/")
    assert len(canonicalize("http://example.com/" + "a" * room)) == MAX_CHARACTERS
    with pytest.raises(ValueError, match="at most 4096"):
        canonicalize("http://example.com/" + "a" * (room + 1))
    with pytest.raises(ValueError, match="once escaped"):
        canonicalize("http://example.com/" + "é" * (room // 2))
    with pytest.raises(ValueError, match="has 100000007 characters"):
        canonicalize("http://" + "a" * 10**8)


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("http://example.com/", "example.com", "/"),
        ("http://example.com:8080/a/b?c/d", "example.com", "/a/b"),
        ("http://[2001:db8::1]/", "[2001:db8::1]", "/"),
        ("http://[2001:db8::1]:80/?x", "[2001:db8::1]", "/"),
        ("https://127.0.0.1:1/a?", "127.0.0.1", "/a"),
    ],
)
def test_host_and_path(url, host, path):
    assert (host_of(url), path_of(url)) == (host, path)
