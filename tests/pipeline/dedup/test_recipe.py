"""The recipe from documents to decisions, on texts whose similarities are known."""

import itertools
import json
import random
import re
from pathlib import Path

import pytest
import toy_documents
import zstandard

from webtext.pipeline.dedup import candidates
from webtext.pipeline.dedup.groups import DEFAULT, Sizes
from webtext.pipeline.dedup.recipe import find_copies
from webtext.pipeline.engine.stage import StageError
from webtext.pipeline.files import tabular
from webtext.pipeline.settings import CorpusSettings, DedupSettings, ShardSettings

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "neardup"
SITE = "https://example.org/"


def settings(**dedup):
    return CorpusSettings(dedup=DedupSettings(**dedup), shards=ShardSettings(val_fraction=0.1))


def rows(work, stage, done, ending):
    return [
        row
        for file in done[stage].named(ending)
        for row in tabular.read_columns(f"{work}/{stage}/{file.name}").to_pylist()
    ]


def clusters(work, done):
    return rows(work, "clusters", done, ".clusters.parquet")


def merged_pairs(work, done):
    """The verified pairs, as URLs without the site."""
    urls = {
        ordinal << 32 | row: url.removeprefix(SITE)
        for ordinal, path in enumerate(sorted((work / "documents").glob("*.documents.parquet")))
        for row, url in enumerate(tabular.read_columns(str(path), ["url"])["url"].to_pylist())
    }
    return {tuple(sorted((urls[row["a"]], urls[row["b"]]))) for row in rows(work, "pairs", done, ".edges.parquet")}


def find(work, texts, parts=3, scores=None, sizes=DEFAULT, **dedup):
    documents = toy_documents.write_documents(work, {SITE + name: text for name, text in texts.items()}, parts, scores)
    return find_copies(settings(**dedup), str(work), documents, toy_documents.run_here, sizes)


@pytest.mark.skipif(not DATA.exists(), reason="../shared/data/neardup is not there")
@pytest.mark.parametrize(("method", "recall", "precision"), [("shingles", 0.98, 1.0), ("signature", 0.96, 0.98)])
def test_pairs_with_known_similarity_are_found(tmp_path, method, recall, precision):
    def lines(name):
        with (DATA / "cppreference_exact_jaccard" / name).open("rb") as stream:
            return zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(stream).read().decode().splitlines()

    texts = {row["id"]: row["text"] for row in map(json.loads, lines("docs.jsonl.zst"))}
    truth = {
        tuple(sorted((a, b)))
        for a, b, similarity in (line.split("\t") for line in lines("pairs_ge_0.3.tsv.zst")[1:])
        if float(similarity) >= 0.5
    }
    found = merged_pairs(tmp_path, find(tmp_path, texts, parts=7, method=method))
    assert len(found & truth) / len(truth) >= recall
    assert len(found & truth) / len(found) >= precision


def shingles(text):
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[start : start + 5]) for start in range(len(words) - 4)}


@pytest.mark.skipif(not DATA.exists(), reason="../shared/data/neardup is not there")
def test_copied_answers_merge_and_answers_of_ones_own_do_not(tmp_path):
    lines = (DATA / "clough_stevenson" / "docs.jsonl").read_text().splitlines()
    answers = {row["id"]: row for row in map(json.loads, lines)}
    found = merged_pairs(tmp_path, find(tmp_path, {name: row["text"] for name, row in answers.items()}))
    for a, b in itertools.combinations(sorted(answers), 2):
        one, other = shingles(answers[a]["text"]), shingles(answers[b]["text"])
        assert ((a, b) in found) == (len(one & other) / len(one | other) >= 0.5)
    assert not {"non"} & {answers[name]["category"] for pair in found for name in pair}
    assert any("cut" in (answers[a]["category"], answers[b]["category"]) for a, b in found)


def words(seed, count):
    source = random.Random(seed)
    return " ".join(f"w{source.randrange(10**6)}" for _ in range(count))


def test_pages_of_one_template_do_not_merge(tmp_path):
    template = words("template", 100)
    texts = {f"page{n}": f"{template} {words(n, 90)}" for n in range(1500)}
    texts["copy"] = texts["page7"] + " and a few words more"
    done = find(tmp_path, texts)
    assert merged_pairs(tmp_path, done) == {("copy", "page7")}
    assert done["candidates"].tally.rows > 1500  # they do share bands


def test_equal_decisions_for_any_split_into_parts_and_groups(tmp_path):
    texts = {}
    for n in range(60):
        text = words(n, 200).split()
        for edits in range(n % 5):
            copy = text[:]
            copy[10 * edits : 10 * edits + edits * 12] = ["other", "words"]
            texts[f"{n}/{edits}"] = " ".join(copy)
        texts[f"{n}/x"] = " ".join(text)
    scores = {SITE + name: 3 + len(name) % 2 for name in texts}
    outcomes = []
    for number, (parts, documents) in enumerate([(1, 10_000), (1, 7), (6, 10_000), (6, 20), (11, 1)]):
        work = tmp_path / str(number)
        done = find(work, texts, parts, scores, Sizes(documents))
        decided = rows(work, "decisions", done, ".decisions.parquet")
        outcomes.append((sorted(clusters(work, done), key=lambda row: row["key"]), decided, done["decisions"].tally))
        assert done["candidates"].tally.taken == len(texts) * candidates.RECORDS_PER_DOCUMENT
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert outcomes[0][2].counts["copies"] > 60


STORY = words("story", 300)


def test_the_table_of_clusters_says_what_became_of_each_member(tmp_path):
    texts = {"best": STORY, "exact": f" {STORY}\n", "near": STORY + " with another end", "other": words("other", 300)}
    done = find(tmp_path, texts, scores={SITE + "best": 9})
    found = {row["url"].removeprefix(SITE): row for row in clusters(tmp_path, done)}
    assert {name: (row["kept"], row["reason"]) for name, row in found.items()} == {
        "best": (True, ""),
        "exact": (False, "exact_duplicate"),
        "near": (False, "near_duplicate"),
    }
    assert {row["kept_url"] for row in found.values()} == {SITE + "best"}
    assert len({row["cluster"] for row in found.values()}) == 1
    assert found["best"]["cluster"] == min(row["key"] for row in found.values())
    assert found["exact"]["similarity"] == found["best"]["similarity"] == 1
    assert found["near"]["similarity"] == pytest.approx(len(shingles(STORY)) / len(shingles(texts["near"])))
    assert done["decisions"].tally.rejected == {"exact_duplicate": 1, "near_duplicate": 1}
    domains = rows(tmp_path, "decisions", done, ".domains.parquet")
    assert {row["domain"] for row in domains} == {"example.org"}
    assert sum(row["documents"] for row in domains) == 4


def test_a_threshold_above_one_merges_equal_texts_only(tmp_path):
    done = find(tmp_path, {"a": STORY, "b": STORY + "\n", "c": STORY + " more"}, threshold=1.5)
    assert merged_pairs(tmp_path, done) == {("a", "b")}


def test_short_texts_merge_only_if_they_are_equal(tmp_path):
    texts = {"a": "Page not found", "b": "Page not found ", "c": "Page is not found", "d": "Page", "e": "", "f": "page"}
    assert merged_pairs(tmp_path, find(tmp_path, texts)) == {("a", "b")}


def test_a_giant_cluster_stops_the_build_and_is_named(tmp_path):
    texts = {f"{n}": STORY for n in range(1100)} | {f"other{n}": words(n, 60) for n in range(5)}
    with pytest.raises(
        StageError, match=r"a cluster of 1,100 copies .* 99.5% of all 1,105 .* --dedup.max-cluster-share"
    ):
        find(tmp_path / "stops", texts)
    with pytest.raises(StageError, match=r"example.org: 1,099 of 1,105\).*--dedup.max-domain-loss"):
        find(tmp_path / "domain", texts, max_cluster_share=1)
    done = find(tmp_path / "allowed", texts, max_cluster_share=1, max_domain_loss=1)
    assert done["decisions"].tally.passed == 6
