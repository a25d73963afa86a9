"""What came out wrong once, by kind: each file of ../shared/cases gives what its folder says."""

import json
import re
from functools import cache, partial

import pyarrow.parquet as pq
import pytest
import toy_webs
from without_engine import run_here

from webtext.pipeline.archives.warc import RawPage
from webtext.pipeline.corpus import build_corpus
from webtext.pipeline.documents.page_files import pages_of
from webtext.pipeline.documents.sandboxed import make_extractor, request, verdict
from webtext.pipeline.engine.sandbox import Sandbox
from webtext.pipeline.files import storage
from webtext.pipeline.inputs import Inputs, TextInputs
from webtext.pipeline.links.stages import links_stage, posts_stage
from webtext.pipeline.opt_outs.robots_rules import RobotsRules, decode_text
from webtext.pipeline.own_texts.settings import TextFields
from webtext.pipeline.pages.crawl.settings import PRODUCT
from webtext.pipeline.settings import CorpusSettings, ExtractSettings, LinkSettings
from webtext.schemas.records import Loss

CASES = toy_webs.ROOT.parent / "shared" / "cases"
GIVEN_TEXTS = {"16-given-texts-invisible-characters": ExtractSettings(language_probability=0)}  # as its README says


def rows():
    """(folder, what it says of one file). Folders that say it in words only, in their README, say it below."""
    for folder in sorted(CASES.glob("[0-9]*")):
        path = folder / "expected.jsonl"
        said = map(json.loads, path.read_text().splitlines()) if path.exists() else in_words(folder)
        yield from ((folder, row) for row in said)


def in_words(folder):
    match folder.name[:2]:
        case "20" | "21":
            for page in sorted(folder.glob("*.html")):
                yield {"file": page.name, "kind": "extract", "ordered": re.findall("<p>(.*?)</p>", page.read_text())}
        case "22":
            sentences = re.findall(r"\t([A-Z].*)", (folder / "white_space.html").read_text())
            yield {
                **{"file": "white_space.html", "kind": "extract", "ordered": sentences},
                "not_contains": ["\t", "\n\n", "\n ", " \n"],
            }
        case "30":
            posts = map(json.loads, (folder / "amp.ndjson").read_text().splitlines())
            yield {"file": "amp.ndjson", "kind": "posts", "links": [post["url"] for post in posts]}
            yield {"file": "charset.warc.gz", "kind": "extract", "contains": ["The quick brown fox jumps"]}
            yield {"file": "robots.txt", "kind": "robots", "path": "/" + "a" * 200, "allowed": True}
        case _:
            raise ValueError(f"{folder.name} does not say what is right")


PARAMETERS = [pytest.param(folder, row, id=f"{folder.name}/{row['file']}") for folder, row in rows()] or [
    pytest.param(None, None, marks=pytest.mark.skip(reason="../shared/cases is not here"), id="absent")
]


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """What answers for a row of each kind."""
    settings = ExtractSettings()
    make = partial(make_extractor, settings)
    with Sandbox(make, settings.cpu_seconds, settings.memory_mib) as sandbox:
        yield {
            "extract": partial(extract, settings, sandbox),
            "posts": partial(links, tmp_path_factory.mktemp),
            "robots": robots,
            "documents": partial(texts, cache(partial(corpus_of_texts, tmp_path_factory.mktemp))),
            "archive": partial(archive, tmp_path_factory.mktemp),
        }


@pytest.mark.parametrize(("folder", "row"), PARAMETERS)
def test_case(judge, folder, row):
    judge[row["kind"]](folder, row)


def extract(settings, sandbox, folder, row):
    """`webtext extract FILE`."""
    [page] = pages_of(str(folder / row["file"]), "", settings.max_page_bytes)
    found = page.content
    if isinstance(found, RawPage):
        [answer] = sandbox.run([request(found)])
        found = verdict(answer)
    if row.get("decision") == "rejected":
        assert isinstance(found, Loss)
        assert found.reason == row["reason"]
        return
    assert not isinstance(found, Loss), found
    check_text(found.text, row)


def check_text(text, row):
    assert [words for words in row.get("contains", ()) if words not in text] == []
    assert [words for words in row.get("not_contains", ()) if words in text] == []
    at = 0
    for words in row.get("ordered", ()):
        assert words in text[at:]
        at = text.index(words, at) + len(words)


def links(new_folder, folder, row):
    """`webtext build --submissions FILE`, up to the links."""
    work, settings = new_folder("posts"), LinkSettings()
    posts = run_here(posts_stage(settings, 1, storage.expand([str(folder / row["file"])]), str(work)))
    run_here(links_stage(settings, 1, posts, str(work)))
    found = [link["url"] for link in table(work, "links/*.links.parquet")]
    assert sorted(found) == sorted(row["links"])
    assert not set(found) & set(row.get("not_links", ()))


def robots(folder, row):
    rules = RobotsRules.parse(decode_text((folder / row["file"]).read_bytes()), PRODUCT)
    assert rules.allows(row["path"]) == row["allowed"]


def texts(corpus, folder, row):
    """`webtext build --documents`, of all files of the folder at once."""
    kept = corpus(folder)
    for name in row["kept"]:
        assert name in kept
        assert kept[name] == row.get("published", kept[name])
    assert not kept.keys() & set(row.get("dropped", ()))


def corpus_of_texts(new_folder, folder):
    """The names of the texts that stay, and when each was published."""
    work = new_folder("documents")
    files = [str(path) for path in sorted(folder.glob("*.jsonl")) if path.name != "expected.jsonl"]
    inputs = Inputs((), (), texts=TextInputs.find(files, TextFields()))
    settings = CorpusSettings(extract=GIVEN_TEXTS.get(folder.name, ExtractSettings()), parts=1)
    build_corpus(settings, inputs, str(work), run_here)
    return {text["url"]: text["published"] for text in table(work, "corpus/text/*.parquet")}


def archive(new_folder, folder, row):
    """`webtext build --warcs FILE` with one post that has the link."""
    work = new_folder("archive")
    post = {"id": "a", "url": row["link"], "score": 9, "created_utc": 1_400_000_001, "is_self": False}
    toy_webs.write_posts(work / "posts.zst", [json.dumps(post).encode()])
    inputs = Inputs.find([str(work / "posts.zst")], [str(folder / row["file"])])
    build_corpus(CorpusSettings(parts=1), inputs, str(work / "work"), run_here)
    [text] = table(work, "work/corpus/text/*.parquet")
    check_text(text["text"], row)


def table(work, pattern):
    return [row for path in sorted(work.glob(pattern)) for row in pq.read_table(path).to_pylist()]
