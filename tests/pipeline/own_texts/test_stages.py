"""A build from texts: which of equal ids stays, and a corpus that depends on the texts alone."""

import json
import random
import unicodedata
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toy_webs
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_texts import story_of, write
from without_engine import run_here, run_until

from webtext.pipeline.account.funnel import funnel_rows
from webtext.pipeline.account.report import read_months
from webtext.pipeline.account.report_page import build_report
from webtext.pipeline.account.why import Build, tell
from webtext.pipeline.corpus import build_corpus
from webtext.pipeline.documents.extract import extract_page
from webtext.pipeline.engine.beam_stage import run_stage
from webtext.pipeline.engine.stage import Stage, numbered, paths_of
from webtext.pipeline.files import storage, tabular
from webtext.pipeline.identity import names
from webtext.pipeline.inputs import Inputs, TextInputs
from webtext.pipeline.own_texts.merging import run_text_documents
from webtext.pipeline.own_texts.settings import TextFields
from webtext.pipeline.own_texts.sorting import TextsPlan, groups, run_texts, share
from webtext.pipeline.release import verify
from webtext.pipeline.settings import CorpusSettings, ExtractSettings, ShardSettings
from webtext.schemas.records import Reason

SETTINGS = CorpusSettings(
    extract=ExtractSettings(min_tokens=10), shards=ShardSettings(tokens=3000, val_fraction=0.2), parts=3
)
ALL = ExtractSettings(min_tokens=0, language_probability=0)


def records():
    made = [{"id": f"n{n}", "text": story_of(n)} for n in range(60)]
    made += [{"url": f"https://example.org/{n}", "text": story_of(100 + n), "score": n} for n in range(30)]
    made += [
        {"url": f"http://www.example.org/{n}/", "text": story_of(200 + n), "score": 5} for n in range(10)
    ]  # same pages
    made += [{"text": story_of(300 + n), "title": f"no name {n}"} for n in range(10)]
    made += [{"id": f"copy{n}", "text": story_of(n) + " The end."} for n in range(5)]
    made += [{"id": "german", "text": "Der Fluss und das alte Fenster sahen, was der Lehrer im Garten tat. " * 4}]
    made += [{"id": "short", "text": "This is a short text."}, {"id": "n0", "text": story_of(0)}]
    return made


def as_lines(made):
    return [json.dumps(record).encode() for record in made]


def build(work, *patterns, run=run_here, settings=SETTINGS, fields=TextFields()):  # noqa: B008  frozen
    inputs = Inputs((), (), texts=TextInputs.find([str(pattern) for pattern in patterns], fields))
    return build_corpus(settings, inputs, str(work), run)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    write(folder / "in" / "all.jsonl", [*as_lines(records()), b"{", b'{"id": "empty", "text": ""}'])
    return folder, build(folder / "work", folder / "in" / "*.jsonl")


def test_the_corpus_depends_on_the_texts_alone(built, tmp_path):
    folder, manifest = built
    lines = [*as_lines(records()), b"{", b'{"id": "empty", "text": ""}']
    random.Random(1).shuffle(lines)
    for number in range(4):
        write(tmp_path / "in" / f"{9 - number}.jsonl", lines[number::4])
    other = build(tmp_path / "work", tmp_path / "in" / "*.jsonl", run=partial(run_stage, flags=(), workers=3))
    assert other.content() == manifest.content()
    assert toy_webs.digests(tmp_path / "work") == toy_webs.digests(folder / "work")


def test_parquet_gives_the_same_corpus(built, tmp_path):
    folder, _ = built
    columns = {name: [record.get(name) for record in records()] for name in ("id", "url", "text", "title", "score")}
    pq.write_table(pa.table(columns), tmp_path / "all.parquet", row_group_size=7)
    build(tmp_path / "work", tmp_path / "all.parquet")
    assert toy_webs.digests(tmp_path / "work") == toy_webs.digests(folder / "work")


def test_the_ledger_is_closed_and_says_why(built):
    folder, manifest = built
    taken = {name: tally.taken for name, tally in manifest.stages.items()}
    assert list(taken) == ["texts", "documents", "decisions", "shards"]
    assert taken["texts"] == len(records()) + 2
    assert manifest.stages["texts"].rejected == {"bad_line": 2}
    assert manifest.stages["documents"].rejected == {"duplicate_id": 11, "not_english": 1, "too_short": 1}
    assert manifest.stages["decisions"].rejected == {"near_duplicate": 5}
    assert list(verify.problems(str(folder / "work" / "corpus"), lambda done, total: None)) == []


@pytest.mark.parametrize(
    ("asked", "verdict"),
    [
        ("n7", "kept"),
        ("id:n7", "kept"),
        ("HTTP://example.org/12?utm_source=x", "kept"),
        (names.of_text(story_of(300)), "kept"),
        ("german", Reason.NOT_ENGLISH),
        ("short", Reason.TOO_SHORT),
        ("empty", Reason.BAD_LINE),
        ("n3", Reason.NEAR_DUPLICATE),
        ("copy3", "kept"),
        ("nothing", "not_given"),
    ],
)
def test_why(built, asked, verdict):
    folder, _ = built
    story = tell(Build(str(folder / "work")), asked)
    assert (story.verdict, story.known) == (verdict, verdict != "not_given")


def test_why_before_the_end(built, tmp_path):
    folder, _ = built
    with pytest.raises(InterruptedError):
        build(tmp_path / "work", folder / "in" / "*.jsonl", run=run_until("documents"))
    assert tell(Build(str(tmp_path / "work")), "n7").verdict == "undecided"


def test_the_report_speaks_of_texts(built):
    folder, manifest = built
    page = build_report(str(folder / "work"))
    assert "from 118 texts" in page
    assert "another text has the same id or URL" in page
    assert not any(words in page for words in ("Extract the text", "karma", "by month", "Submissions"))
    assert f"{folder}/in/all.jsonl" in page
    assert read_months(str(folder / "work")) == []
    assert [row.title for row in funnel_rows(manifest)][:2] == ["Read the texts", "Judge the texts"]


def test_other_fields_are_another_build(built):
    folder, _ = built
    with pytest.raises(ValueError, match=r"belongs to another build: fields\.text"):
        build(folder / "work", folder / "in" / "*.jsonl", fields=TextFields(text=("body",)))


def documents_of(folder, made, share, extract=ALL):
    """The documents and refusals that the two stages make of these records."""
    write(folder / "in.jsonl", as_lines(made))
    plan = TextsPlan(TextFields(), "", parts=2, share=share)
    first = Stage(
        *("texts", str(folder / "texts"), {}, [str(made), str(share)]),
        *(numbered([{"files": [str(folder / "in.jsonl")]}]), partial(run_texts, plan), ""),
    )
    sent = run_here(first)
    paths = paths_of(str(folder), sent, ".texts.arrow")
    run = partial(run_text_documents, extract, plan)
    parts = numbered([{"texts": paths}] * 2)
    inputs = [sent.digest(), str(extract)]
    done = run_here(Stage("documents", str(folder / f"documents{share}"), {}, inputs, parts, run, ""))
    files = done.named(".documents.parquet")
    rows = [row for file in files for row in tabular.read_columns(f"{folder}/documents{share}/{file.name}").to_pylist()]
    return rows, done, [file.sha256 for file in files]


RECORDS = st.lists(
    st.fixed_dictionaries(
        {"id": st.sampled_from("abc"), "text": st.sampled_from(["x", "y", "zz", "ww", "longest"])},
        optional={"score": st.integers(-1, 1), "date": st.integers(10**9, 10**9 + 1), "title": st.sampled_from("tu")},
    ),
    max_size=12,
)


@given(RECORDS)
@settings(max_examples=40, deadline=None)
def test_of_equal_ids_the_published_order_decides(tmp_path_factory, made):
    folder = tmp_path_factory.mktemp("merge")
    rows, done, files = documents_of(folder, made, share=3)
    assert done.tally.taken == len(made)
    assert done.tally.rejected.get("duplicate_id", 0) == len(made) - len(rows)
    assert [row["key"] for row in rows] == sorted({names.key_of(f"id:{record['id']}") for record in made})
    for row in rows:
        same = [record for record in made if f"id:{record['id']}" == row["url"]]
        best = min((-record.get("score", 0), -len(record["text"]), record.get("date", 0)) for record in same)
        assert (-row["score"], -row["length"], row["created_utc"]) == best
        assert any(record["text"] == row["text"] and record.get("title", "") == row["title"] for record in same)
    assert documents_of(folder, made[::-1], share=3)[2] == files


def test_ranges_leave_no_trace(tmp_path):
    made = [{"id": str(n), "text": story_of(n, 2)} for n in range(200)]
    assert documents_of(tmp_path, made, share=1)[2] == documents_of(tmp_path, made, share=17)[2]


def test_a_date_becomes_the_day_of_publication(tmp_path):
    [row], *_ = documents_of(tmp_path, [{"id": "a", "text": "x", "date": "2015-03-01T23:00:00Z"}], share=1)
    assert (row["published"], row["created_utc"]) == ("2015-03-01", 1425250800)


def test_texts_that_look_the_same_are_copies(tmp_path):
    text = story_of(1).replace("e", "é")
    spoilt = [
        text,
        unicodedata.normalize("NFD", text),
        *(text.replace("r", f"r{mark}") for mark in "\xad\u200b\u200f\ufeff"),
    ]
    rows, *_ = documents_of(tmp_path, [{"id": str(n), "text": each} for n, each in enumerate(spoilt)], share=1)
    assert {row["text"] for row in rows} == {text}
    assert len({row["text_hash"] for row in rows}) == 1
    page = extract_page(f"<html><body><article><p>{spoilt[2]}</p></article></body></html>".encode(), ALL, "utf-8")
    assert page.text == text


def test_plain_text_files_are_called_by_their_path_in_the_folder(tmp_path):
    for name in ("a/one.txt", "b/one.txt", "b/c/two.txt"):
        write(tmp_path / "in" / name, [story_of(name).encode()])
    for number, patterns in enumerate(
        (["in/**/*.txt"], ["in/a/*.txt", "in/b/**/*.txt"], ["in/b/c/two.txt", "in/?/one.txt"])
    ):
        work = tmp_path / f"work{number}"
        build(work, *(tmp_path / pattern for pattern in patterns))
        stories = [tell(Build(str(work)), f"{name}.txt").verdict for name in ("a/one", "b/one", "b/c/two")]
        assert stories == ["kept"] * 3


def test_a_damaged_file_costs_what_it_has_lost(tmp_path):
    write(tmp_path / "good.jsonl", as_lines(records()[:5]))
    (tmp_path / "cut.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00\x00\x00")
    pq.write_table(pa.table({"body": ["x"] * 9}), tmp_path / "other.parquet")
    manifest = build(tmp_path / "work", tmp_path / "*.*")
    tally = manifest.stages["texts"]
    assert (tally.taken, tally.passed, tally.rejected) == (15, 5, {"bad_line": 10})
    assert tally.counts["truncated_inputs"] == 2


IDS = [
    "http://",
    "http://[x",
    "a//[",
    "\x1b[2J",
    "../../etc",
    "<script>",
    "\u202eabc",
    "text:zz",
    "id:a",
    " ",
    "%",
    "\U0001f600",
]


def test_ids_of_any_form(tmp_path):
    made = [{"id": id, "text": story_of(number) + end} for number, id in enumerate(IDS) for end in ("", " The end.")]
    made += [{"id": f"copy of {id}", "text": story_of(number)} for number, id in enumerate(IDS)]
    write(tmp_path / "in.jsonl", as_lines(made))
    manifest = build(tmp_path / "work", tmp_path / "in.jsonl")
    assert manifest.stages["documents"].rejected == {"duplicate_id": len(IDS)}
    assert manifest.stages["decisions"].rejected == {"near_duplicate": len(IDS)}
    assert list(verify.problems(str(tmp_path / "work" / "corpus"), lambda done, total: None)) == []
    page = build_report(str(tmp_path / "work"))
    assert "<script>" not in page
    for id in IDS:
        shown = id.replace("\x1b", "\\x1b")
        assert tell(Build(str(tmp_path / "work")), f"id:{shown}").verdict == "kept"


def test_many_small_files_are_one_part():
    def files(*sizes):
        return [storage.Found(f"{n}.txt", size, 0) for n, size in enumerate(sizes)]

    assert [len(group) for group in groups(files(*[10] * 2500))] == [1000, 1000, 500]
    big = 2**26
    assert [len(group) for group in groups(files(1, big, big // 2, big // 2, 1, 5 * big))] == [1, 1, 2, 1, 1]
    assert groups([]) == []
    assert share(files(10 * 2**30), 4) == 20
    assert share(files(1), 64) == 1
    assert share(files(2**60), 2**16) * 2**16 <= 2**20


NEARDUP = toy_webs.ROOT.parent / "shared" / "data" / "neardup"


@pytest.mark.skipif(not NEARDUP.exists(), reason="../shared/data/neardup is not there")
def test_texts_that_people_copied(tmp_path):
    path = NEARDUP / "clough_stevenson" / "docs.jsonl"
    build(tmp_path / "work", path, settings=CorpusSettings(extract=ALL, parts=2))
    kinds = {f"id:{row['id']}": row["category"] for row in map(json.loads, Path(path).read_text().splitlines())}
    lost = [name for name in kinds if tell(Build(str(tmp_path / "work")), name).verdict != "kept"]
    assert lost
    assert {kinds[name] for name in lost} <= {"cut", "light"}
