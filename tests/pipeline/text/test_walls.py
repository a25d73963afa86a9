import gzip
import time
from collections import Counter
from html import unescape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.documents.decode import decode
from webtext.pipeline.documents.extract import extract_page
from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text.walls import ONE_SIGN, TWO_SIGNS, gone, soft_failure, visible
from webtext.schemas.records import Loss, Reason

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "data" / "html"
ROWS = [
    line.split("\t")
    for line in (ROOT / "pipeline" / "text" / "data" / "walls.tsv").read_text().splitlines()
    if not line.startswith("#")
]
REASONS = {
    Reason.BOT_CHECK,
    Reason.COOKIE_WALL,
    Reason.LOGIN_WALL,
    Reason.PARKED_DOMAIN,
    Reason.SOFT_404,
    Reason.NEEDS_JAVASCRIPT,
}


def reason(title="", text="", html=""):
    found = soft_failure(title, text, html)
    return found and found.reason


def words(number):
    return " ".join(f"word{at}" for at in range(number))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2][:40])
def test_the_example_of_each_pattern_matches(row):
    place, expected, _, example, note = row
    assert Reason(expected) in REASONS
    assert note
    if place == "title":
        assert reason(title=example) == expected
    elif place == "text":
        assert reason(text=example) == expected
    elif place == "html":
        assert reason(text="Some words.", html=example) == expected
    else:
        assert place == "hint"
        assert reason(text="Some words.", html=example) is None


def test_no_pattern_is_there_twice():
    assert max(Counter((row[0], row[2]) for row in ROWS).values()) == 1


# What such pages say, in the words of their makers; none is a whole page.
FAILURES = {
    "nginx": ("404 Not Found", "", "<h1>404 Not Found</h1><hr><center>nginx/1.18.0</center>", Reason.SOFT_404),
    "Apache httpd": (
        "404 Not Found",
        "The requested URL /a/b was not found on this server.",
        "<h1>Not Found</h1><p>The requested URL /a/b was not found on this server.</p>",
        Reason.SOFT_404,
    ),
    "IIS": (
        "The page cannot be found",
        "The page you are looking for might have been removed, had its name changed, or is temporarily unavailable.",
        "",
        Reason.SOFT_404,
    ),
    "WordPress with a menu": (
        "Page not found \u2013 A Blog",
        "It looks like nothing was found at this location. Maybe try a search? " + words(150),
        '<body class="error404 wp-custom">',
        Reason.SOFT_404,
    ),
    "Drupal": ("Page not found | A Site", "The requested page could not be found.", "", Reason.SOFT_404),
    "suspended": ("Account Suspended", "This Account has been suspended.", "", Reason.SOFT_404),
    "Cloudflare": (
        "Just a moment...",
        "",
        "<body><noscript>Enable JavaScript and cookies to continue</noscript><script>window._cf_chl_opt={}</script>",
        Reason.BOT_CHECK,
    ),
    "Cloudflare, blocked": (
        "Attention Required! | Cloudflare",
        "Sorry, you have been blocked. You are unable to access example.com. Why have I been blocked? " + words(60),
        '<div id="cf-error-details">',
        Reason.BOT_CHECK,
    ),
    "Imperva": (
        "",
        "",
        '<iframe src="/_Incapsula_Resource?x">Request unsuccessful. Incapsula incident ID: 1</iframe>',
        Reason.BOT_CHECK,
    ),
    "Akamai": (
        "Access Denied",
        'You don\u2019t have permission to access "http://example.com/" on this server. Reference #18.1',
        "",
        Reason.BOT_CHECK,
    ),
    "DataDome": (
        "example.com",
        "",
        "<script>var dd={}</script><script src='https://ct.captcha-delivery.com/c.js'>",
        Reason.BOT_CHECK,
    ),
    "PerimeterX": ("Access to this page has been denied.", "", '<div id="px-captcha"></div>', Reason.BOT_CHECK),
    "Sedo": (
        "example.com - This website is for sale! - example Resources and Information.",
        "example.com is your first and best source for all of the information you\u2019re looking for. " + words(30),
        '<script src="//www.google.com/adsense/domains/caf.js"></script>',
        Reason.PARKED_DOMAIN,
    ),
    "GoDaddy": (
        "example.com",
        "",
        '<script src="https://img1.wsimg.com/parking-lander/static/js/main.js"></script>',
        Reason.PARKED_DOMAIN,
    ),
    "HugeDomains": ("Example.com is for sale | HugeDomains", words(30), "", Reason.PARKED_DOMAIN),
    "Facebook": ("Log in to Facebook", "You must log in to continue.", '<input type="password">', Reason.LOGIN_WALL),
    "LinkedIn": ("Sign Up | LinkedIn", words(60), '<input type="password">', Reason.LOGIN_WALL),
    "a forum": ("A Forum", "You must be logged in to view this page.", "", Reason.LOGIN_WALL),
    "YouTube": (
        "Before you continue to YouTube",
        "",
        '<form action="https://consent.youtube.com/save">',
        Reason.COOKIE_WALL,
    ),
    "React": (
        "A Shop",
        "",
        "<body><noscript>You need to enable JavaScript to run this app.</noscript>",
        Reason.NEEDS_JAVASCRIPT,
    ),
    "Twitter": (
        "",
        "JavaScript is not available. We've detected that JavaScript is disabled in this browser.",
        "",
        Reason.NEEDS_JAVASCRIPT,
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures_are_told_apart(name):
    title, text, html, expected = FAILURES[name]
    found = soft_failure(title, text, html)
    assert found is not None
    assert found.reason is expected
    assert found.detail.endswith(" words")


ARTICLE = "It was a long day, and there was much to say about it. " * 12  # 156 words
PAGES = {
    "about 404": (
        "404 Not Found - HTTP | Manual",
        "The HTTP 404 Not Found response status code indicates that the server cannot find the resource. " + ARTICLE,
        "",
    ),
    "how to fix 404": ("How to Fix Error 404 Not Found - A Blog", "Error 404 is common. " + ARTICLE, ""),
    "a novel": ("Not Found", "This is the story of a page that was lost, and of the reader. " + ARTICLE, ""),
    "about cookies": ("Cookies: what they are", "Please enable cookies in your browser. " + ARTICLE, ""),
    "recipes": ("Cookies", "Cookies are baked from dough. " + ARTICLE, ""),
    "about captchas": ("What a captcha is", "Please verify you are a human, it says. " + ARTICLE, ""),
    "on a site with captchas": ("Contact us", "Write to us. " + ARTICLE, '<div class="g-recaptcha"></div>'),
    "about domains": ("How domains are sold", "example.com is for sale, says a page. " + ARTICLE, ""),
    "a sale": ("The Guardian is for sale", "The Guardian is for sale, it was said on Monday. " + ARTICLE, ""),
    "beside a login": ("A Post", "You must be logged in to post a comment. " + ARTICLE, '<input type="password">'),
    "a short post beside a login": ("A Post", "You must be logged in to reply.", '<input type="password">'),
    "about JavaScript": ("JavaScript", "Please enable JavaScript in the options. " + ARTICLE, ""),
    "with a note for browsers": ("A Post", ARTICLE, "<noscript>Please enable JavaScript to see comments</noscript>"),
    "beside a script of Imperva": ("A Post", ARTICLE, '<script src="/_Incapsula_Resource?SWJIYLWA=1"></script>'),
    "about a page": ("A Post", "The page of history cannot be found in a book. " + ARTICLE, ""),
    "a song": ("Sorry", "Sorry, I can't say more than that. " + ARTICLE, ""),
    "long": ("404 Not Found", "The page you requested was not found. " + words(TWO_SIGNS), ""),
}


@pytest.mark.parametrize("name", PAGES)
def test_pages_stay(name):
    assert soft_failure(*PAGES[name]) is None


def test_a_page_without_main_text_gets_the_reason_that_tells_more():
    html = b"<title>Just a moment...</title><body><noscript>Enable JavaScript and cookies to continue</noscript>"
    found = extract_page(html, ExtractSettings())
    assert isinstance(found, Loss)
    assert found.reason is Reason.BOT_CHECK
    found = extract_page(b"<title>A page</title><body>", ExtractSettings())
    assert isinstance(found, Loss)
    assert found.reason is Reason.NO_TEXT


def test_a_longer_text_needs_two_signs_and_a_long_one_stays():
    text = "Page not found. "
    assert reason(text=text + words(ONE_SIGN - 3)) is Reason.SOFT_404
    assert reason(text=text + words(ONE_SIGN - 2)) is None
    assert reason("Page not found", text + words(TWO_SIGNS - 3)) is Reason.SOFT_404
    assert reason("Page not found", text + words(TWO_SIGNS - 2)) is None


def test_markup_of_a_large_page_is_no_sign():
    sign = "<script>window._cf_chl_opt={}</script>"
    assert reason(text="A few words.", html=sign) is Reason.BOT_CHECK
    assert reason(text="A few words.", html=sign + " " * 100_000) is None


def test_visible_text_is_without_scripts():
    html = (
        "<head><title>t</title></head><body class=x><p>a &amp; b<script>if (c < d) e()</script><style>f{}</style>g</p>"
    )
    assert visible(html).split() == ["a", "&", "b", "g"]
    assert visible("<body>a<script>never closed").split() == ["a"]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<title>404 Not Found</title><h1>404 Not Found</h1><hr><center>nginx</center>", True),
        ("<title>Page not found - A Site</title><body>Sorry, the page you requested is not here.", True),
        ("<title>Page not found - A Site</title><body>A story.", False),
        ("<title>A Site</title><body>Page not found", False),
        (f"<title>Page not found</title><body>The page was not found. {words(TWO_SIGNS)}", False),
        ("", False),
        ("<title", False),
    ],
)
def test_gone(html, expected):
    assert bool(gone(html)) is expected


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_no_article_of_the_marked_sets_is_taken_for_a_failure():
    """504 pages. One is a failure, which its set took for a page: the check of a Git server for robots."""
    taken = {}
    for path in sorted(SHARED.glob("*/html/*.gz")):
        html = decode(gzip.decompress(path.read_bytes()))
        title = unescape(html.partition("<title")[2].partition(">")[2].partition("<")[0])
        # Harder than in a build: no page has a long text.
        text = " ".join(visible(html).split()[:TWO_SIGNS])
        if found := soft_failure(title, text, html):
            taken[path.parts[-3], path.name] = found.reason
    assert taken == {("wcxb", "0551.html.gz"): Reason.BOT_CHECK}


PIECES = ["<script>", "</script>", "<style", "404", "not found. ", "the page ", "sorry, ", "<title>", " - ", "\u2026"]


@given(st.lists(st.sampled_from(PIECES)), st.lists(st.sampled_from(PIECES)), st.lists(st.sampled_from(PIECES)))
def test_any_page_is_judged(title, text, html):
    found = soft_failure("".join(title), "".join(text), "".join(html))
    assert found is None or found.reason in REASONS
    gone("".join(html))


@pytest.mark.parametrize(
    "piece", ["the page ", ". the page not ", "<script>", "<", "<a ", ". sorry page", "a.", "- ", "&"]
)
def test_time_is_bounded_on_hostile_pages(piece):
    much = piece * (1_000_000 // len(piece))
    started = time.process_time()
    soft_failure(much, much[:3_000], much)
    soft_failure(much, "", much)
    gone("<title>" + much)
    assert time.process_time() - started < 15  # hours, if it were not


def test_a_character_reference_of_thousands_of_digits_is_none():
    endless = "&#" + "9" * 5000 + ";"
    page = f"<title>404 Not Found</title><h1>404 {endless}</h1><p>page not found"
    assert gone(page) == gone(page.replace(endless, "&#1114112;")) != ""
    assert visible(f"a &#{'0' * 900}66; b {endless}") == "a B b \ufffd"


def test_scripts_and_styles_without_end_hide_the_rest():
    assert visible("a<script>b</script>c<style>d</style>e<script>f</style>g") == "a c e"
    assert visible("<style>a<script></style>b<script/>c</script>d") == "b d"
