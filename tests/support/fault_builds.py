"""Small builds for faults to happen to: of links and of texts, in this process or as a command, and what they give."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import toy_texts
import toy_webs
from without_engine import run_here

from webtext.pipeline.corpus import build_corpus
from webtext.pipeline.engine.stage import StageError
from webtext.pipeline.inputs import Inputs, TextInputs
from webtext.pipeline.own_texts.settings import TextFields
from webtext.pipeline.settings import CorpusSettings, DedupSettings, ExtractSettings, ShardSettings

KINDS = ("links", "texts")
TEXTS = CorpusSettings(
    extract=ExtractSettings(min_tokens=32, language_probability=0.0),
    dedup=DedupSettings(paragraphs=3),
    shards=ShardSettings(tokens=4_000, val_fraction=0.2),
    parts=3,
)
LINKS = replace(toy_webs.SETTINGS, parts=2)


def write_inputs(folder, kind, share=24):
    """What a build of this kind starts from: about one in `share` pages of the mini web, or some texts with copies."""
    if kind == "links":
        toy_webs.write_posts(folder / "posts.ndjson.zst", toy_webs.posts_of()[:600])
        toy_webs.write_archives(folder / "archives", toy_webs.records_of(share), 2)
        return
    rows = [
        {
            "url": f"https://site{n % 3}.example.org/{n}",
            "text": "\n".join([toy_texts.story_of(n // 2), "Follow us on all channels.", toy_texts.story_of(n, 9)]),
        }
        for n in range(60)
    ]
    toy_texts.write(folder / "texts.jsonl", [json.dumps(row).encode() for row in rows])


def inputs_of(folder, kind):
    if kind == "links":
        return Inputs.find([str(folder / "posts.ndjson.zst")], [str(folder / "archives" / "*")])
    return Inputs((), (), texts=TextInputs.find([str(folder / "texts.jsonl")], TextFields()))


def settings_of(kind):
    return LINKS if kind == "links" else TEXTS


def build_here(folder, kind, work, after=lambda stage: None):
    """The build in this process, without an engine; `after` is called with each stage that is complete."""

    def run(stage):
        try:
            manifest = run_here(stage)
        except Exception as error:
            raise StageError(f"stage {stage.name}: {error}") from error
        after(stage)
        return manifest

    return build_corpus(settings_of(kind), inputs_of(folder, kind), str(work), run)


def command(folder, kind, work, workers=2):
    """The same build as a person gives it."""
    webtext = str(Path(sys.executable).with_name("webtext"))
    settings = settings_of(kind)
    common = [webtext, "build", "--work", str(work), "--workers", str(workers), "--parts", str(settings.parts)]
    common += [
        "--shards.tokens",
        str(settings.shards.tokens),
        "--shards.val-fraction",
        str(settings.shards.val_fraction),
    ]
    if kind == "links":
        sources = ["--submissions", str(folder / "posts.ndjson.zst"), "--warcs", str(folder / "archives" / "*")]
        return [*common, *sources, "--links.score-rule", "per-post"]
    extraction = ["--extract.min-tokens", "32", "--extract.language-probability", "0"]
    return [*common, "--documents", str(folder / "texts.jsonl"), "--dedup.paragraphs", "3", *extraction]


def digests(work):
    """sha256 of each file of the corpus; of its manifest, what it says of the content."""
    manifest = json.loads((Path(work) / "corpus" / "manifest.json").read_bytes())
    return toy_webs.digests(work) | {"content": manifest["content_sha256"]}
