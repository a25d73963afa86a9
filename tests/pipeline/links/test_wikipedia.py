from pathlib import Path

import pytest

from webtext.pipeline.identity.urls import canonicalize
from webtext.pipeline.links.wikipedia import address

HOSTS = Path(__file__).resolve().parents[3] / "pipeline" / "links" / "data" / "wikipedia-hosts.tsv"


@pytest.mark.parametrize(
    "url",
    [
        "https://en.wikipedia.org/wiki/A",
        "http://wikipedia.org",
        "https://EN.wikipedia.org./wiki/A",
        "https://en.m.wikipedia.org/wiki/A",
        "http://en.zero.wikipedia.org/wiki/A",
        "http://de.wap.wikipedia.org/wiki/A",
        "https://zh-min-nan.wikipedia.org/wiki/A",
        "http://www.wikipedia.com/wiki/A",
        "http://en.wikipedia.org:80/wiki/A",
        "https://secure.wikimedia.org/wikipedia/en/wiki/A",
        "http://www.wikiwand.com/en/A",
        "http://encyclopedia.thefreedictionary.com/A",
        "http://en.academic.ru/dic.nsf/enwiki/3",
        "https://web.archive.org/web/20150102/http://en.wikipedia.org/wiki/A",
        "https://archive.is/http://en.wikipedia.org/wiki/A",
        "http://www.google.com/url?q=https%3A%2F%2Fen.wikipedia.org%2Fwiki%2FA",
        "https://www.google.com/amp/s/en.m.wikipedia.org/wiki/A",
        "http://webcache.googleusercontent.com/search?q=cache:en.wikipedia.org/wiki/A",
        "http://translate.google.com/translate?hl=en&u=http://de.wikipedia.org/wiki/A",
        "https://en-m-wikipedia-org.translate.goog/wiki/A?_x_tr_sl=en",
        "http://en.wikipedia.org.ezproxy.lib.example.edu/wiki/A",
    ],
)
def test_wikipedia(url):
    assert address(canonicalize(url))


@pytest.mark.parametrize(
    "url",
    [
        "https://notwikipedia.org/wiki/A",
        "https://wikimedia.org/",
        "https://secure.wikimedia.org/wiktionary/en/wiki/A",
        "https://en.wiktionary.org/wiki/A",
        "https://en.wikinews.org/wiki/A",
        "https://wikia.com/wiki/A",
        "https://infogalactic.com/info/A",
        "http://www.thefreedictionary.com/wikipedia",
        "http://academic.ru/",
        "https://www.nationmaster.com/country-info/stats",
        "https://web.archive.org/web/20150102/http://example.com/wikipedia.org-is-down",
        "https://web.archive.org/web/20150102/http://notwikipedia.org/",
        "https://archive.is/abcde",
        "https://www.google.com/search?q=en.wikipedia.org",
        "https://example.com/?next=https://en.wikipedia.org/wiki/A",
        "https://stop-wikipedia-org.example.com/",
        "https://org/",
        "https://[2001:db8::1]/wikipedia.org",
    ],
)
def test_not_wikipedia(url):
    assert address(canonicalize(url)) is None


def test_each_host_of_the_list_is_found():
    entries = [line.split("\t") for line in HOSTS.read_text().splitlines() if not line.startswith("#")]
    assert len({place for place, *_ in entries}) == len(entries)
    for place, kind, note in entries:
        assert kind in {"own", "mirror", "wrapper"}
        assert note
        url = (
            f"https://{place}"
            + ("/" if "/" not in place else "")
            + ("https://en.wikipedia.org/wiki/A" * (kind == "wrapper"))
        )
        assert address(canonicalize(url)), place
        assert (address(canonicalize(f"https://{place}/")) is None) == (kind == "wrapper"), place
        assert address(canonicalize(f"https://x{url[8:]}")) is None, place
