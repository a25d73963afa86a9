from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from given_tables import vouch_for

from webtext.pipeline.account import findings, markup, report_page
from webtext.pipeline.account.funnel import funnel_row, funnel_rows
from webtext.pipeline.account.report_page import build_report
from webtext.schemas import tables
from webtext.schemas.manifest import CorpusManifest, File, Receipt, StageManifest, Tally
from webtext.schemas.records import Reason, TokenShard

VOID = {"meta", "rect"}
HOSTILE = [
    "javascript:alert(document.domain)",
    " JaVaScRiPt:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    'http://a.example/"onmouseover="alert(1)',
    "https://a.example/</table></main><script>alert(1)</script>",
    "http://a.example/\u202egpj.exe\x00\x1b[31m",
    "http://a.example/\nhttp://b.example/",
    "http://a.example/" + "x" * 5000,
    "https://a.example/$title/${config}/%s/{0}",
    "https://a.example/plain?q=1&r=<2>",
]


class Page(HTMLParser):
    """Checks that tags nest, and collects what could act."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data


def write(path, schema, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(zip(*rows, strict=True)) or [[] for _ in schema]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path)
    vouch_for([path])
    return File(path.name, path.stat().st_size, "0" * 64, len(rows))


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def finish(work, stage, tally, file):
    manifest = StageManifest(stage, "", (Receipt(stage, "00000", "", tally, (file,)),))
    (work / stage / "manifest.json").write_bytes(manifest.to_json())


def write_build(work, rejected, seed=0):
    """A finished build with two documents kept and these (stage, reason, key, url, detail) rejected."""
    rows = list(rejected)
    rows = [rows[n] for n in np.random.default_rng(seed).permutation(len(rows))]
    lost = {stage: [row for row in rows if row[0] == stage] for stage in ("posts", "links", "pages", "decisions")}
    tallies = {}
    taken = len(rows) + 2
    for stage, mine in lost.items():
        file = write(work / stage / "00000.rejected.parquet", tables.REJECTED, mine)
        tally = Tally(taken, taken - len(mine), taken - len(mine), dict(Counter(str(row[1]) for row in mine)))
        taken -= len(mine)
        tallies[stage] = tally
        finish(work, stage, tally, file)
    copies = [
        (key(7), HOSTILE[4], key(3), True, key(7), HOSTILE[4], 1.0, ""),
        (key(3), HOSTILE[3], key(3), False, key(7), HOSTILE[4], 0.75, Reason.NEAR_DUPLICATE),
        (key(9), "http://c.example/", key(3), False, key(7), HOSTILE[4], 0.5, Reason.NEAR_DUPLICATE),
    ]
    finish(work, "clusters", Tally(), write(work / "clusters" / "00000.clusters.parquet", tables.CLUSTERS, copies))
    texts = [
        (key(n), url, "train", 3, 0, 0, "t", "", "", "", "article", 0.5, "x", 1.0, 100 * n, key(n))
        for n, url in enumerate(HOSTILE[-2:], 1)
    ]
    text = write(work / "corpus" / "text" / "train-00000.parquet", tables.TEXT, texts)
    manifest = CorpusManifest(
        config={"links": {"score": 3}, "parts": 4},
        stages=tallies,
        shards=(TokenShard("train-00000.arrow", "train", 2, 302, 1000, "ab" * 32),),
        texts=(File(f"text/{text.name}", text.bytes, text.sha256, text.rows),),
        build={"libraries": {"pyarrow": "1"}, "submissions": ["<b>.zst"], "archives": ["a.warc.gz"], "stages": []},
    )
    (work / "corpus" / "manifest.json").write_bytes(manifest.to_json())
    return manifest


REJECTED = [
    *(("posts", Reason.BAD_URL, b"", url, "why <i>not</i>") for url in HOSTILE),
    *(("links", Reason.BELOW_SCORE, key(n), f"http://{n}.example/", f"score {n}") for n in range(50, 20, -1)),
    ("pages", Reason.NO_PAGE, key(1), HOSTILE[8], ""),
    ("decisions", Reason.NEAR_DUPLICATE, key(3), HOSTILE[3], ""),
    ("decisions", Reason.NEAR_DUPLICATE, key(9), "http://c.example/", ""),
]


def test_every_reason_has_words():
    assert all(reason.words for reason in Reason)


def test_funnel_has_every_reason_and_is_closed(tmp_path):
    rows = funnel_rows(write_build(tmp_path, [*REJECTED, ("posts", Reason.SELF_POST, b"", "", "")]))
    assert [row.stage for row in rows] == ["posts", "links", "pages", "decisions"]
    assert rows[0].reasons == ((Reason.BAD_URL, 10), (Reason.SELF_POST, 1))
    for row, following in pairwise(rows):
        assert row.taken == row.passed + sum(count for _, count in row.reasons)
        assert row.passed == following.taken


def test_merged_records_are_told():
    stages = {"links": Tally(9, 8, 5, {"below_score": 1}), "new": Tally(2, 2, 2)}
    links, new = funnel_rows(CorpusManifest({}, stages, (), (), {}))
    assert (links.becomes, links.lost) == ("8 posts, which are 5 links", 1)
    assert (new.title, new.becomes) == ("new", "2 records")


def test_rules_and_opt_outs_are_counted_in_words():
    counts = {"opt-out noai": 2, "rule gopher.word_count": 1, "tokens": 9, "kind of page: forum": 3}
    row = funnel_row("documents", Tally(5, 2, 2, {"mining_refused": 2, "filter_gopher": 1}, counts))
    assert row.rules == (("opt-out noai", 2), ("rule gopher.word_count", 1))
    assert row.kinds == (("forum", 3),)
    assert "2 by opt-out noai" in report_page._funnel([row])
    assert "3 of kind forum" in report_page._funnel([row])


def test_page_is_well_formed_and_harmless(tmp_path):
    write_build(tmp_path, REJECTED)
    # Each hostile URL must get its turn as an example.
    for url in HOSTILE:
        part = tmp_path / str(HOSTILE.index(url))
        write_build(part, [*REJECTED[10:], ("posts", Reason.BAD_URL, b"", url, url)])
        page = Page(build_report(str(part), name=url))
        assert not {"script", "iframe", "img", "link", "object", "embed", "form", "base", "i"} & set(page.tags)
        assert not any(name.startswith("on") or name in {"src", "style", "srcset"} for name, _ in page.attributes)
        targets = [value for name, value in page.attributes if name == "href"]
        assert all(target.startswith(("http://", "https://")) and target.isprintable() for target in targets)
        assert not any(character in page.text for character in "\u202e\x00\x1b")
        assert len(max(page.text.split(), key=len)) <= 160
        assert url != HOSTILE[8] or "$title/${config}/%s/{0}" in page.text


def test_page_needs_nothing_from_outside(tmp_path):
    write_build(tmp_path, REJECTED)
    page = build_report(str(tmp_path))
    assert "default-src 'none'" in page
    assert "url(" not in page
    assert "@import" not in page
    assert "<script" not in page


def test_page_is_the_same_each_time_and_in_any_order_of_the_rows(tmp_path):
    for n in range(3):
        write_build(tmp_path / str(n), REJECTED, seed=n)
    first, *others = [build_report(str(tmp_path / str(n))) for n in range(3)]
    assert others == [first, first]
    assert build_report(str(tmp_path / "0")) == first


def test_page_tells_the_figures(tmp_path):
    write_build(tmp_path, REJECTED)
    text = " ".join(Page(build_report(str(tmp_path), "preset demo")).text.split())
    for told in (
        "preset demo",
        "2 documents of 302",
        "below_score",
        "30",
        "http://21.example/",
        "a.warc.gz",
        "ab" * 32,
    ):
        assert told in text
    assert "http://24.example/" not in text  # the fourth smallest key
    assert "1 of 3" in text  # one cluster of three documents
    assert "0.50 to 0.75" in text


def test_a_work_directory_without_a_corpus_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"corpus/manifest.json is missing"):
        build_report(str(tmp_path))


def test_examples_have_the_smallest_keys_and_different_urls(tmp_path):
    rows = [("links", Reason.BELOW_SCORE, key(n // 3), f"http://{n // 3}.example/", f"{n}") for n in range(99)]
    rows += [("links", Reason.BAD_URL, b"", f"u{n % 7}", "") for n in range(50)]
    rows = [rows[n] for n in np.random.default_rng(1).permutation(len(rows))]
    paths = []
    for start in range(0, len(rows), 40):
        write(tmp_path / f"{start}.parquet", tables.REJECTED, rows[start : start + 40])
        paths.append(str(tmp_path / f"{start}.parquet"))
    found = findings.examples(paths, 3)
    assert [(e.key, e.url) for e in found["below_score"]] == [(key(n), f"http://{n}.example/") for n in range(3)]
    assert [e.url for e in found["bad_url"]] == ["u0", "u1", "u2"]


def test_domains_and_lengths_against_a_plain_count(tmp_path):
    rng = np.random.default_rng(2)
    hosts = ["a.example", "www.a.example", "b.example:8080", "[2001:db8::1]", "www.www.example", *map(str, range(40))]
    rows = [(f"https://{rng.choice(hosts)}/{n}?u=http://x/", int(2 ** rng.uniform(0, 14))) for n in range(500)]
    full = [(key(1), url, "train", 3, 0, 0, "", "", "", "", "", 0.0, "", 1.0, tokens, key(1)) for url, tokens in rows]
    write(tmp_path / "0.parquet", tables.TEXT, full[:200])
    write(tmp_path / "1.parquet", tables.TEXT, full[200:])
    kept = findings.kept([str(tmp_path / "0.parquet"), str(tmp_path / "1.parquet")], 5)

    def host(url: str) -> str:
        netloc = urlsplit(url).netloc.removeprefix("www.")
        return netloc if netloc.startswith("[") else netloc.split(":")[0]

    documents = Counter(host(url) for url, _ in rows)
    assert kept.domains == len(documents)
    assert [share.documents for share in kept.largest] == [count for _, count in documents.most_common(5)]
    for share in kept.largest:
        mine = [tokens for url, tokens in rows if host(url) == share.name]
        assert (share.documents, share.tokens) == (len(mine), sum(mine))
    for share in kept.lengths:
        least, _, most = (word.replace(",", "") for word in (share.name.split() * 3)[:3])
        mine = [tokens for _, tokens in rows if int(least) <= tokens <= int(most)]
        assert (share.documents, share.tokens) == (len(mine), sum(mine))
    assert sum(share.documents for share in kept.lengths) == 500


def test_an_empty_corpus_has_a_report_too(tmp_path):
    assert findings.kept([], 3) == findings.Kept(0, (), ())
    assert findings.clusters([], 3) == findings.Clusters({}, ())
    assert findings.examples([], 3) == {}


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [
        (0, 0, ""),
        (0, 5, "0.0 %"),
        (5, 5, "100 %"),
        (1, 3, "33.3 %"),
        (1, 10**6, "< 0.1 %"),
        (999_999, 10**6, "> 99.9 %"),
    ],
)
def test_percent_never_rounds_to_nothing_or_all(part, whole, words):
    assert markup.percent(part, whole) == words


def test_text_shows_what_can_not_be_seen():
    assert markup.text("a\u202eb\x00<\ud800é") == "a\\u202eb\\x00&lt;\\ud800é"
    assert markup.text("0123456789", limit=7) == "0123…89"
