"""The recipe: from Reddit posts and web archives to token shards. Read this file first.

Each stage reads the files of the stages before it and writes its own folder under the work directory. What is complete
is skipped, so the same command continues a build that was stopped in any way. What a stage does is in the room that
makes it; what the stages are called, and which of them a link passes, is in flow.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from webtext.pipeline import flow
from webtext.pipeline.dedup import paragraphs
from webtext.pipeline.dedup.groups import DEFAULT, Sizes
from webtext.pipeline.dedup.recipe import find_copies
from webtext.pipeline.documents.stage import documents_stage
from webtext.pipeline.engine import damage
from webtext.pipeline.engine.mending import RunStage, mending
from webtext.pipeline.engine.stage import Stage, StageError, paths_of
from webtext.pipeline.files import storage
from webtext.pipeline.inputs import Inputs, TextInputs, claim, versions
from webtext.pipeline.links.stages import links_stage, posts_stage
from webtext.pipeline.own_texts.merging import text_documents_stage
from webtext.pipeline.own_texts.sorting import TextsPlan, share, texts_stage
from webtext.pipeline.pages.commoncrawl.stage import commoncrawl_stage, index_stage
from webtext.pipeline.pages.robots.stage import robots_stage
from webtext.pipeline.pages.stages import captures_stage, follow_detours, pages_stage
from webtext.pipeline.release.stage import TEXT, shards_stage, token_shard
from webtext.pipeline.settings import CorpusSettings
from webtext.schemas.manifest import CORPUS_MANIFEST, CorpusManifest, StageManifest

Done = Mapping[str, StageManifest]


def build_corpus(
    settings: CorpusSettings,
    inputs: Inputs,
    work: str,
    run: RunStage,
    sizes: Sizes = DEFAULT,
    *,
    strict: bool = False,
) -> CorpusManifest:
    """Run the whole recipe in the folder `work`; the corpus is then in `work/corpus`.

    Args:
        settings: everything that decides the content.
        inputs: the files to read.
        work: local folder, or a path with a scheme that Beam's FileSystems know.
        run: brings one stage to its manifest, see beam_stage.run_stage.
        sizes: how much one part of the search for copies holds.
        strict: end where an input is damaged, after the stage that read it.

    Raises:
        ValueError: `work` belongs to another build, or the inputs changed meanwhile.
        StageError: a stage could not be completed, or read damaged inputs in a strict build; what is done stays done.
    """
    with storage.lock(work):
        claim(work, settings, inputs)
        done, damaged = mending(lambda run: _stages(settings, inputs, work, run, sizes, strict=strict), run)
        if changed := inputs.changed():
            raise ValueError(
                f"{len(changed)} inputs have changed while they were read, so that nothing is known of the corpus: "
                f"{changed[0]}. Build again with another --work"
            )
        manifest = corpus_manifest(settings, inputs, done, damaged)
        storage.publish_bytes(storage.join(work, flow.CORPUS, CORPUS_MANIFEST), manifest.to_json())
        return manifest


def _stages(
    settings: CorpusSettings, inputs: Inputs, work: str, run: RunStage, sizes: Sizes, *, strict: bool
) -> tuple[Done, list[damage.Damaged]]:
    """All stages up to the shards, and what was wrong with the inputs."""
    done: dict[str, StageManifest] = {}
    damaged: list[damage.Damaged] = []

    def bring(stage: Stage) -> StageManifest:
        done[stage.name] = run(stage)
        if found := damage.of_stage(work, done[stage.name]):
            damaged.extend(found)
            if strict:
                raise StageError(_refusal(stage, found))
        return done[stage.name]

    if inputs.texts:
        documents = _documents_of_texts(settings, inputs.texts, work, bring)
    else:
        documents = _documents_of_links(settings, inputs, work, bring)
    done |= paragraphs.drop_repeated(settings, work, documents, run, sizes)
    final = done.get(flow.PARAGRAPHS, documents)  # with the text that the corpus has
    done |= find_copies(settings, work, final, run, sizes)
    bring(shards_stage(settings.shards, settings.parts, final, done[flow.DECISIONS], work))
    return done, damaged


def _refusal(stage: Stage, damaged: Sequence[damage.Damaged]) -> str:
    others = f" (and {len(damaged) - 1} more)" if damaged[1:] else ""
    return f"stage {stage.name}: {damaged[0]}{others}; {damage.ADVICE} (--strict)"


def _documents_of_links(settings: CorpusSettings, inputs: Inputs, work: str, bring: RunStage) -> StageManifest:
    """Posts to links, links to pages from up to three sources, pages to documents."""
    parts, max_page_bytes = settings.parts, settings.extract.max_page_bytes
    posts = bring(posts_stage(settings.links, parts, inputs.submissions, work))
    links = bring(links_stage(settings.links, parts, posts, work))
    sources = []
    if inputs.fetch:
        from webtext.pipeline.pages.crawl.stage import fetch_stage  # its HTTP client takes a moment to import

        sources.append(bring(fetch_stage(inputs.fetch, max_page_bytes, parts, links, work)))
    captures, index = bring(captures_stage(max_page_bytes, inputs.archives, work)), None
    sources.append(captures)
    if inputs.crawl:
        others = [path for source in sources for path in paths_of(work, source, flow.CAPTURES_TABLE)]
        digest = " ".join(source.digest() for source in sources)
        index = bring(index_stage(inputs.crawl, inputs.crawl_index, work, links, others=others, others_digest=digest))
        sources.append(bring(commoncrawl_stage(inputs.crawl, max_page_bytes, work, links, index)))
    rounds = follow_detours(parts, sources, work, bring)
    pages = bring(pages_stage(parts, links, sources, inputs.archives, work, rounds=rounds))
    robots = None
    captured = [found for found in (captures, index) if found and found.tally.counts.get("robots_txt")]
    if captured and settings.extract.opt_outs != "none":
        robots = bring(robots_stage(captures, inputs.archives, pages, work, index=index, crawl=inputs.crawl))
    return bring(documents_stage(settings.extract, work, pages, work, robots))


def _documents_of_texts(settings: CorpusSettings, texts: TextInputs, work: str, bring: RunStage) -> StageManifest:
    """Texts that a person has, instead of all the above."""
    plan = TextsPlan(texts.fields, texts.base, settings.parts, share(texts.files, settings.parts))
    sorted_texts = bring(texts_stage(plan, texts.files, work))
    return bring(text_documents_stage(settings.extract, plan, sorted_texts, work))


def corpus_manifest(
    settings: CorpusSettings, inputs: Inputs, done: Done, damaged: Sequence[damage.Damaged] = ()
) -> CorpusManifest:
    """The manifest of a complete build.

    The ledgers of the stages that a link passes are content. Those of the captures and candidates count archive
    records and hashes, which may differ when the same pages come in other files, so they are told with the build.
    """
    passed = flow.passed(bool(inputs.texts), settings.dedup.paragraphs)
    shards = done[flow.SHARDS]
    return CorpusManifest(
        config=asdict(settings),
        stages={name: done[name].tally for name in passed},
        shards=tuple(token_shard(receipt) for receipt in shards.receipts),
        texts=tuple(shards.named(TEXT)),
        build={
            "libraries": versions(),
            "submissions": [found.path for found in inputs.submissions],
            "archives": [found.path for found in inputs.archives],
            **({"documents": [found.path for found in inputs.texts.files]} if inputs.texts else {}),
            **({damage.INPUTS: [asdict(found) for found in damaged]} if damaged else {}),
            "stages": [{"stage": name, **asdict(done[name].tally)} for name in done if name not in passed],
        },
    )
