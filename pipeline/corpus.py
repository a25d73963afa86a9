"""The recipe: from Reddit posts and web archives to token shards. Read this file first.

Each stage reads the files of the stages before it and writes its own folder under the work directory. What is complete
is skipped, so the same command continues a build that was stopped in any way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version

from webtext.pipeline.dedup import paragraphs
from webtext.pipeline.dedup import recipe as dedup
from webtext.pipeline.documents import stage as documents
from webtext.pipeline.engine.stage import Shuffle, Stage, numbered, paths_of
from webtext.pipeline.files import storage
from webtext.pipeline.inputs import Inputs, claim, identities, versions
from webtext.pipeline.links import stages as posts
from webtext.pipeline.own_texts import merging as text_documents
from webtext.pipeline.own_texts import sorting as texts
from webtext.pipeline.pages import stages as pages
from webtext.pipeline.pages.commoncrawl import stage as commoncrawl
from webtext.pipeline.pages.crawl import spool
from webtext.pipeline.release import stage as shards
from webtext.pipeline.settings import CorpusSettings
from webtext.schemas.manifest import (
    CORPUS_MANIFEST,
    CorpusManifest,
    Receipt,
    StageManifest,
)
from webtext.schemas.records import TokenShard

CORPUS = "corpus"

RunStage = Callable[[Stage], StageManifest]


def build_corpus(settings: CorpusSettings, inputs: Inputs, work: str, run: RunStage) -> CorpusManifest:
    """Run the whole recipe in the folder `work`; the corpus is then in `work/corpus`.

    Args:
        settings: everything that decides the content.
        inputs: the files to read.
        work: local folder, or a path with a scheme that Beam's FileSystems know.
        run: brings one stage to its manifest, see parts.run_stage.

    Raises:
        ValueError: `work` belongs to another build.
        StageError: a stage could not be completed; what is done stays done.
    """
    with storage.lock(work):
        claim(work, settings, inputs)
        done: dict[str, StageManifest] = {}
        for make in _FROM_TEXTS if inputs.texts else _FROM_LINKS:
            if stage := make(settings, inputs, work, done):
                done[stage.name] = run(stage)
                spool.sweep(stage.folder, stage.fingerprint)
        done |= paragraphs.drop_repeated(settings, work, done["documents"], run)
        done |= dedup.find_copies(settings, work, _final(done), run)
        shard_stage = _shards(settings, work, done)
        done[shard_stage.name] = run(shard_stage)
        manifest = corpus_manifest(settings, inputs, done)
        storage.publish_bytes(storage.join(work, CORPUS, CORPUS_MANIFEST), manifest.to_json())
        return manifest


Done = Mapping[str, StageManifest]


def _posts(settings: CorpusSettings, inputs: Inputs, work: str, done: Done) -> Stage:
    """Each dump, line by line: the posts that may make a link, sorted into hash ranges of their URLs."""
    return Stage(
        name="posts",
        folder=storage.join(work, "posts"),
        settings={**asdict(settings.links), "parts": settings.parts},
        inputs=identities(inputs.submissions),
        parts=numbered([found.path] for found in inputs.submissions),
        run=partial(posts.select, settings.links, settings.parts),
        unit="lines",
    )


def _links(settings: CorpusSettings, inputs: Inputs, work: str, done: Done) -> Stage:
    """Each hash range of URLs: the posts of one URL merge, and their score decides."""
    sources = paths_of(work, done["posts"], ".posts.arrow")
    return Stage(
        name="links",
        folder=storage.join(work, "links"),
        settings={**asdict(settings.links), "parts": settings.parts},
        inputs=[done["posts"].digest()],
        parts=numbered([sources] * settings.parts),
        run=partial(posts.merge, settings.links, settings.parts),
        unit="posts",
        expects={"taken": done["posts"].tally.rows},
    )


# A part of `fetch` is as slow as its slowest host, however many others it has, and loses nothing when it is killed: so
# few and large ones. One takes about 1 kB of memory for each link.
_LINKS_PARTS_PER_FETCH = 8


def _fetch(settings: CorpusSettings, inputs: Inputs, work: str, done: Done) -> Stage | None:
    """The links of some domains each: asked of the live web, into archives of our own. Only where that is wanted."""
    if inputs.fetch is None:
        return None
    from webtext.pipeline.pages.crawl import stage as fetch  # imports an HTTP client, which takes a moment

    links = paths_of(work, done["links"], ".links.parquet")
    parts = max(1, settings.parts // _LINKS_PARTS_PER_FETCH)
    plan = fetch.Plan(inputs.fetch, settings.extract.max_page_bytes, tuple(links), storage.join(work, "fetch"), "")
    stage = Stage(
        name="fetch",
        folder=plan.folder,
        # Another list of public suffixes may send a domain to another part.
        settings={"max_page_bytes": settings.extract.max_page_bytes, "suffixes": version("tldextract")},
        inputs=[done["links"].digest()],
        parts=numbered([()] * parts),
        run=partial(fetch.run, plan),
        unit="links",
        shuffle=Shuffle(
            sources=numbered([path] for path in links),
            emit=partial(fetch.emit, parts),
            bytes=done["links"].tally.rows * fetch.RECORD_BYTES,
        ),
        expects={"taken": done["links"].tally.rows},
    )
    # The parts know their stage by its fingerprint, so that none continues what another stage began.
    return replace(stage, run=partial(fetch.run, replace(plan, fingerprint=stage.fingerprint)))


def _captures(settings: CorpusSettings, inputs: Inputs, work: str, done: Done) -> Stage:
    """Each web archive: an index of its responses."""
    return Stage(
        name="captures",
        folder=storage.join(work, "captures"),
        settings={"max_page_bytes": settings.extract.max_page_bytes},
        inputs=identities(inputs.archives),
        parts=numbered([found.path] for found in inputs.archives),
        run=partial(pages.index_archive, settings.extract.max_page_bytes),
        unit="records",
    )


def _index(settings: CorpusSettings, inputs: Inputs, work: str, done: Done) -> Stage | None:
    """Each file of Common Crawl's index: the rows that are captures of our links. Only where that is wanted."""
    if inputs.crawl is None:
        return None
    others = [done[name] for name in ("fetch", "captures") if name in done]
    return commoncrawl.index_stage(
        inputs.crawl,
        inputs.crawl_index,
        work,
        done["links"],
        others=[path for other in others for path in paths_of(work, done[other.stage], ".captures.parquet")],
        others_digest=" ".join(other.digest() for other in others),
    )


def _commoncrawl(settings: CorpusSettings, inputs: Inputs, work: str, done: Done) -> Stage | None:
    """The links of one part: their nearest captures, copied out of Common Crawl into archives of our own."""
    if inputs.crawl is None:
        return None
    limit = settings.extract.max_page_bytes
    return commoncrawl.capture_stage(inputs.crawl, limit, work, done["links"], done["index"])


def _pages(settings: CorpusSettings, inputs: Inputs, work: str, done: Done) -> Stage:
    """Links meet captures by link key; the capture nearest to the first post becomes the page."""
    sources = [done[name] for name in ("fetch", "captures", "commoncrawl") if name in done]
    tables = [path for source in sources for path in paths_of(work, done[source.stage], ".captures.parquet")]
    archives = [
        path
        for source in sources
        for path in (
            [found.path for found in inputs.archives]
            if source.stage == "captures"
            else paths_of(work, done[source.stage], ".warc.gz")
        )
    ]
    captures = sum(source.tally.rows for source in sources)
    return Stage(
        name="pages",
        folder=storage.join(work, "pages"),
        settings={},
        inputs=[done["links"].digest(), *(source.digest() for source in sources)],
        parts=numbered([path] for path in paths_of(work, done["links"], ".links.parquet")),
        run=partial(pages.choose, archives),
        unit="links",
        shuffle=Shuffle(
            sources=numbered([path] for path in tables),
            emit=partial(pages.emit, settings.parts),
            bytes=captures * pages.RECORD_BYTES,
        ),
        expects={"taken": done["links"].tally.rows, "captures": captures},
    )


def _documents(settings: CorpusSettings, inputs: Inputs, work: str, done: Done) -> Stage:
    """Each part of the page index: text, language, tokens, signature."""
    return documents.stage(settings.extract, work, done["pages"], work)


def _texts(settings: CorpusSettings, inputs: Inputs, work: str, done: Done) -> Stage:
    """Instead of all the above: texts that a person has, sorted into hash ranges of their URLs or ids."""
    plan, files = _text_plan(settings, inputs)
    return Stage(
        name="texts",
        folder=storage.join(work, "texts"),
        settings=asdict(plan),
        inputs=identities(files),
        parts=numbered(texts.groups(files)),
        run=partial(texts.read, plan),
        unit="records",
    )


def _text_documents(settings: CorpusSettings, inputs: Inputs, work: str, done: Done) -> Stage:
    """Each hash range: one text of each URL or id, its language, tokens, signature."""
    plan, _ = _text_plan(settings, inputs)
    return Stage(
        name="documents",
        folder=storage.join(work, "documents"),
        settings=asdict(settings.extract),
        inputs=[done["texts"].digest()],
        parts=numbered([paths_of(work, done["texts"], ".texts.arrow")] * settings.parts),
        run=partial(text_documents.run, settings.extract, plan),
        unit="texts",
        expects={"taken": done["texts"].tally.rows},
    )


def _text_plan(settings: CorpusSettings, inputs: Inputs) -> tuple[texts.Plan, Sequence[storage.Found]]:
    assert inputs.texts
    files = inputs.texts.files
    return texts.Plan(inputs.texts.fields, inputs.texts.base, settings.parts, texts.share(files, settings.parts)), files


def _final(done: Done) -> StageManifest:
    """The documents with the text that the corpus has."""
    return done.get(paragraphs.STAGE, done["documents"])


_FROM_LINKS = (_posts, _links, _fetch, _captures, _index, _commoncrawl, _pages, _documents)
_FROM_TEXTS = (_texts, _text_documents)


def _shards(settings: CorpusSettings, work: str, done: Done) -> Stage:
    """The kept documents as Arrow token shards and as text."""
    clusters = done["clusters"]
    counts = {name: clusters.tally.counts.get(name, 0) for name in _SHARD_COUNTS}
    plans = [
        shards.plan(split, counts[f"{split}_tokens"], settings.parts, settings.shards) for split in ("train", "val")
    ]
    texts = paths_of(work, done[_final(done).stage], ".documents.parquet")
    decisions = paths_of(work, done["clusters"], ".decisions.parquet")
    return Stage(
        name=shards.STAGE,
        folder=storage.join(work, shards.STAGE),
        settings={},
        inputs=[clusters.digest()],
        parts=shards.shard_parts(plans, texts, decisions),
        run=shards.run,
        unit="documents",
        expects={"taken": clusters.tally.rows, **counts},
        data_folder=storage.join(work, CORPUS),
    )


_SHARD_COUNTS = ("train_documents", "train_tokens", "val_documents", "val_tokens")


FLOW = ("posts", "links", "pages", "documents", "clusters", "shards")  # the stages that a link passes, in order
TEXT_FLOW = ("texts", "documents", "clusters", "shards")  # and those that a given text passes


def flow(of_texts: bool, dedup_paragraphs: object) -> tuple[str, ...]:
    """The stages that a record of a build passes, in order.

    Args:
        of_texts: whether it is a build from texts.
        dedup_paragraphs: the setting dedup.paragraphs, or None where a build is too old to have it.
    """
    stages = TEXT_FLOW if of_texts else FLOW
    after = stages.index("documents") + 1
    return (*stages[:after], paragraphs.STAGE, *stages[after:]) if dedup_paragraphs else stages


def corpus_manifest(settings: CorpusSettings, inputs: Inputs, done: Done) -> CorpusManifest:
    """The manifest of a complete build.

    The ledgers of the stages that a link passes are content. Those of the captures and candidates count archive
    records and hashes, which may differ when the same pages come in other files, so they are told with the build.
    """
    passed = flow(bool(inputs.texts), settings.dedup.paragraphs)
    return CorpusManifest(
        config=asdict(settings),
        stages={name: done[name].tally for name in passed},
        shards=tuple(_token_shard(receipt) for receipt in done[shards.STAGE].receipts),
        texts=tuple(done[shards.STAGE].named(shards.TEXT)),
        build={
            "libraries": versions(),
            "submissions": [found.path for found in inputs.submissions],
            "archives": [found.path for found in inputs.archives],
            **({"documents": [found.path for found in inputs.texts.files]} if inputs.texts else {}),
            "stages": [{"stage": name, **asdict(done[name].tally)} for name in done if name not in passed],
        },
    )


def _token_shard(receipt: Receipt) -> TokenShard:
    [file] = (file for file in receipt.files if file.name.endswith(shards.TOKENS))
    split = receipt.part.split("-")[0]
    tokens = receipt.tally.counts[f"{split}_tokens"]
    return TokenShard(file.name, split, file.rows, tokens, file.bytes, file.sha256)
