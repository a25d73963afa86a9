"""Builds without the lines that repeat over a domain: equal however they are cut, with closed books and a story."""

import json
from dataclasses import replace
from functools import partial

import pyarrow.parquet as pq
import pytest
import toy_webs
from hypothesis import given
from hypothesis import strategies as st
from toy_texts import story_of, write
from without_engine import run_here, run_until

from webtext.jobs import cli
from webtext.pipeline.account.report_page import build_report
from webtext.pipeline.account.why import Build, tell
from webtext.pipeline.corpus import build_corpus
from webtext.pipeline.dedup import paragraphs
from webtext.pipeline.dedup.groups import DEFAULT, Sizes
from webtext.pipeline.engine.beam_stage import run_stage
from webtext.pipeline.inputs import Inputs, TextInputs
from webtext.pipeline.own_texts.settings import TextFields
from webtext.pipeline.release import verify
from webtext.pipeline.settings import CorpusSettings, DedupSettings, ExtractSettings, ShardSettings
from webtext.pipeline.text import minhash
from webtext.schemas import vocabulary

FOOTER = "Sign up for the letter of the garden club and read every Sunday what the other members saw in their windows."
NOTICE = "The club answers letters on Monday 12 and Friday 16 of every month, and it never answers them by telephone."


@pytest.mark.parametrize(
    ("text", "dropped", "left"),
    [
        ("a\nb\nc", {"b"}, "a\nc"),
        ("a\nb\nc", set(), "a\nb\nc"),
        ("a\n\nb\n\nc", {"b"}, "a\n\nc"),
        ("b\n\na\n\nb\n\n\nb\n", {"b"}, "a"),
        ("a\n\n\nb\nc", {"b"}, "a\n\n\nc"),
        ("a\nb\n\nc", {"b"}, "a\n\nc"),
        ("b\nb", {"b"}, ""),
        ("a\n\n\n\nc", {"b"}, "a\n\n\n\nc"),  # blank lines of the text's own stay
    ],
)
def test_lines_go_and_leave_no_hole(text, dropped, left):
    hashes = [ord(line) if line else None for line in text.split("\n")]
    found = paragraphs.shorten(text, hashes, {ord(line) for line in dropped})
    assert found.text == left
    assert found.lines == found.characters == sum(text.count(line) for line in dropped)


@given(st.text("ab\n "), st.sets(st.sampled_from("ab")))
def test_every_other_line_stays_in_order(text, dropped):
    rows = text.split("\n")
    kept = [row for row in rows if row.strip() and row.strip() not in dropped]
    hashes = [ord(row.strip()) if row.strip() in {"a", "b"} else None for row in rows]
    found = paragraphs.shorten(text, hashes, {ord(line) for line in dropped})
    assert [row.strip() for row in found.text.split("\n") if row.strip()] == [row.strip() for row in kept]


def records():
    """A site with a footer, its pages of nothing but that, a site that only two pages share a line of, and no site."""
    made = [
        {
            "url": f"https://www.example.org/{n}",
            "text": f"{story_of(n)}\n\n{FOOTER}\n{NOTICE.replace('12', str(10 + n))}",
        }
        for n in range(20)
    ]
    made += [
        {
            "url": f"https://example.org/empty/{n}",
            "text": f"{NOTICE}\n{FOOTER}\nThis is page number {n} of all the pages here.",
        }
        for n in range(4)
    ]
    made += [{"url": f"https://example.com/{n}", "text": f"{FOOTER}\n{story_of(100 + n)}"} for n in range(2)]
    made += [
        {"id": f"n{n}", "text": f"{story_of(200 + n)}\n{FOOTER}" if n % 2 else story_of(200 + n)} for n in range(6)
    ]
    return made


def settings(parts=3, **dedup):
    return CorpusSettings(
        extract=ExtractSettings(min_tokens=30),
        dedup=DedupSettings(**{"paragraphs": 3} | dedup),
        shards=ShardSettings(tokens=3000, val_fraction=0.2),
        parts=parts,
    )


def build(work, path, chosen, run=run_here, sizes=DEFAULT):
    inputs = Inputs((), (), texts=TextInputs.find([str(path)], TextFields()))
    return build_corpus(chosen, inputs, str(work), run, sizes)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paragraphs")
    write(folder / "in.jsonl", [json.dumps(record).encode() for record in records()])
    return folder, build(folder / "work", folder / "in.jsonl", settings())


def texts_of(work):
    rows = [row for path in sorted((work / "corpus" / "text").glob("*")) for row in pq.read_table(path).to_pylist()]
    return {row["url"]: row["text"] for row in rows}


def test_each_line_stays_in_the_document_with_the_smallest_key(built):
    folder, manifest = built
    shown = pq.read_table(sorted((folder / "work" / "paragraphs").glob("*.lines.parquet"))).to_pylist()
    assert sorted((row["domain"], row["documents"], row["line"][:7]) for row in shown) == [
        ("", 3, "Sign up"),
        ("example.org", 24, "Sign up"),
        ("example.org", 24, "The clu"),
    ]
    tally = manifest.stages["paragraphs"]
    assert tally.counts["repeated lines"] == 3
    assert tally.counts["dropped lines"] == 2 + 23 + 23
    assert tally.counts["dropped characters"] == 25 * len(FOOTER) + 23 * len(NOTICE)
    documents = [
        row
        for path in sorted((folder / "work" / "documents").glob("*.documents.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
    for row in shown:
        mine = [d for d in documents if ("example.org" in d["url"]) == bool(row["domain"]) and FOOTER in d["text"]]
        mine = [d for d in mine if "example.com" not in d["url"]]
        assert row["kept_key"] == min(d["key"] for d in mine)


def test_the_texts_lose_those_lines_and_nothing_else(built):
    folder, _ = built
    after = texts_of(folder / "work")
    for record in records():
        name = record.get("url", f"id:{record.get('id')}").replace("www.", "")
        text = next((text for url, text in after.items() if url.replace("www.", "") == name), None)
        if text is None:
            assert "empty" in name
            continue
        own = [line for line in record["text"].split("\n") if line and line != FOOTER and "The club" not in line]
        assert [line for line in text.split("\n") if line and line != FOOTER and "The club" not in line] == own
        if "example.com" in name:
            assert FOOTER in text
    assert sum(FOOTER in text for text in after.values()) <= 4


def test_what_depends_on_the_text_is_made_anew(built):
    folder, _ = built
    for path in sorted((folder / "work" / "paragraphs").glob("*.documents.parquet")):
        keys = []
        for row in pq.read_table(path).to_pylist():
            keys.append(row["key"])
            assert row["length"] == len(row["text"])
            assert row["tokens"] == vocabulary.load().encode(row["text"])
            assert row["token_count"] == len(row["tokens"])
            assert row["text_hash"] == minhash.text_hash(row["text"])
            assert row["signature"] == minhash.signature(row["text"]).astype("<u4").tobytes()
        assert keys == sorted(keys)


def test_the_books_are_closed(built):
    folder, manifest = built
    assert list(manifest.stages) == ["texts", "documents", "paragraphs", "decisions", "shards"]
    tally = manifest.stages["paragraphs"]
    assert tally.taken == 32
    assert set(tally.rejected) == {"repeated_paragraphs"}
    assert tally.rejected["repeated_paragraphs"] in {3, 4}  # one of them may be the keeper
    assert manifest.stages["decisions"].taken == tally.rows == tally.passed
    assert list(verify.problems(str(folder / "work" / "corpus"), lambda done, total: None)) == []
    page = build_report(str(folder / "work"))
    assert "Drop lines that repeat over a domain" in page
    assert "too little text without the lines that repeat over its domain" in page


def test_a_manifest_without_the_stage_is_found(built):
    _, manifest = built
    without = {name: tally for name, tally in manifest.stages.items() if name != "paragraphs"}
    problems = list(verify.ledger(replace(manifest, stages=without)))
    assert any("expected texts, documents, paragraphs, decisions, shards" in problem for problem in problems)
    old = replace(manifest, config={"dedup": {}})  # of a version without the setting
    assert any("expected texts, documents, decisions, shards" in problem for problem in verify.ledger(old))


def test_the_story_of_a_page_that_lost_its_text(built, capsys):
    folder, manifest = built
    work = str(folder / "work")
    stories = [tell(Build(work), f"https://example.org/empty/{n}") for n in range(4)]
    lost = [story for story in stories if story.verdict == "repeated_paragraphs"]
    assert len(lost) == manifest.stages["paragraphs"].rejected["repeated_paragraphs"]
    [refusal] = lost[0].refusals
    assert refusal.stage == "paragraphs"
    assert "2 lines of" in refusal.detail
    assert "too_short" in refusal.detail
    assert lost[0].text  # what it was before
    assert cli.main(["why", lost[0].asked, "--work", work]) == 0
    assert "repeated_paragraphs" in capsys.readouterr().out.split("verdict")[0]
    for record in records()[:20]:
        story = tell(Build(work), record["url"])
        assert (story.verdict, story.refusals) == ("kept", [])
        assert story.place.tokens == story.text.tokens + 1


def test_a_story_before_the_end(built, tmp_path):
    folder, _ = built
    with pytest.raises(InterruptedError):
        build(tmp_path / "work", folder / "in.jsonl", settings(), run_until("paragraphs"))
    story = tell(Build(str(tmp_path / "work")), records()[0]["url"])
    assert story.verdict == "undecided"
    assert story.stages_missing == ["paragraphs", "decisions", "shards"]


def test_the_same_corpus_for_any_parts_and_workers(built, tmp_path):
    folder, manifest = built
    sizes = Sizes(documents=6, lines=5)  # so that there are many ranges of hashes
    other = build(tmp_path / "inline", folder / "in.jsonl", settings(), sizes=sizes)
    assert other.content() == manifest.content()
    assert len(list((tmp_path / "inline" / "repeats").glob("*.receipt.json"))) > 5
    for workers in (1, 2):
        work = tmp_path / str(workers)
        again = build(work, folder / "in.jsonl", settings(), partial(run_stage, flags=(), workers=workers))
        assert again.content() == manifest.content()
        assert toy_webs.digests(work) == toy_webs.digests(folder / "work")
    build(tmp_path / "five", folder / "in.jsonl", settings(parts=5))
    assert texts_of(tmp_path / "five") == texts_of(folder / "work")


def test_off_runs_no_stage(built, tmp_path):
    folder, _ = built
    manifest = build(tmp_path / "work", folder / "in.jsonl", settings(paragraphs=0, paragraph_characters=7))
    assert list(manifest.stages) == ["texts", "documents", "decisions", "shards"]
    assert not {"lines", "repeats", "paragraphs"} & {path.name for path in (tmp_path / "work").iterdir()}
    assert not {"lines", "repeats"} & {entry["stage"] for entry in manifest.build["stages"]}


def test_addresses_are_masked_once(tmp_path):
    made = [
        {
            "url": f"https://example.org/{n}",
            "text": f"{story_of(n)}\nWrite to me{n}@example.org, not to x@example.net.\n{FOOTER}",
        }
        for n in range(4)
    ]
    write(tmp_path / "in.jsonl", [json.dumps(record).encode() for record in made])
    chosen = CorpusSettings(extract=ExtractSettings(min_tokens=30, mask=True), dedup=settings().dedup, parts=2)
    build(tmp_path / "work", tmp_path / "in.jsonl", chosen)
    for text in texts_of(tmp_path / "work").values():
        assert "Write to email@example.com, not to firstname.lastname@example.org." in text


def test_one_is_no_number_of_documents():
    with pytest.raises(ValueError, match=r"dedup\.paragraphs is 1, expected 2"):
        DedupSettings(paragraphs=1)


def test_a_small_web(tmp_path):
    """Pages out of archives: the paragraph that stands in each copy of the mini web is left once."""
    toy_webs.write_posts(tmp_path / "posts" / "all.ndjson.zst", toy_webs.posts_of())
    toy_webs.write_archives(tmp_path / "archives", toy_webs.records_of(5), 2)
    chosen = CorpusSettings(
        links=toy_webs.SETTINGS.links, dedup=DedupSettings(paragraphs=2, paragraph_characters=40), parts=3
    )
    manifest = toy_webs.build(tmp_path / "work", tmp_path / "posts" / "*", tmp_path / "archives" / "*", settings=chosen)
    assert list(manifest.stages) == ["posts", "links", "pages", "documents", "paragraphs", "decisions", "shards"]
    tally = manifest.stages["paragraphs"]
    assert tally.counts["dropped lines"] >= tally.counts["repeated lines"] > 0
    assert list(verify.problems(str(tmp_path / "work" / "corpus"), lambda done, total: None)) == []
    again = toy_webs.build(
        tmp_path / "one", tmp_path / "posts" / "*", tmp_path / "archives" / "*", workers=1, settings=chosen
    )
    assert again.content() == manifest.content()
