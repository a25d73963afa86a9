import codecs
import re
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from protego import Protego

from webtext.pipeline.opt_outs.robots_rules import RobotsRules, decode_text
from webtext.pipeline.opt_outs.signals import product_token


def allows(text, path):
    return RobotsRules.parse(text, "webtext").allows(path)


# Groups.


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("webtext", "webtext"),
        ("WebText/1.0 (+x)", "webtext"),
        ("My_Bot-x", "my_bot-x"),
        ("web text", "web"),
        ("webtext2", "webtext"),
        ("*", "*"),
        ("**", "*"),
        ("*webtext*", "webtext"),
        ("* everybody", "*"),
        ("", ""),
        ("1webtext", ""),
        ("\u30c4bot", ""),
    ],
)
def test_product_token(name, token):
    assert product_token(name) == token


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        # A name is matched whole: neither its beginning nor its end is enough.
        ("User-agent: web\nDisallow: /", True),
        ("User-agent: text\nDisallow: /", True),
        ("User-agent: webtexts\nDisallow: /", True),
        ("User-agent: webtext-news\nDisallow: /", True),
        ("User-agent: web\nDisallow:\nUser-agent: *\nDisallow: /", False),
        ("User-agent: webtext/1.0\nDisallow: /", False),
        ("User-agent: WEBTEXT (any)\nDisallow: /", False),
        # "*" holds only where no group has the name, even one without rules.
        ("User-agent: *\nDisallow: /\nUser-agent: webtext\nDisallow:", True),
        ("User-agent: webtext\nDisallow:\nUser-agent: *\nDisallow: /", True),
        ("User-agent: *\nDisallow: /\nUser-agent: webtext", True),
        # Groups of one name are merged, with others between.
        ("User-agent: webtext\nAllow: /b\nUser-agent: x\nAllow: /\nUser-agent: WebText\nDisallow: /", False),
        ("User-agent: *\nDisallow: /a\nUser-agent: x\nAllow: /\nUser-agent: *\nDisallow: /p", False),
        ("User-agent: webtext\nUser-agent: webtext/2\nDisallow: /", False),
        # A group ends at a name after a rule; other records, unknown lines and empty ones don't end it.
        ("User-agent: webtext\nUser-agent: x\nDisallow: /", False),
        ("User-agent: webtext\nSitemap: /s\nUser-agent: x\nDisallow: /", False),
        ("User-agent: webtext\nNoindex: /s\n\nUser-agent: x\nDisallow: /", False),
        ("User-agent: webtext\nCrawl-delay: 3\nUser-agent: x\nDisallow: /", False),
        ("User-agent: webtext\n\n# x\n\nDisallow: /", False),
        ("User-agent: webtext\nDisallow:\nUser-agent: x\nDisallow: /", True),
        ("User-agent: webtext\nAllow: /x\nUser-agent:\nDisallow: /", True),
        ("Disallow: /", True),  # of no group
        # Spellings.
        ("USER-AGENT:webtext\nDISALLOW:/", False),
        ("  user agent webtext \r  disalow\t/", False),
        ("useragent : webtext # x\nDissallow : /#x", False),
        ("User-agents: webtext\nDisallow: /", True),
        ("User-agent: webtext\nDisallowed: /", True),
    ],
)
def test_groups(text, allowed):
    assert allows(text, "/private") is allowed


def test_crawl_delay():
    def delay(text):
        return RobotsRules.parse(text, "webtext").crawl_delay

    assert delay("User-agent: *\nCrawl-delay: 2.5") == 2.5
    assert delay("User-agent: *\nCrawl-delay: 9\nUser-agent: x\nCrawl-delay: 5\nUser-agent: webtext\nAllow: /") is None
    assert delay("User-agent: webtext\nDisallow: /a\nCrawl-delay: 2\nUser-agent: webtext\nCrawl delay 1") == 2
    for value in ("soon", "-1", "nan", "inf", ""):
        assert delay(f"User-agent: *\nCrawl-delay: {value}") is None


# Paths.

RFC_5_1 = """
    User-Agent: *
    Disallow: *.gif$
    Disallow: /example/
    Allow: /publications/

    User-Agent: foobot
    Disallow:/
    Allow:/example/page.html
    Allow:/example/allowed.gif

    User-Agent: barbot
    User-Agent: bazbot
    Disallow: /example/page.html

    User-Agent: quxbot
"""


@pytest.mark.parametrize(
    ("product", "path", "allowed"),
    [
        ("webtext", "/a.gif", False),
        ("webtext", "/a.gif?b", True),
        ("webtext", "/example/a", False),
        ("webtext", "/publications/", True),
        ("foobot", "/", False),
        ("foobot", "/example/page.html", True),
        ("foobot", "/example/allowed.gif", True),
        ("BarBot", "/example/page.html", False),
        ("bazbot", "/example/page.html", False),
        ("bazbot", "/a.gif", True),
        ("quxbot", "/example/", True),
    ],
)
def test_the_simple_example_of_the_rfc(product, path, allowed):
    assert RobotsRules.parse(RFC_5_1, product).allows(path) is allowed


@pytest.mark.parametrize(
    ("rules", "path", "allowed"),
    [
        # RFC 9309 section 5.2
        ("Allow: /example/page/\nDisallow: /example/page/disallowed.gif", "/example/page/disallowed.gif", False),
        ("Allow: /example/page/\nDisallow: /example/page/disallowed.gif", "/example/page/x", True),
        # RFC 9309 section 2.2.2, both ways
        ("Disallow: /foo/bar?baz=quz", "/foo/bar?baz=quz", False),
        ("Disallow: /foo/bar?baz=https://foo.bar", "/foo/bar?baz=https%3A%2F%2Ffoo.bar", False),
        ("Disallow: /foo/bar?baz=https%3A%2f%2Ffoo.bar", "/foo/bar?baz=https://foo.bar", False),
        ("Disallow: /foo/bar/\u30c4", "/foo/bar/%E3%83%84", False),
        ("Disallow: /foo/bar/%E3%83%84", "/foo/bar/%e3%83%84", False),
        ("Disallow: /foo/bar/%62%61%7A", "/foo/bar/baz", False),
        ("Disallow: /foo/bar/baz", "/foo/bar/%62%61%7A", False),
        ("Disallow: /a%2Fb", "/a/b", True),
        ("Disallow: /a/b", "/a%2Fb", True),
        ("Disallow: /100%", "/100%", False),
        # RFC 9309 section 2.2.3
        ("Disallow: /a$", "/a", False),
        ("Disallow: /a$", "/ab", True),
        ("Disallow: /a$b", "/a$bc", False),
        ("Disallow: /this/*/exactly", "/this/x/y/exactly/z", False),
        ("Disallow: /file-with-a-%2A.html", "/file-with-a-*.html", False),
        ("Disallow: /file-with-a-%2A.html", "/file-with-a-x.html", True),
        ("Disallow: /foo-%24", "/foo-$", False),
        ("Disallow: /foo-%24", "/foo-", True),
        ("Disallow: /*a*b$", "/ab/a", True),
        ("Disallow: /*?", "/x?", False),
        ("Disallow: *", "/x", False),
        # The longest pattern, of equals Allow; robots.txt itself always.
        ("Disallow: /ab\nAllow: /a", "/abc", False),
        ("Allow: /ab\nDisallow: /ab", "/abc", True),
        ("Disallow: /*/b\nAllow: /a/", "/a/b", False),
        ("Disallow: /a/\nAllow: /*/b", "/a/b", True),
        ("Disallow: /x*\nAllow: /x*", "/xy", True),
        ("Disallow: /\nAllow: /index.html", "/", False),
        ("Disallow: /", "/robots.txt", True),
        ("Disallow: /", "/robots.txt?x", False),
    ],
)
def test_paths(rules, path, allowed):
    assert allows("User-agent: *\n" + rules, path) is allowed


def test_a_path_in_another_encoding_than_utf_8():
    rules = RobotsRules.parse(decode_text(b"User-agent: *\nDisallow: /caf\xe9"), "webtext")
    assert not rules.allows("/caf%E9")
    assert rules.allows("/caf%C3%A9")


AGENTS = st.sampled_from(["User-agent: webtext", "User-agent: WebText", "User-agent: *", "user-agent: otherbot"])
# Not an octet that is no UTF-8, which protego takes for U+FFFD.
OCTETS = st.sampled_from(["/", "a", "b", "c", "=", "%41", "A", "%2F", "\u00e9", "%C3%A9", "%c3%a9", "%2a"])
PATTERN = st.text("/ab*", max_size=7).map("/".__add__) | st.lists(OCTETS | st.just("*"), max_size=6).map("".join)
RULES = st.tuples(st.sampled_from(["Allow: ", "Disallow: ", "disallow:"]), PATTERN, st.sampled_from(["", "$"]))
OTHERS = st.sampled_from(["Crawl-delay: 7", "Sitemap: http://a.example/s", "# Disallow: /", ""])
# Each group has a rule, without which the RFC and protego differ on where it ends.
GROUP = st.tuples(
    st.lists(AGENTS, min_size=1, max_size=3),
    RULES.map("".join),
    st.lists(RULES.map("".join) | OTHERS, max_size=6),
).map(lambda group: "\n".join([*group[0], group[1], *group[2]]))
PATHS = st.lists(st.lists(OCTETS, max_size=8).map("".join), min_size=1, max_size=10)


@given(groups=st.lists(GROUP, max_size=4), paths=PATHS)
@example(groups=["User-agent: webtext\nDisallow: /*a*b$\nAllow: /a*"], paths=["ab", "aab", "abb"])
@settings(max_examples=500, deadline=None)
def test_protego_says_the_same(groups, paths):
    text = "\n".join(groups)
    rules, oracle = RobotsRules.parse(text, "webtext"), Protego.parse(text)
    for path in ("/" + quote(path, safe="/%=") for path in paths):
        assert rules.allows(path) == oracle.can_fetch(f"http://a.example{path}", "webtext"), path
    assert rules.crawl_delay == oracle.crawl_delay("webtext")


@given(pattern=st.text("ab*/", max_size=12), anchor=st.sampled_from(["", "$"]), path=st.text("ab/", max_size=12))
def test_a_pattern_matches_as_its_regular_expression(pattern, anchor, path):
    expected = re.match("/" + pattern.replace("*", ".*") + anchor, f"/{path}")
    assert allows(f"User-agent: *\nDisallow: /{pattern}{anchor}", f"/{path}") is (expected is None)


@pytest.mark.parametrize(
    "text",
    [
        "User-agent: *\nDisallow: /" + "*a" * 250_000 + "b",
        "User-agent: *\n" + "".join(f"Disallow:/*{'a' * 50}b{n}$\n" for n in range(8000)),
        "User-agent: *\n" + "".join(f"Disallow:/*a*a*a*a*b{n}\n" for n in range(20_000)),
        "User-agent: a\n" * 18_000 + "Allow: /a\n" * 25_000,  # every name with every rule would be 450 million
    ],
    ids=["stars", "near-misses", "many-wildcards", "names-times-rules"],
)
@pytest.mark.timeout(60)  # backtracking would take years, names with rules all memory
def test_a_hostile_file_ends(text):
    assert allows(text, "/" + "a" * 4000)


# Texts.


@pytest.mark.parametrize(
    "body",
    [
        codecs.BOM_UTF8 + b"User-agent: *\nDisallow: /",
        codecs.BOM_UTF8 * 2 + b"User-agent: *\nDisallow: /",
        b"# one file\n" + codecs.BOM_UTF8 + b"User-agent: *\nDisallow: /",
        "\ufeffUser-agent: *\nDisallow: /".encode("utf-16-le"),
        "\ufeffUser-agent: *\nDisallow: /".encode("utf-16-be"),
        "User-agent: *\r\nDisallow: /".encode("utf-16-le"),
        "User-agent: *\r\nDisallow: /".encode("utf-16-be"),
        "User-agent: *\nDisallow: /".encode("utf-32"),
        b"\xff\xfeU",  # half a character
    ],
)
def test_no_mark_hides_a_line(body):
    text = decode_text(body)
    assert text.startswith(("User-agent: *", "# one", "\ufffd"))
    assert allows(text, "/x") is (len(body) < 9)


@given(body=st.binary(max_size=200))
def test_any_bytes_are_read(body):
    RobotsRules.parse(decode_text(body), "webtext").allows("/x")


# What may be used.


@pytest.mark.parametrize(
    ("text", "target", "lines"),
    [
        ("User-agent: *\nAllow: /\nContent-Usage: train-ai=n", "/a", {3: "Content-Usage: train-ai=n"}),
        ("User-agent: *\r\n# why\r\n content-usage : train-ai=n # x\r\n", "/a", {3: "Content-Usage: train-ai=n"}),
        ("User-agent: *\rContent-Usage:train-ai=n", "/a", {2: "Content-Usage: train-ai=n"}),
        ("User-agent: *\nContent-Signal: search=yes,ai-train=no", "/a", {2: "Content-Signal: search=yes,ai-train=no"}),
        ("User-agent: *\nContent-Usage: train-ai=n\nContent-Usage: /ok/ train-ai=y", "/ok/a", {}),
        ("User-agent: *\nContent-Usage: train-ai=y\nContent-Usage: /no/\ttrain-ai=n", "/no/a",
         {3: "Content-Usage: /no/ train-ai=n"}),
        ("User-agent: *\nContent-Usage: train-ai=y\nContent-Usage: /no/ train-ai=n", "/yes", {}),
        ("User-agent: *\nContent-Usage: /*.html$ train-ai=n", "/a.html", {2: "Content-Usage: /*.html$ train-ai=n"}),
        ("User-agent: *\nContent-Usage: /*.html$ train-ai=n", "/a.html?b", {}),
        ("User-agent: *\nContent-Usage: /a train-ai=y\nContent-Usage: /a train-ai=n", "/a",
         {3: "Content-Usage: /a train-ai=n"}),
        ("User-agent: *\nContent-Usage: /a train-ai=n\nContent-Usage: /a search=n, train-ai=n", "/a",
         {2: "Content-Usage: /a train-ai=n"}),
        ("User-agent: *\nContent-Usage: train-ai=n\nContent-Usage: /a search=n", "/a", {}),  # nothing is said of /a
        ("User-agent: *\nContent-Usage: /a", "/a", {}),
        ("User-agent: *\nContent-Usage: train-ai=n\nContent-Signal: ai-train=no", "/a",
         {2: "Content-Usage: train-ai=n", 3: "Content-Signal: ai-train=no"}),
        ("User-agent: *\nContent-Usage: train-ai=n\n\nUser-agent: webtext\nDisallow:", "/a", {}),
        ("User-agent: *\nDisallow:\n\nUser-agent: webtext\nContent-Usage: train-ai=n", "/a",
         {5: "Content-Usage: train-ai=n"}),
        ("User-agent: otherbot\nContent-Usage: train-ai=n\nContent-Signal: ai-train=no", "/a", {}),
        ("User-agent: *\nContent-Signal: ai-train=yes\nUser-agent: otherbot\nContent-Signal: ai-train=no", "/a", {}),
        ("Content-Signal: ai-train=no\n\nUser-agent: *\nDisallow:", "/a", {1: "Content-Signal: ai-train=no"}),
        ("Content-Signal: ai-train=no\nUser-agent: *\nContent-Signal: ai-train=yes", "/a", {}),
        ("Content-Usage: train-ai=n", "/a", {1: "Content-Usage: train-ai=n"}),
        ("# Content-Usage: train-ai=n", "/a", {}),
        ("X-Content-Usage: train-ai=n", "/a", {}),
    ],
)  # fmt: skip
def test_opt_outs(text, target, lines):
    found = RobotsRules.parse(text, "webtext").opt_outs(target)
    assert [opt_out.line for opt_out in found] == [f"robots.txt line {n}: {line}" for n, line in lines.items()]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("License: /a.xml\n\nUser-agent: *\nDisallow: /x", [1]),
        ("User-agent: *\nDisallow: /x\nLicense: /a.xml", [3]),
        ("User-agent: otherbot\nDisallow: /\nLicense: /a.xml", []),
        ("User-agent: otherbot\nDisallow: /\n\nLicense: /a.xml", [4]),
        ("User-agent: otherbot\nDisallow: /\nSitemap: /s.xml\nLicense: /a.xml", [4]),
        ("License: /b.xml\nUser-agent: *\nLicense: /a.xml", [3]),
        ("User-agent: webtext\n\nLicense: /a.xml\nUser-agent: *\nDisallow: /", [3]),
    ],
)
def test_licences(text, numbers):
    assert [line.number for line in RobotsRules.parse(text, "webtext").licences] == numbers


def test_a_signal_ends_the_names_of_a_group():
    rules = RobotsRules.parse("User-agent: *\nContent-Signal: search=yes\nUser-agent: other\nDisallow: /", "webtext")
    assert rules.allows("/a")
