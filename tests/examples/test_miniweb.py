import collections
import hashlib
import html
import io
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import zstandard
from fastwarc.warc import ArchiveIterator, WarcRecordType
from trafilatura import extract
from trafilatura.settings import Extractor
from warcio.archiveiterator import ArchiveIterator as WarcioIterator

from webtext.schemas import vocabulary

MINIWEB = Path(__file__).resolve().parents[2] / "examples" / "miniweb"
WARCS = sorted(MINIWEB.glob("pages-*.warc.gz"))
CUTOFF = 1_514_764_800
NO_CAPTURE = {"no_page"}
NO_POST = {"not_linked"}


@pytest.fixture(scope="module")
def expected():
    return [json.loads(line) for line in (MINIWEB / "expected.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def captures():
    """URL -> (status, content type, body with codings undone), as warcio reads it."""
    found = {}
    for path in WARCS:
        with path.open("rb") as file:
            for record in WarcioIterator(file):
                if record.rec_type != "response":
                    continue
                url = record.rec_headers.get_header("WARC-Target-URI")
                assert url not in found
                http = record.http_headers
                content = record.content_stream().read()
                found[url] = (int(http.get_statuscode()), http.get_header("Content-Type"), content)
    return found


@pytest.fixture(scope="module")
def lines():
    with (MINIWEB / "submissions.ndjson.zst").open("rb") as file:
        stream = zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(file)
        return io.TextIOWrapper(stream, encoding="utf-8", newline="\n").read().splitlines()


@pytest.fixture(scope="module")
def scores(lines):
    """Host and path -> scores of its posts up to 2017, highest first; and how many posts came later."""
    before, after = collections.defaultdict(list), collections.Counter()
    for line in lines:
        if not line.endswith("}"):
            continue
        post = json.loads(line)
        if not post["id"].startswith("mw") or post["id"] == "mwbad":
            continue
        parts = urlsplit(html.unescape(post["url"]))
        if float(post["created_utc"]) < CUTOFF:
            before[parts.netloc + parts.path].append(post["score"])
        else:
            after[parts.netloc + parts.path] += 1
    return {key: sorted(values, reverse=True) for key, values in before.items()}, after


def test_is_small():
    assert sum(path.stat().st_size for path in MINIWEB.rglob("*") if "__pycache__" not in path.parts) < 4_000_000


def test_bytes_are_the_published_ones():
    sums = dict(reversed(line.split("  ")) for line in (MINIWEB / "SHA256SUMS").read_text().splitlines())
    assert sorted(sums) == sorted([path.name for path in WARCS] + ["submissions.ndjson.zst", "expected.jsonl"])
    for name, digest in sums.items():
        assert hashlib.sha256((MINIWEB / name).read_bytes()).hexdigest() == digest, name


@pytest.mark.parametrize("path", WARCS, ids=lambda path: path.name)
def test_both_readers_agree(path):
    with path.open("rb") as file:
        ours = [
            (
                record.headers["WARC-Type"],
                record.headers["WARC-Record-ID"],
                hashlib.sha256(record.reader.read()).digest(),
            )
            for record in ArchiveIterator(file, parse_http=False, record_types=WarcRecordType.any_type)
        ]
    with path.open("rb") as file:
        theirs = [
            (
                record.rec_type,
                record.rec_headers.get_header("WARC-Record-ID"),
                hashlib.sha256(record.raw_stream.read()).digest(),
            )
            for record in WarcioIterator(file, no_record_parse=True)
        ]
    assert ours == theirs
    assert ours[0][0] == "warcinfo"
    assert len({identifier for _, identifier, _ in ours}) == len(ours) > 100


def test_pages_are_few_enough_to_ship_and_many_enough_to_learn_from(expected):
    rows = (MINIWEB / "pages.tsv").read_text().splitlines()[1:]
    assert 150 <= len(rows) <= 300
    named = collections.Counter(line["set"] for line in expected if "set" in line)
    spares = sum(row.startswith("spare") for row in rows)
    assert sum(named.values()) + spares == len(rows)
    assert len(named) == 5


def test_every_kind_of_trouble_is_there(expected):
    wants = collections.Counter(line["want"] for line in expected)
    assert wants["link"] >= 200
    assert min(wants.values()) >= 5
    assert set(wants) == {
        *("link", "below_karma", "crosspost_2+2", "exact_duplicate_of", "near_duplicate_of", "wikipedia", "http_404"),
        *("not_html", "no_page", "not_linked", "after_2017", "empty_page"),
    }


def test_each_expectation_fits_the_archive(expected, captures):
    assert len({line["url"] for line in expected}) == len(expected)
    assert {line["url"] for line in expected if line["want"] not in NO_CAPTURE} == set(captures)
    for line in expected:
        url, want = line["url"], line["want"]
        if want in NO_CAPTURE:
            assert url not in captures
            continue
        status, content_type, body = captures[url]
        assert (status == 404) == (want == "http_404"), url
        assert (content_type == "application/pdf") == (want == "not_html"), url
        assert (body == b"") == (want == "empty_page"), url
        if want == "exact_duplicate_of":
            assert body == captures[line["of"]][2]
        if want == "near_duplicate_of":
            assert body != captures[line["of"]][2]
        if want == "wikipedia":
            assert urlsplit(url).netloc.endswith("wikipedia.org")


def test_each_expectation_fits_the_posts(expected, scores):
    before, after = scores
    by_url = {line["url"]: line for line in expected}
    for line in expected:
        parts = urlsplit(line["url"])
        place, want = parts.netloc + parts.path, line["want"]
        points = before.get(place, [])
        if want in NO_POST:
            assert not points
            assert not after[place]
        elif want == "after_2017":
            assert not points
            assert after[place]
        elif want == "crosspost_2+2":
            assert points == [2, 2]
        elif want == "below_karma":
            assert len(points) == 1
            assert points[0] < 3
        else:
            assert points[0] >= 3, place
        if "of" in line:
            original = urlsplit(line["of"])
            assert by_url[line["of"]]["want"] == "link"
            assert points[0] < before[original.netloc + original.path][0], "the keep rule would keep the copy"
        assert (after[place] > 0) == (want == "after_2017" or line.get("note") == "again after 2017")
    places = {urlsplit(line["url"]).netloc + urlsplit(line["url"]).path for line in expected}
    assert set(before) | set(after) <= places, "a post links to a page without expectation"


def test_submissions_look_like_a_dump(lines):
    broken, posts = [], []
    for line in lines:
        try:
            posts.append(json.loads(line))
        except json.JSONDecodeError:
            broken.append(line)
    assert len(broken) == 1
    with pytest.raises(ValueError, match="IPv6"):
        urlsplit(next(post["url"] for post in posts if post["id"] == "mwbad"))
    assert {type(post["created_utc"]) for post in posts if post["id"].startswith("mw")} == {int, float, str}
    assert 1_000 <= sum(not post["id"].startswith("mw") for post in posts) <= 2_000
    assert not any(post.get("over_18") for post in posts)
    assert len({post["id"] for post in posts}) == len(posts)
    head = zstandard.get_frame_parameters((MINIWEB / "submissions.ndjson.zst").read_bytes()[:18])
    assert head.window_size == 2**27
    assert head.content_size == zstandard.CONTENTSIZE_UNKNOWN


def test_english_pages_have_enough_text(expected, captures):
    options = Extractor(fast=True, comments=False)
    encoding = vocabulary.load()
    english = [line["url"] for line in expected if line.get("lang") == "en"]
    for url in sorted(english, key=lambda url: hashlib.sha256(url.encode()).digest())[:40]:
        text = extract(captures[url][2], options=options)
        assert text, url
        assert len(encoding.encode_ordinary(text)) >= 128, url


def test_other_languages_and_charsets_are_there(expected, captures):
    languages = {line["lang"] for line in expected if "lang" in line}
    assert languages >= {"en", "de", "fr", "es", "ja", "pt", "ko", "zh"}
    types = {content_type.lower() for _, content_type, _ in captures.values()}
    assert types >= {"text/html", *(f"text/html; charset={name}" for name in ("utf-8", "iso-8859-1", "euc-kr"))}
    for url, (_, content_type, body) in captures.items():
        if "charset=" in content_type:
            body.decode(content_type.partition("charset=")[2])  # else the header would lie
        assert body or "empty" in url


def test_every_host_and_package_has_a_licence(captures):
    text = (MINIWEB / "LICENSES.md").read_text()
    for url in captures:
        host = urlsplit(url).netloc
        name = re.sub(r"\d+(?=\.example\.)", "N", host)
        assert f"`{name}`" in text or f"| {name} |" in text, host
    for row in (MINIWEB / "packages.tsv").read_text().splitlines()[1:]:
        name, version = row.split("\t")[0].split("_")
        assert name in text
        assert version in text
    for link in ("Apache-2.0", "NOTICE-apache-httpd", "PostgreSQL", "MIT-rust", "CC-BY-SA-3.0"):
        assert f"licenses/{link}.txt" in text
        assert (MINIWEB / "licenses" / f"{link}.txt").stat().st_size > 500
