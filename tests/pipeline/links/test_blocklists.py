from importlib import resources
from pathlib import Path

import pytest

from webtext.pipeline.identity.urls import canonicalize, host_of
from webtext.pipeline.links.blocklists import DomainList, FileTypeList

DATA = resources.files("webtext.pipeline")
NAMES = Path(__file__).resolve().parents[3] / "benchmarks" / "data" / "webtext-top1000.tsv"
TOP_1000 = Path(__file__).resolve().parents[4] / "shared" / "data" / "domains" / "webtext_top1000_domains.txt"
LISTS = [
    "links/data/domains-webtext.tsv",
    "links/data/domains-openwebtext.tsv",
    "links/data/file-types-default.tsv",
    "identity/data/tracking-parameters.tsv",
]


@pytest.mark.parametrize(
    ("host", "entry"),
    [
        ("imgur.com", "imgur.com"),
        ("i.imgur.com", "imgur.com"),
        ("a.b.i.imgur.com", "imgur.com"),
        ("notimgur.com", None),
        ("imgur.com.example.org", None),
        ("com", None),
        ("localhost", None),
        ("[2001:db8::1]", None),
        ("", None),
    ],
)
def test_domains_match_by_whole_labels(host, entry):
    assert DomainList(frozenset({"imgur.com"})).match(host) == entry


@pytest.mark.parametrize(
    ("path", "ending"),
    [
        ("/a.pdf", ".pdf"),
        ("/a.b/c.PDF", ".pdf"),
        ("/a.tar.gz", ".gz"),
        ("/pdf", None),
        ("/a.pdf/", None),
        ("/a.pdf/b", None),
        ("/a.pdfx", None),
        ("/", None),
        ("/.", None),
        ("/.pdf", ".pdf"),
        ("/a.jpg:large", None),
    ],
)
def test_file_types_match_the_last_ending(path, ending):
    assert FileTypeList.load("default").match(path) == ending


def test_none_blocks_nothing():
    assert DomainList.load("none").match("imgur.com") is None
    assert FileTypeList.load("none").match("/a.pdf") is None


@pytest.mark.parametrize("load", [DomainList.load, FileTypeList.load])
@pytest.mark.parametrize("name", ["webtxt", "", "../settings", "webtext.tsv"])
def test_unknown_name_is_refused_with_the_choice(load, name):
    with pytest.raises(ValueError, match=r"choose one of .*none"):
        load(name)


@pytest.mark.parametrize("name", LISTS)
def test_every_entry_is_there_once_with_a_reason(name):
    rows = [line.split("\t") for line in DATA.joinpath(name).read_text("utf-8").splitlines() if line[0] != "#"]
    assert all(len(row) >= 2 and all(cell == cell.strip() != "" for cell in row) for row in rows)
    entries = [row[0] for row in rows]
    assert len(set(entries)) == len(entries)


@pytest.mark.parametrize("name", ["webtext", "openwebtext"])
def test_domains_are_hosts_as_canonical_urls_have_them(name):
    domains = DomainList.load(name).domains
    assert all(host_of(canonicalize(f"http://{domain}/")) == domain for domain in domains)
    # An entry below another one would never be the match.
    assert all(DomainList(domains - {domain}).match(domain) is None for domain in domains)


def webtext_links():
    """Links of WebText by second-level name, without the public suffix: amazon stands for amazon.co.uk as well."""
    lines = NAMES.read_text("utf-8").splitlines()
    return {name: int(links) for name, links in (line.split("\t") for line in lines if line[0] != "#")}


def dropped_links(name):
    links = webtext_links()
    sites = {domain.split(".")[0] for domain in DomainList.load(name).domains if domain != "itunes.apple.com"}
    return sum(links.get(site, 0) for site in sites) / sum(links.values())


def test_the_names_of_webtext_are_those_that_openai_published():
    if not TOP_1000.exists():
        pytest.skip(f"{TOP_1000.name} of openai/gpt-2 is not here")
    rows = [line.split() for line in TOP_1000.read_text().splitlines()]
    assert webtext_links() == {row[1] if len(row) == 2 else "-": int(row[0]) for row in rows}


def test_webtext_drops_no_domain_that_webtext_had():
    assert {"google", "github"} <= webtext_links().keys()
    assert len(webtext_links()) == 1000
    assert dropped_links("webtext") == 0


def test_the_list_of_the_clones_drops_a_tenth_of_what_webtext_had():
    assert 0.09 <= dropped_links("openwebtext") <= 0.105


@pytest.mark.parametrize("host", ["google.com", "github.com", "flic.kr", "amzn.to", "en.wikipedia.org", "ebay.com"])
def test_webtext_keeps(host):
    assert DomainList.load("webtext").match(host) is None


@pytest.mark.parametrize("site", ["reddit", "twitter", "youtube", "imgur", "facebook", "tumblr", "instagram", "amazon"])
def test_webtext_drops(site):
    assert DomainList.load("webtext").match(f"www.{site}.com") == f"{site}.com"


def test_openwebtext_has_the_40_domains_of_its_public_clones():
    domains = DomainList.load("openwebtext")
    assert len(domains.domains) == 40
    assert domains.match("github.com")
    assert domains.match("itunes.apple.com")
    assert domains.match("apple.com") is None


def test_web_pages_are_no_blocked_file_type():
    endings = FileTypeList.load("default").endings
    assert len(endings) >= 40
    assert not endings & {".html", ".htm", ".php", ".asp", ".aspx", ".jsp", ".shtml", ".txt", ".com", ".md", ".cgi"}
