"""What a build knows of itself: what came in, what was lost at each stage and why, what the corpus holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webtext.pipeline import flow
from webtext.pipeline.account import findings
from webtext.pipeline.account.findings import Clusters, Example, Kept
from webtext.pipeline.engine import workdir
from webtext.pipeline.engine.stage import REJECTED, paths_of
from webtext.pipeline.files import storage
from webtext.pipeline.links import health
from webtext.pipeline.links.health import Month
from webtext.schemas.manifest import CORPUS_MANIFEST, MAX_BYTES, CorpusManifest, ManifestError, StageManifest, Tally

_EXAMPLES = 3  # of each reason
_DOMAINS = 20
_CLUSTERS = 10


def read_manifest(work: str) -> CorpusManifest:
    """The manifest of the corpus in a work directory.

    Raises:
        ValueError: there is none, or it is damaged.
    """
    path = storage.join(work, flow.CORPUS, CORPUS_MANIFEST)
    if not storage.exists(path):
        raise ValueError(f"{path} is missing: {work!r} is not the --work of a complete build")
    try:
        return CorpusManifest.from_json(storage.read_bytes(path, MAX_BYTES + 1))
    except ManifestError as error:
        raise ValueError(f"{path}: {error}. Build the corpus again") from error


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is told of a build."""

    manifest: CorpusManifest
    tallies: Mapping[str, Tally]  # of every stage, also of those that no link passes
    examples: Mapping[str, Mapping[str, Sequence[Example]]]  # lost records by stage and reason
    kept: Kept
    clusters: Clusters
    months: Sequence[Month] = ()  # of the posts that may make a link


def read_facts(work: str) -> Facts:
    """Read the manifests and stream the tables of a work directory.

    Raises:
        ValueError: the build is not complete, or a manifest is damaged.
        OSError: a table is missing.
    """
    manifest = read_manifest(work)
    beside = [str(entry.get("stage")) for entry in entries(manifest.build, "stages")]
    stages = {stage: _read_stage(work, stage) for stage in [*manifest.stages, *beside]}
    corpus = storage.join(work, flow.CORPUS)
    texts = [storage.join(corpus, text.name) for text in manifest.texts]
    clusters = paths_of(work, _read_stage(work, flow.CLUSTERS), flow.CLUSTERS_TABLE)
    return Facts(
        manifest,
        {stage: found.tally for stage, found in stages.items()},
        {
            stage: findings.examples(paths_of(work, found, f".{REJECTED}", filled=True), _EXAMPLES)
            for stage, found in stages.items()
        },
        findings.kept(texts, _DOMAINS),
        findings.clusters(clusters, _CLUSTERS),
        _read_months(work, manifest, stages[flow.POSTS]) if flow.POSTS in stages else (),
    )


def read_months(work: str) -> list[Month]:
    """The health of the input of a complete build, month by month. Raises as `read_facts` does."""
    manifest = read_manifest(work)
    return _read_months(work, manifest, _read_stage(work, flow.POSTS)) if flow.POSTS in manifest.stages else []


def _read_months(work: str, manifest: CorpusManifest, posts: StageManifest) -> list[Month]:
    links = manifest.config.get("links")
    score = links.get("score") if isinstance(links, Mapping) else None
    return health.read_months(paths_of(work, posts, flow.MONTHS_TABLE), score if isinstance(score, int) else 0)


def _read_stage(work: str, stage: str) -> StageManifest:
    found = workdir.finished(work, stage)
    if found is None:
        raise FileNotFoundError(f"{work!r} has no finished stage {stage!r}. Run the build again")
    return found


def entries(build: Mapping[str, Any], name: str) -> list[Any]:
    """A list in what a manifest says about its build, which is free-form: another version may have written it."""
    value = build.get(name)
    return value if isinstance(value, list) else []
