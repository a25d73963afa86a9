"""What settings of a crawl are refused."""

import pytest

from webtext.pipeline.pages.crawl.settings import FetchSettings


@pytest.mark.parametrize("contact", ["", " ", "me", "x@y", "me@example.org\r\nX: y", "ftp://a.b", "(me@example.org)"])
def test_a_contact_is_needed(contact):
    with pytest.raises(ValueError, match="give an e-mail address or URL"):
        FetchSettings(contact)


@pytest.mark.parametrize("contact", ["me@example.org", "https://example.org/crawler", "first.last+x@a.b.example"])
def test_user_agent(contact):
    agent = FetchSettings(contact).user_agent
    assert agent.startswith("webtext/")
    assert agent.endswith(f" (+{contact})")


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"per_host": 0},
        {"delay": -1.0},
        {"total_seconds": 0.0},
        {"read_seconds": float("nan")},
        {"delay": float("inf")},
        {"accept": ()},
    ],
)
def test_settings_out_of_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FetchSettings("me@example.org", **wrong)
