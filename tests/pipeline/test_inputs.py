"""Inputs that are cut: told at the end with what was read, the end of a strict build, redone once they are mended."""

import gzip
import io
import json

import pytest
import toy_webs
from rich.console import Console
from toy_texts import story_of, write
from without_engine import run_here, run_until

from webtext.jobs.funnel import print_funnel
from webtext.pipeline import flow
from webtext.pipeline.account.report_page import build_report
from webtext.pipeline.corpus import build_corpus
from webtext.pipeline.engine import damage
from webtext.pipeline.engine.stage import StageError
from webtext.pipeline.inputs import Inputs, TextInputs
from webtext.pipeline.own_texts.settings import TextFields
from webtext.pipeline.release import verify
from webtext.pipeline.settings import CorpusSettings, ExtractSettings

TEXTS = CorpusSettings(extract=ExtractSettings(min_tokens=0, language_probability=0), parts=2)


def build(folder, run=run_here, *, strict=False, texts=False, work="work"):
    if texts:
        inputs = Inputs((), (), texts=TextInputs.find([str(folder / "in" / "*")], TextFields()))
        return build_corpus(TEXTS, inputs, str(folder / work), run, strict=strict)
    inputs = Inputs.find([str(folder / "posts" / "*")], [str(folder / "archives" / "*")])
    return build_corpus(toy_webs.SETTINGS, inputs, str(folder / work), run, strict=strict)


def told(manifest):
    """What the terminal says of the inputs."""
    out = io.StringIO()
    print_funnel(manifest, Console(file=out, width=1000), damage.sentences(damage.of_build(manifest.build)))
    return [line for line in out.getvalue().splitlines() if line.startswith("warning: ")]


def problems(folder):
    return list(verify.problems(str(folder / "work" / "corpus"), lambda done, total: None))


@pytest.fixture
def web(tmp_path):
    """Two dumps, of which one is plain, and two archives, each with a cut file: path -> what was there."""
    lines = toy_webs.posts_of()
    toy_webs.write_posts(tmp_path / "posts" / "a.ndjson.zst", lines[::2])
    write(tmp_path / "posts" / "b.ndjson", lines[1::2])
    toy_webs.write_archives(tmp_path / "archives", toy_webs.records_of(20), 2)
    cut = {}
    for name in ("posts/a.ndjson.zst", "posts/b.ndjson", "archives/pages-1.warc.gz"):
        path = tmp_path / name
        cut[path] = path.read_bytes()
        path.write_bytes(cut[path][: len(cut[path]) * 2 // 3])
    return tmp_path, cut


def test_cut_inputs_are_told_in_the_terminal_and_the_report(web):
    folder, cut = web
    manifest = build(folder)
    lines = told(manifest)
    assert len(lines) == len(cut) + 1
    for path, line in zip(sorted(cut), sorted(lines), strict=False):
        assert line.startswith(f"warning: {path} is damaged: ")
        assert line.endswith(" read of it")
    plain = next(line for line in lines if "b.ndjson" in line)
    whole = (folder / "posts" / "b.ndjson").read_bytes().count(b"\n")
    assert f"it ends inside a line; {whole:,} records were read" in plain
    assert "sha256" in lines[-1]
    page = build_report(str(folder / "work"))
    assert "Damaged inputs" in page
    assert all(f"<code>{path}</code>" in page for path in cut)
    assert manifest.stages["posts"].counts["truncated_inputs"] == 2
    for path, data in cut.items():
        path.write_bytes(data)
    sound = build(folder, work="other")
    assert told(sound) == []
    assert "Damaged inputs" not in build_report(str(folder / "other"))


def test_a_strict_build_ends_behind_the_stage_and_goes_on_when_the_file_is_mended(web):
    folder, cut = web
    dumps, archive = sorted(cut)[1:], sorted(cut)[0]
    with pytest.raises(StageError, match=rf"stage posts: .*{dumps[0].name} is damaged: .*and 1 more.*--strict"):
        build(folder, strict=True)
    with pytest.raises(StageError, match="stage posts"):  # which is not run again
        build(folder, run_until(flow.LINKS), strict=True)
    for path in dumps:
        path.write_bytes(cut[path])
    with pytest.raises(StageError, match=rf"stage captures: .*{archive.name} is damaged"):
        build(folder, strict=True)
    lenient = build(folder)
    assert problems(folder) == []
    archive.write_bytes(cut[archive])
    with pytest.raises(InterruptedError):
        build(folder, run_until(flow.SHARDS), strict=True)
    # What was made of the cut archive is no corpus of this build any more.
    with pytest.raises(FileNotFoundError, match="is no corpus"):
        problems(folder)
    manifest = build(folder, strict=True)
    assert manifest.content_sha256() != lenient.content_sha256()
    assert manifest.content_sha256() == build(folder, work="fresh").content_sha256()
    assert toy_webs.digests(folder / "work") == toy_webs.digests(folder / "fresh")
    assert problems(folder) == []


def test_a_page_under_the_name_of_an_archive_is_told_and_a_malformed_record_is_not(web):
    folder, cut = web
    for path, data in cut.items():
        path.write_bytes(data)
    page = folder / "archives" / "page.warc.gz"
    page.write_bytes(b"<html>\n<p>Not found</p>\n</html>\n" * 9)
    other = folder / "archives" / "other.warc"
    other.write_bytes(b"not a record\n" + gzip.decompress(cut[sorted(cut)[0]]))
    line, _ = told(build(folder))
    assert line.startswith(f"warning: {page} is damaged: at byte 0: no WARC or ARC record starts with")


def test_an_input_that_was_whole_may_not_change(web):
    folder, cut = web
    build(folder)
    for path, data in cut.items():
        path.write_bytes(data)
    toy_webs.write_archives(folder / "archives", toy_webs.records_of(30), 2)
    with pytest.raises(ValueError, match=r"belongs to another build: input archives"):
        build(folder)


def test_a_table_without_scores_is_told_and_gives_no_link(web):
    folder, cut = web
    for path, data in cut.items():
        path.write_bytes(data)
    before = build(folder, run_here, work="before")
    table = folder / "posts" / "table.csv"
    table.write_text("url,title\nhttp://site.example/a,A title\n")
    manifest = build(folder)
    line, _ = told(manifest)
    assert line.startswith(f"warning: {table} is damaged: its header has no column score: b'url,title'; a table")
    assert line.endswith("; 0 records were read of it")
    posts, others = manifest.stages["posts"], before.stages["posts"]
    assert (posts.taken, posts.rejected["bad_line"]) == (others.taken + 1, others.rejected["bad_line"] + 1)
    assert posts.passed == others.passed


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("cut.jsonl", b'{"text": "a b"}\n{"text": "c', "it ends inside a line; 1 record was read of it"),
        ("cut.jsonl.gz", gzip.compress(b'{"text": "a b"}\n' * 9)[:-1], "its .gz data end early after 9 whole lines"),
        ("empty.jsonl.zst", b"", "it is empty; 0 records were read of it"),
        ("junk", b'{"text": "a b"}\n\n{"te', "it ends inside a line; 1 record was read of it"),
        ("cut.parquet", b"PAR1", "damaged after 0 rows"),
    ],
)
def test_cut_texts_are_told(tmp_path, name, data, words):
    write(tmp_path / "in" / "whole.jsonl", [json.dumps({"text": story_of(n)}).encode() for n in range(5)])
    write(tmp_path / "in" / "no-line-feed.jsonl", [])
    (tmp_path / "in" / "no-line-feed.jsonl").write_bytes(json.dumps({"text": story_of(9)}).encode())
    (tmp_path / "in" / "plain.txt").write_bytes(b"no line feed \xff")
    (tmp_path / "in" / name).write_bytes(data)
    line, advice = told(build(tmp_path, texts=True))
    assert line.startswith(f"warning: {tmp_path / 'in' / name} is damaged: {words}")
    assert "download" in advice
    with pytest.raises(StageError, match="stage texts"):
        build(tmp_path, texts=True, strict=True)


def test_what_a_manifest_of_another_version_says_is_no_damage():
    good = {"path": "a", "read": 3, "why": "cut"}
    entries = [good, None, [], "x", {}, good | {"read": "3"}, good | {"path": None}]
    assert damage.of_build({damage.INPUTS: entries}) == [damage.Damaged("a", 3, "cut")]
    assert damage.of_build({damage.INPUTS: "x"}) == damage.of_build({}) == []
    assert len(list(damage.sentences([damage.Damaged(f"{n}", n, "cut") for n in range(900)]))) == 52
