"""Changes between two tables of documents, beside a plain join of dicts."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict, replace
from html.parser import HTMLParser

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from given_tables import vouch_for
from hypothesis import given, settings
from hypothesis import strategies as st

from webtext.pipeline.account import changes, changes_page
from webtext.pipeline.account.changes import ABSENT, DOCUMENT, Example, compare
from webtext.pipeline.engine.workdir import CLAIM
from webtext.schemas import tables
from webtext.schemas.manifest import StageManifest, Tally, seal
from webtext.schemas.records import Reason

REASONS = [Reason.TOO_SHORT, Reason.NO_TEXT, Reason.NOT_ENGLISH]


def write(work, outcomes, parts, claim=None):
    """A finished stage `documents`: outcomes are {key number: (url, text, tokens) or (url, reason)}."""
    folder = work / "documents"
    folder.mkdir(parents=True)
    receipts = []
    ranges = [[] for _ in range(parts)]
    for number in sorted(outcomes):
        ranges[number * parts // 256].append(number)
    for part, numbers in enumerate(ranges):
        documents, rejected = [], []
        for number in numbers:
            url, *rest = outcomes[number]
            key = bytes([number]) * 16
            if len(rest) == 1:
                rejected.append({"stage": "documents", "reason": rest[0], "key": key, "url": url, "detail": "why"})
                continue
            text, tokens = rest
            row = {field.name: _zero(field.type) for field in tables.DOCUMENTS}
            text_hash = hashlib.md5(text.encode()).digest()  # noqa: S324
            documents.append(row | {"key": key, "url": url, "token_count": tokens, "text_hash": text_hash})
        files = []
        for ending, rows, schema in (
            ("documents", documents, tables.DOCUMENTS),
            ("rejected", rejected, tables.REJECTED),
        ):
            name = f"{part:05}.{ending}.parquet"
            pq.write_table(pa.Table.from_pylist(rows, schema), folder / name)
            files.append(folder / name)
        receipts.append(replace(vouch_for(files, "documents"), tally=Tally(), sums={}))
    (folder / "manifest.json").write_bytes(StageManifest("documents", "f", tuple(receipts)).to_json())
    if claim is not None:
        (work / CLAIM).write_bytes(seal(claim))
    return str(work)


def _zero(kind):
    if pa.types.is_fixed_size_binary(kind):
        return bytes(kind.byte_width)
    if pa.types.is_list(kind):
        return []
    return "" if pa.types.is_string(kind) else 0


def outcome(number):
    url = f"https://www.{'abc'[number % 3]}.example.co.uk/{number}"
    return st.one_of(
        st.tuples(st.just(url), st.sampled_from(["one", "two"]), st.integers(1, 9)),
        st.tuples(st.just(url), st.sampled_from(REASONS)),
    )


OUTCOMES = st.sets(st.integers(0, 255), max_size=30).flatmap(
    lambda keys: st.fixed_dictionaries({key: outcome(key) for key in sorted(keys)})
)


@given(OUTCOMES, OUTCOMES, st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 2, 2**16]))
@settings(max_examples=40, deadline=None)
def test_equal_to_a_join_of_dicts(tmp_path_factory, before, after, parts_before, parts_after, compact):
    folder = tmp_path_factory.mktemp("changes")
    old, new = write(folder / "a", before, parts_before), write(folder / "b", after, parts_after)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changes, "_COMPACT", compact)
        found = compare(old, new)

    def state(side, key):
        return ABSENT if key not in side else DOCUMENT if len(side[key]) == 3 else side[key][1]

    def tokens(side, key):
        return side[key][2] if state(side, key) == DOCUMENT else 0

    pages, delta, same = Counter(), Counter(), 0
    by_domain: dict[str, list[int]] = {}
    for key in before.keys() | after.keys():
        move = state(before, key), state(after, key)
        if move == (DOCUMENT, DOCUMENT) and before[key][1:] == after[key][1:]:
            same += 1
            continue
        if move[0] == move[1] != DOCUMENT:
            continue
        pages[move] += 1
        delta[move] += tokens(after, key) - tokens(before, key)
        if DOCUMENT in move:
            row = by_domain.setdefault("example.co.uk", [0, 0, 0, 0])
            row[0] += move[0] != DOCUMENT
            row[1] += move[1] != DOCUMENT
            row[2] += move == (DOCUMENT, DOCUMENT)
            row[3] += tokens(after, key) - tokens(before, key)
    assert {(entry.before, entry.after): entry.pages for entry in found.transitions} == pages
    assert {
        (entry.before, entry.after): entry.tokens_after - entry.tokens_before for entry in found.transitions
    } == dict(delta)
    assert found.same == same
    assert found.gained == sum(number for move, number in pages.items() if move[1] == DOCUMENT and move[0] != DOCUMENT)
    assert found.lost == sum(number for move, number in pages.items() if move[0] == DOCUMENT and move[1] != DOCUMENT)
    assert found.changed == pages[DOCUMENT, DOCUMENT]
    assert found.before.documents - found.lost + found.gained == found.after.documents
    assert found.after.tokens - found.before.tokens == sum(delta.values())
    assert found.domains == len(by_domain)
    ranked = {domain.name: [domain.gained, domain.lost, domain.changed, domain.tokens] for domain in found.gains}
    ranked |= {domain.name: [domain.gained, domain.lost, domain.changed, domain.tokens] for domain in found.losses}
    assert ranked == {name: row for name, row in by_domain.items() if row[3]}


NAMES = ["b.com", "a.com", "c.com", "d.com", "x.org"]


def test_domains_are_ranked_by_tokens_then_name(tmp_path):
    def pages(tokens):
        return {
            n: (f"http://{name}/", str(number), number)
            for n, (name, number) in enumerate(zip(NAMES, tokens, strict=True))
        }

    found = compare(write(tmp_path / "a", pages([10] * 5), 2), write(tmp_path / "b", pages([20, 20, 90, 1, 9]), 2))
    assert [(domain.name, domain.tokens) for domain in found.gains] == [("c.com", 80), ("a.com", 10), ("b.com", 10)]
    assert [(domain.name, domain.tokens) for domain in found.losses] == [("d.com", -9), ("x.org", -1)]


def test_examples_are_few_and_in_order_of_the_keys(tmp_path):
    before = {n: (f"http://a.example/{n}", Reason.TOO_SHORT) for n in range(40)}
    after = {n: (f"http://a.example/{n}", "text", n + 1) for n in range(40)}
    [entry] = compare(write(tmp_path / "a", before, 3), write(tmp_path / "b", after, 2)).transitions
    assert entry.pages == 40
    assert entry.examples == [Example(f"http://a.example/{n}", 0, n + 1, "why") for n in range(10)]


def test_settings_that_differ_are_named(tmp_path):
    old = {"extract.min_tokens": 1, "extract.same": 0, "input pages": "x", "library lxml": "6.0", "links.score": 3}
    new = {"extract.min_tokens": 2, "extract.same": 0, "input pages": "y", "library lxml": "6.1"}
    found = compare(write(tmp_path / "a", {}, 1, old), write(tmp_path / "b", {}, 1, new))
    named = [(entry.name, entry.before, entry.after) for entry in found.differences]
    assert named == [("extract.min_tokens", "1", "2"), ("library lxml", "6.0", "6.1")]


def test_what_is_not_finished_or_not_in_order_is_refused(tmp_path):
    good = write(tmp_path / "good", {1: ("http://a.example/", "text", 1)}, 1)
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="has no finished stage 'documents'"):
        compare(good, str(tmp_path / "none"))
    twice = tmp_path / "twice"
    write(twice, {1: ("http://a.example/", "text", 1)}, 1)
    table = pq.read_table(twice / "documents" / "00000.documents.parquet")
    pq.write_table(pa.concat_tables([table, table]), twice / "documents" / "00000.documents.parquet")
    vouch_for(sorted((twice / "documents").glob("*.parquet")))
    with pytest.raises(ValueError, match="not in order of their keys"):
        compare(good, str(twice))
    (twice / "documents" / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest\.json: not a manifest"):
        compare(str(twice), good)


HOSTILE = [
    "javascript:alert(1)",
    'http://a.example/"onmouseover="alert(1)',
    "https://a.example/</table></main><script>alert(1)</script>",
    "http://a.example/\u202egpj.exe",
    "https://a.example/$title/${config}/%s/{0}",
    "id:<script>",
    "id://",
]


class Page(HTMLParser):
    """Checks that tags nest."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.names = [], Counter(), Counter()
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.names.update(name for name, _ in attrs)
        if tag not in {"meta", "rect"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_safe_and_tells_every_transition(tmp_path):
    before = {n: (url, "text", 5) for n, url in enumerate(HOSTILE)}
    after = {n: (url, Reason.TOO_SHORT) for n, url in enumerate(HOSTILE)}
    after |= {100: ("http://new.example/", "text", 7), 0: (HOSTILE[0], "other", 6)}
    evil = {"extract.<b>": "<script>"}
    found = compare(write(tmp_path / "<a>", before, 1, evil), write(tmp_path / "b", after, 1, {"extract.<b>": "$x"}))
    page = changes_page.render(found)
    parsed = Page(page)
    assert parsed.tags["script"] == 0
    assert not {name for name in parsed.names if name.startswith("on")}
    for words in ("too few tokens", "no page", "a document with other text", "default-src 'none'"):
        assert words in page
    assert changes_page.render(found) == page
    loaded = json.loads(changes_page.to_json(found))
    assert loaded["format"] == "webtext-changes/1"
    assert loaded["transitions"] == [asdict(entry) for entry in found.transitions]


def test_nothing_changed(tmp_path):
    side = {1: ("http://a.example/", "text", 5), 2: ("http://b.example/", Reason.NO_TEXT)}
    found = compare(write(tmp_path / "a", side, 1), write(tmp_path / "b", side, 4))
    assert (found.transitions, found.domains, found.same) == ((), 0, 1)
    Page(changes_page.render(found))
