import pytest

from webtext.pipeline.pages.crawl.drift import no_longer_the_page
from webtext.pipeline.pages.crawl.outcome import Outcome, Redirect
from webtext.schemas.records import Reason

POSTED = 1_400_000_000  # 13 May 2014
NOW = 1_790_000_000.0


def outcome(final="https://example.com/a/page", modified="", redirected=False):
    hop = Redirect("https://example.com/a/page", 302, final, "192.0.2.1", NOW, b"", b"")
    headers = [("Last-Modified", modified)] if modified else []
    return Outcome(
        "https://example.com/a/page", final, 200, headers=headers, started=NOW, redirects=[hop] if redirected else []
    )


def reason(found):
    return found and found.reason


@pytest.mark.parametrize("front", ["https://example.com/", "https://www.example.com", "https://other.example/"])
def test_a_page_that_leads_to_a_front_page_is_gone(front):
    assert reason(no_longer_the_page(outcome(front, redirected=True), POSTED, 0)) is Reason.SOFT_404


@pytest.mark.parametrize("final", ["https://example.com/a/page/", "https://example.com/?p=17", "https://example.com/b"])
def test_other_redirects_are_taken(final):
    assert no_longer_the_page(outcome(final, redirected=True), POSTED, 2) is None


def test_a_front_page_that_was_linked_to_is_taken():
    page = outcome("https://example.com/", redirected=True)
    page.url = "http://example.com/"
    assert no_longer_the_page(page, POSTED, 2) is None


@pytest.mark.parametrize(
    ("modified", "years", "expected"),
    [
        ("Tue, 13 May 2014 12:00:00 GMT", 2, None),
        ("Sun, 10 May 2015 12:00:00 GMT", 2, None),
        ("Sat, 13 May 2017 12:00:00 GMT", 2, Reason.MODIFIED_LATER),
        ("Sat, 13 May 2017 12:00:00 GMT", 0, None),
        ("yesterday", 2, None),
        ("Mon, 21 Sep 2026 14:13:20 GMT", 2, None),  # the time of the request
        ("Thu, 01 Jan 99999 00:00:00 GMT", 2, None),
    ],
)
def test_last_modified_is_held_against_the_post(modified, years, expected):
    assert reason(no_longer_the_page(outcome(modified=modified), POSTED, years)) is expected


def test_without_a_post_time_nothing_is_late():
    assert no_longer_the_page(outcome(modified="Sat, 13 May 2017 12:00:00 GMT"), 0, 2) is None


def test_a_failure_is_not_judged_again():
    page = outcome("https://example.com/", redirected=True)
    page.reason = Reason.HTTP_STATUS
    assert no_longer_the_page(page, POSTED, 2) is None


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (b"<title>404 Not Found</title><h1>404 Not Found</h1><hr><center>nginx</center>", Reason.SOFT_404),
        (b"<title>Page not found - \xc9cole</title><body>Sorry, the page you requested is not here.", Reason.SOFT_404),
        (b"<title>404 Not Found - HTTP</title><body>404 Not Found is a status. " + b"It says much. " * 100, None),
        (b"<title>404 Not Found</title><h1>404 Not Found</h1>" + b" " * 65_536, None),
        (b"<title>A page</title><body>Its words.", None),
        (b"\xff\x00<title", None),
    ],
)
def test_a_page_that_says_it_is_gone_is_no_longer_the_page(page, expected):
    found = outcome()
    found.page = page
    assert reason(no_longer_the_page(found, POSTED, 0)) is expected
