"""Rebuild the shipped mini web from unpacked Debian packages: real pages as WARC, Reddit posts that link to them.

Usage: make_miniweb.py DEBS_DIR REDDIT_FILE OUT_DIR

DEBS_DIR holds one folder per package version, named as in the third column of pages.tsv and filled by
`dpkg -x NAME_VERSION_all.deb DEBS_DIR/NAME_VERSION`; REDDIT_FILE is an NDJSON.zst file of real posts. README.md says
where both come from. Writes pages-NNNNN.warc.gz, submissions.ndjson.zst, expected.jsonl and SHA256SUMS to OUT_DIR.
Nothing is random and nothing depends on the clock: every choice is a hash of a URL, so the same inputs give the same
bytes (with the same zlib and zstd).
"""

import csv
import hashlib
import io
import itertools
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard
from miniweb_warc import Capture, choose, write_warc

CUTOFF = 1_514_764_800  # 2018-01-01 UTC: WebText took posts up to December 2017
FIRST_POST = 1_400_000_000  # May 2014
NOISE_STRIDE, NOISE_LINE_BYTES = 45, 900
UNFIT = re.compile("nsfw|sex|rape|nigg|fag|fuck|bitch|slut|boob|dick|nude|boner|cuties|hotties|hardbodies", re.I)
WARC_FILES = 3
PLANTS = 6  # of each kind, where the number is free
PLANT_PAGE_BYTES = 30_000  # a page that is planted twice is not larger
NOTICE = (
    b"<p>This copy of the page was changed for the mini web of the webtext project: this paragraph was added to it, "
    b"so that the two pages are nearly but not exactly the same. The original is the one at its publisher's site.</p>"
)


@dataclass(frozen=True)
class Entry:
    """One line of pages.tsv with its page."""

    role: str  # page | spare (served only at planted addresses) | edition or exact (a copy of page `of`)
    lang: str
    package: str
    url: str
    of: str  # URL, empty unless the role is edition or exact
    html: bytes

    @property
    def content_type(self) -> str:
        """As the site's server says it: with the page's own charset, except doc.rust-lang.org, which names none."""
        charset = re.search(rb"charset=[\"']?([\w-]+)", self.html[:2000], re.IGNORECASE)
        if charset is None or self.package.startswith("rust-doc"):
            return "text/html"
        return f"text/html; charset={charset[1].decode()}"

    @property
    def title(self) -> str:
        """The page's title, for the posts that link to it."""
        charset = re.search(r"charset=(.*)", self.content_type)
        title = re.search(rb"<title[^>]*>(.*?)</title>", self.html, re.DOTALL)
        return " ".join((title[1] if title else b"").decode(charset[1] if charset else "utf-8").split())


def read_entries(debs: Path) -> list[Entry]:
    """The pages that pages.tsv lists, ordered by a hash of their URLs; packages.tsv lists newest versions first."""
    sites = {row["package"]: row for row in read_table("packages.tsv")}

    def address(package: str, path: str) -> str:
        page = path.removeprefix(sites[package]["folder"])
        if package.startswith("debian-handbook"):
            lang, page = page.split("/")
            page = f"stable/{page}" if lang == "en-US" else f"{lang}/stable/{page}"
        return sites[package]["address"] + page

    entries = []
    for row in read_table("pages.tsv"):
        package, path = row["package"], row["path"]
        newest = next(name for name in sites if name.split("_")[0] == package.split("_")[0])
        of = address(newest, row["of"]) if row["of"] else ""
        html = (debs / package / path).read_bytes()
        entries.append(Entry(row["role"], row["lang"], package, address(package, path), of, html))
    return sorted(entries, key=lambda entry: choose(entry.url, 2**64))


def read_table(name: str) -> list[dict[str, str]]:
    """The rows of a table beside this file."""
    with Path(__file__).with_name(name).open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@dataclass
class MiniWeb:
    """Everything that will be written."""

    posts: list[dict[str, Any]] = field(default_factory=list)
    captures: list[Capture] = field(default_factory=list)
    expected: list[dict[str, str]] = field(default_factory=list)

    def post(self, url: str, score: int, title: str, created: int | None = None) -> None:
        """A Reddit post; `created` in seconds since 1970, before the cutoff when not given."""
        number = len(self.posts)
        seed = f"{number} {url}"
        created = created or FIRST_POST + choose(seed, CUTOFF - FIRST_POST)
        subreddit = ("programming", "linux", "Database", "webdev", "rust", "sysadmin")[choose(seed + " subreddit", 6)]
        identity = {"id": f"mw{number:04d}", "name": f"t3_mw{number:04d}", "url": url, "domain": url.split("/")[2]}
        votes = {"score": score, "num_comments": choose(seed + " comments", 300), "over_18": False, "is_self": False}
        place = {"subreddit": subreddit, "permalink": f"/r/{subreddit}/comments/mw{number:04d}/", "title": title}
        when = {"created_utc": (int, float, str)[choose(seed + " type", 3)](created)}
        self.posts.append(identity | votes | place | when)

    def capture(self, url: str, body: bytes, content_type: str = "text/html", status: str = "200 OK") -> None:
        """A page in the archive."""
        self.captures.append(Capture(url, status, content_type, body))

    def expect(self, url: str, want: str, **more: str) -> None:
        """What a build must do with `url`."""
        self.expected.append({"url": url, "want": want, **more})


def variant(url: str) -> str:
    """Another way to write the same address, as people post it."""
    scheme, rest = url.split("://")
    other = "http" if scheme == "https" else "https"
    return (
        url + "?utm_source=reddit&utm_medium=social",
        url + "?utm_source=reddit&amp;utm_campaign=links",
        url + "#comments",
        f"{other}://{rest}",
    )[choose(url + " variant", 4)]


def add_pages(web: MiniWeb, entries: list[Entry]) -> list[Entry]:
    """Every page with the posts that link to it. Returns the pages of which copies may be planted."""
    originals = {entry.of for entry in entries}
    plain = []
    for number, entry in enumerate(entries):
        url, title = entry.url, entry.title
        if entry.role == "spare":
            continue
        web.capture(url, entry.html, entry.content_type)
        labels = {"set": entry.package.split("_")[0], "lang": entry.lang}
        if entry.role in ("edition", "exact"):  # 3 to 5: always below the original's score, so the original is kept
            web.post(url, 3 + choose(url, 3), title)
            want = "near_duplicate_of" if entry.role == "edition" else "exact_duplicate_of"
            web.expect(url, want, of=entry.of, note=f"natural: {entry.role}", **labels)
            continue
        roll = 19 if url in originals else number % 20
        want, note = "link", ""
        if roll == 0:
            want = "below_karma"
            web.post(url, choose(url, 8) - 5, title)
        elif roll == 1:
            want = "crosspost_2+2"
            web.post(url, 2, title)
            web.post(variant(url), 2, title)
        else:
            web.post(url, 10 + choose(url, 1500), title)
        if roll in (2, 3):
            note = "url variants"
            web.post(variant(url), 1 + choose(url, 9), title)
        if roll == 4:
            note = "again after 2017"
            web.post(url, 50, title, created=CUTOFF + 30 * 86_400)
        if roll > 4 and url not in originals and entry.lang == "en" and len(entry.html) <= PLANT_PAGE_BYTES:
            plain.append(entry)
        web.expect(url, want, note=note, **labels)
    return plain


def add_plants(web: MiniWeb, plain: list[Entry], spares: list[Entry]) -> None:
    """What goes wrong on the web: copies, blocked hosts, missing and broken pages."""
    # The Handbook's licence asks more of whoever changes a page, so it is never planted.
    free = [entry for entry in plain if not entry.package.startswith("debian-handbook")]
    for number, entry in enumerate(free[: 2 * PLANTS]):
        exact = number % 2 == 0
        url = f"https://{'mirror' if exact else 'syndicated'}{number}.example.{'net' if exact else 'org'}/{number}.html"
        head, body_end, tail = entry.html.rpartition(b"</body>")
        html = entry.html if exact else (head + NOTICE + body_end + tail if body_end else entry.html + NOTICE)
        web.post(url, 3 + choose(url, 3), entry.title)
        web.capture(url, html, entry.content_type)
        web.expect(url, "exact_duplicate_of" if exact else "near_duplicate_of", of=entry.url)
    for number, entry in enumerate(spares):
        if number % 3 == 0:
            url, want = f"https://en.{'m.' if number % 2 else ''}wikipedia.org/wiki/Planted_{number}", "wikipedia"
            web.post(url, 90, entry.title)
        elif number % 3 == 1:
            url, want = f"https://unlinked{number}.example.com/page", "not_linked"
        else:
            url, want = f"https://late{number}.example.com/page", "after_2017"
            web.post(url, 77, entry.title, created=CUTOFF + choose(url, 10**7))
        web.capture(url, entry.html, entry.content_type)
        web.expect(url, want)
    for number in range(PLANTS):
        gone, paper = f"https://gone{number}.example.com/page", f"https://files{number}.example.com/paper"
        never, empty = f"https://never-fetched{number}.example.com/page", f"https://empty{number}.example.com/page"
        web.capture(gone, b"<html><body><h1>Not found</h1></body></html>", status="404 Not Found")
        web.capture(paper, b"%PDF-1.4\n" + hashlib.shake_256(paper.encode()).digest(500), "application/pdf")
        web.capture(empty, b"")
        wants = ("http_404", "not_html", "no_page", "empty_page")
        for url, want in zip((gone, paper, never, empty), wants, strict=True):
            web.post(url, 12 + number, f"A post about {url}")
            web.expect(url, want)


def dump_lines(posts: list[dict[str, Any]], reddit: Path) -> list[str]:
    """The posts among real ones, in an order without meaning, with one broken line and one broken URL."""
    lines = [json.dumps(post, ensure_ascii=False) for post in posts]
    with reddit.open("rb") as file:
        dump = zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(file)
        noise = list(itertools.islice(io.TextIOWrapper(dump, encoding="utf-8", newline="\n"), 0, None, NOISE_STRIDE))
    fit = (line.rstrip("\n") for line in noise if len(line.encode()) <= NOISE_LINE_BYTES and not UNFIT.search(line))
    lines += [line for line in fit if not json.loads(line)["over_18"]]
    lines.sort(key=lambda line: choose(line, 2**64))
    lines.insert(len(lines) // 3, '{"id": "mwcut", "score": 12, "url": "https://cut-sho')
    bad_url = {"id": "mwbad", "url": "http://[link](http://example.com/page)", "score": 9, "created_utc": CUTOFF - 1}
    lines.insert(len(lines) // 2, json.dumps(bad_url | {"title": "bad", "subreddit": "test", "is_self": False}))
    return lines


def main() -> None:
    """Read the packages, plant, write."""
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    debs, reddit, out = map(Path, sys.argv[1:])
    entries = read_entries(debs)
    web = MiniWeb()
    add_plants(web, add_pages(web, entries), [entry for entry in entries if entry.role == "spare"])

    out.mkdir(parents=True, exist_ok=True)
    web.captures.sort(key=lambda capture: choose(capture.url + " place", 2**64))
    for number in range(WARC_FILES):
        version = "WARC/1.0" if number == 0 else "WARC/1.1"
        write_warc(out / f"pages-{number:05d}.warc.gz", web.captures[number::WARC_FILES], version)
    dump = "".join(line + "\n" for line in dump_lines(web.posts, reddit)).encode()
    parameters = zstandard.ZstdCompressionParameters.from_level(19, window_log=27, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()  # no size: the window stays
    (out / "submissions.ndjson.zst").write_bytes(compressor.compress(dump) + compressor.flush())
    (out / "expected.jsonl").write_text("".join(json.dumps(line) + "\n" for line in web.expected))
    names = [f"pages-{number:05d}.warc.gz" for number in range(WARC_FILES)]
    names += ["submissions.ndjson.zst", "expected.jsonl"]
    sums = [f"{hashlib.sha256((out / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (out / "SHA256SUMS").write_text("".join(sums))
    print(len(entries), "pages", len(web.captures), "captures", len(web.posts), "posts", len(web.expected), "expected")


if __name__ == "__main__":
    main()
