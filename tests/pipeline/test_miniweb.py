"""Mini webs with planted URLs: what must become of each does. Every wrong URL is reported, not just the first."""

import json
import re
from collections import defaultdict

import pyarrow.parquet as pq
import pytest
import toy_webs

from webtext.pipeline.identity.urls import canonicalize, link_key
from webtext.pipeline.settings import CorpusSettings, LinkSettings
from webtext.schemas.records import Reason

SHARED = toy_webs.ROOT.parent / "shared" / "data" / "miniweb"
WEBS = {"shipped": toy_webs.MINIWEB, "shared": SHARED}

# What a copy may go for when its original goes for the same.
BEFORE_DEDUP = {Reason.NOT_ENGLISH, Reason.TOO_SHORT, Reason.NO_TEXT, Reason.PAGE_TOO_LARGE, Reason.TOO_MANY_TAGS}
REASON = {
    "below_karma": Reason.BELOW_SCORE,
    "wikipedia": Reason.WIKIPEDIA,
    "http_404": Reason.HTTP_STATUS,
    "not_html": Reason.NOT_HTML,
    "no_page": Reason.NO_PAGE,
    "after_2017": Reason.AFTER_CUTOFF,
    "empty_page": Reason.EMPTY_PAGE,
}


def table(work, pattern):
    return [row for path in sorted(work.glob(pattern)) for row in pq.read_table(path).to_pylist()]


class Outcome:
    """What became of each URL of a build."""

    def __init__(self, work):
        self.links = {row["key"] for row in table(work, "links/*.links.parquet")}
        self.captured = {row["key"] for row in table(work, "captures/*.captures.parquet")}
        self.texts = {row["key"]: row["text"] for row in table(work, "documents/*.documents.parquet")}
        self.kept = {row["key"] for row in table(work, "corpus/text/*.parquet")}
        self.reasons = defaultdict(set)
        for row in table(work, "*/*.rejected.parquet"):
            self.reasons[row["key"]].add(Reason(row["reason"]))

    def wrong(self, row, crosspost):
        """Why this line of expected.jsonl is not true, or ""."""
        key = link_key(canonicalize(row["url"]))
        reasons, want = self.reasons[key], row["want"]
        if want == "link" or (want == "crosspost_2+2" and crosspost == "summed"):
            right = key in self.links
        elif want == "crosspost_2+2":
            right = key not in self.links and Reason.BELOW_SCORE in reasons
        elif want == "not_linked":
            right = key not in self.links and not reasons and key in self.captured
        elif want in ("exact_duplicate_of", "near_duplicate_of"):
            right = self.is_dropped_as_copy(key, link_key(canonicalize(row["of"])))
        else:
            right = REASON[want] in reasons and key not in self.kept
        return "" if right else f"{want} {row['url']}: {sorted(reasons)}, {'kept' if key in self.kept else 'not kept'}"

    def is_dropped_as_copy(self, key, original):
        copies = {Reason.EXACT_DUPLICATE, Reason.NEAR_DUPLICATE}
        if self.reasons[key] & BEFORE_DEDUP & self.reasons[original]:
            return True
        if key in self.texts and original in self.texts:
            # Either may be the one that stays; no copy at all below the threshold.
            return bool((self.reasons[key] | self.reasons[original]) & copies) or self.similarity(key, original) <= 0.5
        return self.similarity(key, original) <= 0.5

    def similarity(self, *keys):
        """Exact Jaccard similarity of the 5-word shingles of two texts."""
        sets = []
        for key in keys:
            words = re.findall(r"\w+", self.texts.get(key, "").lower())
            sets.append({tuple(words[i : i + 5]) for i in range(len(words) - 4)})
        return len(sets[0] & sets[1]) / max(len(sets[0] | sets[1]), 1)


def settings(rule):
    return CorpusSettings(links=LinkSettings(score_rule=rule), parts=4)


@pytest.fixture(scope="module", params=WEBS)
def built(request, tmp_path_factory):
    folder = WEBS[request.param]
    if not folder.exists():
        pytest.skip(f"no mini web at {folder}")
    work = tmp_path_factory.mktemp(request.param)
    manifest = toy_webs.build(
        work, folder / "submissions.ndjson.zst", folder / "*.warc.gz", settings=settings("per-post")
    )
    return folder, work, manifest


def expectations(folder):
    return [json.loads(line) for line in (folder / "expected.jsonl").read_text().splitlines()]


def test_every_planted_url_ends_as_expected(built):
    folder, work, _ = built
    outcome = Outcome(work)
    wrong = [why for row in expectations(folder) if (why := outcome.wrong(row, "per-post"))]
    assert wrong == []


def test_both_broken_lines_are_counted_and_nothing_else_is_lost(built):
    folder, _, manifest = built
    posts = manifest.stages["posts"]
    assert posts.taken == len(toy_webs.posts_of(folder))
    assert (posts.rejected["bad_line"], posts.rejected["bad_url"]) == (1, 1)


def test_crossposts_count_together_under_the_summed_rule(tmp_path, built):
    folder, _, _ = built
    toy_webs.build(
        tmp_path,
        folder / "submissions.ndjson.zst",
        toy_webs.MINIWEB / "pages-00000.warc.gz",
        settings=settings("summed"),
    )
    outcome = Outcome(tmp_path)
    rows = [row for row in expectations(folder) if row["want"] == "crosspost_2+2"]
    assert len(rows) > 10
    assert [why for row in rows if (why := outcome.wrong(row, "summed"))] == []
