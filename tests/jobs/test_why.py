import json
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from webtext.jobs import cli
from webtext.pipeline import flow
from webtext.pipeline.account import why as story
from webtext.schemas.records import Reason

FLOW = flow.passed(of_texts=False, dedup_paragraphs=0)
EXAMPLES = Path(__file__).parents[2] / "examples" / "miniweb"
EXPECTED = [json.loads(line) for line in (EXAMPLES / "expected.jsonl").read_text().splitlines()]
VERDICTS = {
    "link": "kept",
    "below_karma": "below_score",
    "crosspost_2+2": "below_score",
    "exact_duplicate_of": "exact_duplicate",
    "near_duplicate_of": "near_duplicate",
    "wikipedia": "wikipedia",
    "http_404": "http_status",
    "not_html": "not_html",
    "empty_page": "empty_page",
    "no_page": "no_page",
    "not_linked": "not_linked",
    "after_2017": "after_cutoff",
}


def planted(want, lang="en"):
    return next(entry for entry in EXPECTED if entry["want"] == want and entry.get("lang", "en") == lang)


def why(work, capsys, *urls, status=0):
    assert cli.main(["why", *urls, "--work", str(work), "--json"]) == status
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_reason_has_a_sentence():
    others = {story.KEPT, story.NOT_LINKED, story.NOT_GIVEN, story.NOT_A_URL, story.UNDECIDED}
    assert set(story.EXPLANATIONS) == set(Reason) | others
    assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in story.EXPLANATIONS.values())
    assert len(set(story.EXPLANATIONS.values())) == len(story.EXPLANATIONS)


def test_each_kind_of_plant_comes_to_its_verdict(miniweb_build, capsys):
    chosen = [planted(want) for want in VERDICTS] + [planted("link", "es")]
    stories = why(miniweb_build, capsys, *(entry["url"] for entry in chosen))
    verdicts = [told["verdict"] for told in stories]
    assert verdicts == [*VERDICTS.values(), "not_english"]
    assert all(told["known"] and told["explanation"] for told in stories)
    assert not any(told["stages_missing"] for told in stories)
    for entry, told in zip(chosen, stories, strict=True):
        assert (told["copy_of"] or {}).get("url") == entry.get("of")


def test_a_kept_document_is_where_the_story_says(miniweb_build, capsys):
    kept = [entry["url"] for entry in EXPECTED if entry["want"] == "link" and entry["lang"] == "en"]
    for told in why(miniweb_build, capsys, *kept[::12]):
        place = told["place"]
        with pa.ipc.open_file(miniweb_build / "corpus" / place["shard"]) as reader:
            batch = reader.get_batch(0)
        assert batch.column("key")[place["row"]].as_py().hex() == told["key"]
        tokens = batch.column("tokens")[place["row"]].as_py()
        stream = batch.column("tokens").values[place["offset"] : place["offset"] + place["tokens"]]
        assert stream.to_pylist() == tokens
        assert len(tokens) == told["text"]["tokens"] + 1
        assert told["link"]["score"] == max(post["score"] for post in told["posts"])
        assert [capture["chosen"] for capture in told["captures"]].count(True) == 1


def test_the_kept_document_knows_what_it_displaced(miniweb_build, capsys):
    copy = planted("near_duplicate_of")
    [told] = why(miniweb_build, capsys, copy["of"])
    assert told["verdict"] == "kept"
    assert copy["url"] in [other["url"] for other in told["copies"]]
    assert all(0.5 <= other["similarity"] <= 1 for other in told["copies"])


def test_another_spelling_is_the_same_url(miniweb_build, capsys):
    url = planted("link")["url"]
    variant = url.replace("https://", "HTTP://").replace(".org/", ".org:80/./") + "?utm_source=x#part"
    one, other = why(miniweb_build, capsys, url, variant)
    assert {**one, "asked": "", "url": ""} == {**other, "asked": "", "url": ""}


def test_what_no_build_knows_is_status_1(miniweb_build, capsys):
    told = why(miniweb_build, capsys, "https://nobody.example/x", "ftp://host/x", planted("link")["url"], status=1)
    assert [entry["verdict"] for entry in told] == ["not_linked", "not_a_url", "kept"]
    assert [entry["known"] for entry in told] == [False, False, True]
    assert "has the scheme 'ftp:'" in told[1]["explanation"]


def test_a_page_that_no_post_links_to_is_in_the_archives(miniweb_build, capsys):
    [told] = why(miniweb_build, capsys, planted("not_linked")["url"])
    assert told["captures_found"] == 1
    assert "in the archives" in told["explanation"]


def test_a_post_whose_url_is_none_is_found_by_what_was_posted(miniweb_build, capsys):
    rejected = pq.read_table(miniweb_build / "posts" / "00000.rejected.parquet").to_pylist()
    [posted] = [row["url"] for row in rejected if row["reason"] == "bad_url"]
    [told] = why(miniweb_build, capsys, posted)
    assert (told["verdict"], told["url"], told["known"]) == ("bad_url", "", True)


@pytest.mark.parametrize("missing", FLOW)
def test_an_unfinished_build_tells_what_it_knows(miniweb_build, tmp_path, capsys, missing):
    work = tmp_path / "work"
    shutil.copytree(miniweb_build, work)
    for stage in FLOW[FLOW.index(missing) :]:
        (work / stage / "manifest.json").unlink()
    copy = planted("exact_duplicate_of")["url"]
    told, refused = why(work, capsys, copy, planted("below_karma")["url"])
    if missing == "shards":  # a copy does not come so far
        assert told["verdict"] == "exact_duplicate"
    else:
        assert told["verdict"] == "undecided"
        assert told["explanation"].endswith(f"Stage {missing} has not finished.")
    assert told["stages_missing"] == list(FLOW[FLOW.index(missing) :])
    assert refused["verdict"] == ("undecided" if missing in {"posts", "links"} else "below_score")


def test_a_story_fits_one_screen(miniweb_build, capsys):
    urls = [planted(want)["url"] for want in VERDICTS]
    assert cli.main(["why", *urls, "--work", str(miniweb_build)]) == 0
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= 100
    stories = re.split(r"^(?=asked )", out, flags=re.MULTILINE)[1:]
    for verdict, text in zip(VERDICTS.values(), stories, strict=True):
        assert re.search(rf"^verdict +{verdict} ", text, re.MULTILINE)
        assert len(text.splitlines()) <= 24


def test_a_folder_that_is_no_build_is_one_line(tmp_path, capsys):
    assert cli.main(["why", "https://a.example/", "--work", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (f"error: {tmp_path} is no work directory of a build: it has no build.json\n")
