"""The part of the recipe that looks for copies: from the documents to the decision on each of them.

Only hashes and ids go through an engine's shuffle; what else has to travel takes files (see exchange.py). A part of
each stage is a group of about 10,000 documents, so no process ever holds more, however large the corpus is.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial

from pipeline import accuracy, candidates, copies, decisions, exchange, labels, stars, storage, verification
from pipeline.groups import Groups
from pipeline.settings import CorpusSettings
from pipeline.stage import Shuffle, Stage, numbered, paths_of
from schemas.manifest import StageManifest

Done = Mapping[str, StageManifest]


def find_copies(
    settings: CorpusSettings, work: str, documents: StageManifest, run: Callable[[Stage], StageManifest]
) -> dict[str, StageManifest]:
    """Run all stages from the documents to the decision on each of them; gives their manifests.

    Raises:
        StageError: a stage failed, or more would be lost as copies than the settings allow.
    """
    done = {"documents": documents}

    def step(stage: Stage) -> None:
        done[stage.name] = run(stage)

    step(_candidates(settings, work, done))
    step(_offers(settings, work, done))
    step(_pairs(settings, work, done))
    done["labels"] = labels.label(work, done["pairs"], len(documents.receipts), run)
    step(_accuracy(settings, work, done))
    step(_members(settings, work, done))
    step(_copies(settings, work, done))
    step(_clusters(settings, work, done))
    decisions.check_domains(settings.dedup, paths_of(work, done[decisions.STAGE], ".domains.parquet"))
    return done


def _candidates(settings: CorpusSettings, work: str, done: Done) -> Stage:
    """Pairs of documents that share a band of their signatures."""
    groups = Groups.of_stage(work, done["documents"])
    records = done["documents"].tally.rows * candidates.RECORDS_PER_DOCUMENT
    return Stage(
        name=candidates.STAGE,
        folder=storage.join(work, candidates.STAGE),
        settings={},
        inputs=[done["documents"].digest()],
        parts=numbered([()] * groups.count),
        run=partial(candidates.find, groups),
        unit="band hashes",
        shuffle=Shuffle(
            sources=numbered([()] * groups.count),
            emit=partial(candidates.emit, groups),
            bytes=records * candidates.RECORD_BYTES,
        ),
        expects={"taken": records},
    )


def _offers(settings: CorpusSettings, work: str, done: Done) -> Stage:
    """What is compared of the first document of each pair, on its way to the second."""
    run = partial(verification.offer, settings.dedup, Groups.of_stage(work, done["documents"]))
    return _exchange("offers", "candidates", {"method": settings.dedup.method}, work, done, run=run, unit="pairs")


def _pairs(settings: CorpusSettings, work: str, done: Done) -> Stage:
    """Only pairs that are similar enough stay."""
    run = partial(verification.compare, settings.dedup, Groups.of_stage(work, done["documents"]))
    how = {"method": settings.dedup.method, "threshold": settings.dedup.threshold}
    return _exchange("pairs", "offers", how, work, done, run=run, unit="pairs")


def _accuracy(settings: CorpusSettings, work: str, done: Done) -> Stage:
    """How well copies are found here: measured in each build, because it depends on the corpus."""
    groups = Groups.of_stage(work, done["documents"])
    sent = paths_of(work, done[candidates.STAGE], exchange.ENDING, filled=True)
    verified = stars.edges_of(work, done["pairs"])
    return Stage(
        name=accuracy.STAGE,
        folder=storage.join(work, accuracy.STAGE),
        settings={"method": settings.dedup.method, "threshold": settings.dedup.threshold},
        inputs=[done["documents"].digest(), done["pairs"].digest()],
        parts=numbered([[*sent, *verified]]),
        run=partial(accuracy.run, settings.dedup, groups),
        unit="documents",
        expects={"taken": groups.documents},
    )


def _members(settings: CorpusSettings, work: str, done: Done) -> Stage:
    """The documents of clusters, on their way to the group that decides on their cluster."""
    groups = Groups.of_stage(work, done["documents"])
    found = done["labels"]
    paths = {
        file.name.split(".")[0]: storage.join(work, "labels", file.name) for file in found.named(".labels.parquet")
    }
    inputs = [
        [paths[f"{ordinal:05d}"] for ordinal, _ in groups[group] if f"{ordinal:05d}" in paths]
        for group in range(groups.count)
    ]
    return Stage(
        name="members",
        folder=storage.join(work, "members"),
        settings={"method": settings.dedup.method},
        inputs=[done["documents"].digest(), found.digest()],
        parts=numbered(inputs),
        run=partial(copies.send, settings.dedup, groups),
        unit="documents",
        expects={"taken": found.tally.rows},
    )


def _copies(settings: CorpusSettings, work: str, done: Done) -> Stage:
    """Of each cluster one document is kept."""
    run = partial(copies.decide, settings.dedup, Groups.of_stage(work, done["documents"]))
    how = {"method": settings.dedup.method, "max_cluster_share": settings.dedup.max_cluster_share}
    return _exchange(copies.STAGE, "members", how, work, done, run=run, unit="documents")


def _clusters(settings: CorpusSettings, work: str, done: Done) -> Stage:
    """The decision on each document, and the validation split."""
    found = done[copies.STAGE]
    run = partial(decisions.decide, settings.shards, Groups.of_stage(work, done["documents"]))
    stage = _exchange(decisions.STAGE, copies.STAGE, asdict(settings.shards), work, done, run=run, unit="documents")
    dropped = found.tally.taken - found.tally.rows
    return replace(stage, expects={"taken": done["documents"].tally.rows, "copies": dropped})


def _exchange(
    name: str,
    after: str,
    settings: Mapping[str, object],
    work: str,
    done: Done,
    *,
    run: Callable[..., None],
    unit: str,
) -> Stage:
    """A stage of one part per group that reads what the stage before it sent."""
    before = done[after]
    sent = paths_of(work, before, exchange.ENDING, filled=True)
    return Stage(
        name=name,
        folder=storage.join(work, name),
        settings=settings,
        inputs=[done["documents"].digest(), before.digest()],
        parts=numbered([sent] * Groups.of_stage(work, done["documents"]).count),
        run=run,
        unit=unit,
        expects={"taken": before.tally.rows},
    )
