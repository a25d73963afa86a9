"""The part of the recipe that looks for copies: from the documents to the decision on each of them.

Only hashes and ids go through an engine's shuffle; what else has to travel takes files (see exchange.py). A part of
each stage is a group of about 10,000 documents, so no process ever holds more, however large the corpus is.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial

from webtext.pipeline.dedup import accuracy, candidates, clusters, decisions, labels, stars, verification
from webtext.pipeline.dedup.groups import DEFAULT, Groups, Sizes
from webtext.pipeline.engine import exchange
from webtext.pipeline.engine.stage import Shuffle, Stage, numbered, paths_of
from webtext.pipeline.files import storage
from webtext.pipeline.flow import ACCURACY, CANDIDATES, CLUSTERS, DECISIONS, MEMBERS, OFFERS, PAIRS
from webtext.pipeline.settings import CorpusSettings
from webtext.schemas.manifest import StageManifest


def find_copies(
    settings: CorpusSettings,
    work: str,
    documents: StageManifest,
    run: Callable[[Stage], StageManifest],
    sizes: Sizes = DEFAULT,
) -> dict[str, StageManifest]:
    """Run all stages from the documents to the decision on each of them; gives their manifests.

    Raises:
        StageError: a stage failed, or more would be lost as copies than the settings allow.
    """
    recipe = _Recipe(settings, work, documents, Groups.of_stage(work, documents, sizes))
    found = run(recipe.candidates())
    offers = run(recipe.offers(found))
    pairs = run(recipe.pairs(offers))
    labelled = labels.label(work, pairs, len(documents.receipts), run)
    measured = run(recipe.accuracy(found, pairs))
    members = run(recipe.members(labelled))
    chosen = run(recipe.clusters(members))
    decided = run(recipe.decisions(chosen))
    decisions.check_domains(settings.dedup, paths_of(work, decided, ".domains.parquet"))
    done = (found, offers, pairs, labelled, measured, members, chosen, decided)
    return {manifest.stage: manifest for manifest in done}


@dataclass(frozen=True, slots=True)
class _Recipe:
    """The stages over these documents, each made from the manifests of those that it reads."""

    settings: CorpusSettings
    work: str
    documents: StageManifest
    groups: Groups

    def candidates(self) -> Stage:
        """Pairs of documents that share a band of their signatures."""
        parts = numbered([{}] * self.groups.count)
        records = self.documents.tally.rows * candidates.RECORDS_PER_DOCUMENT
        return Stage(
            name=CANDIDATES,
            folder=storage.join(self.work, CANDIDATES),
            settings={},
            inputs=[self.documents.digest()],
            parts=parts,
            run=Shuffle(
                sources=parts,
                emit=partial(candidates.emit_candidates, self.groups),
                bytes=records * candidates.RECORD_BYTES,
                run=partial(candidates.run_candidates, self.groups),
            ),
            unit="band hashes",
            expects={"taken": records},
        )

    def offers(self, found: StageManifest) -> Stage:
        """What is compared of the first document of each pair, on its way to the second."""
        run = partial(verification.run_offers, self.settings.dedup, self.groups)
        return self._exchange(OFFERS, found, {"method": self.settings.dedup.method}, run, "pairs")

    def pairs(self, offers: StageManifest) -> Stage:
        """Only pairs that are similar enough stay."""
        run = partial(verification.run_pairs, self.settings.dedup, self.groups)
        return self._exchange(PAIRS, offers, self._how(), run, "pairs")

    def accuracy(self, found: StageManifest, pairs: StageManifest) -> Stage:
        """How well copies are found here: measured in each build, because it depends on the corpus."""
        inputs = {
            "candidates": paths_of(self.work, found, exchange.ENDING, filled=True),
            "pairs": stars.edges_of(self.work, pairs),
        }
        return Stage(
            name=ACCURACY,
            folder=storage.join(self.work, ACCURACY),
            settings=self._how(),
            inputs=[self.documents.digest(), pairs.digest()],
            parts=numbered([inputs]),
            run=partial(accuracy.run_accuracy, self.settings.dedup, self.groups),
            unit="documents",
            expects={"taken": self.groups.documents},
        )

    def members(self, labelled: StageManifest) -> Stage:
        """The documents of clusters, on their way to the group that decides on their cluster."""
        paths = labels.by_documents_part(paths_of(self.work, labelled, labels.LABELS_TABLE))
        inputs = [
            {"labels": [paths[ordinal] for ordinal, _ in self.groups[group] if ordinal in paths]}
            for group in range(self.groups.count)
        ]
        return Stage(
            name=MEMBERS,
            folder=storage.join(self.work, MEMBERS),
            settings={"method": self.settings.dedup.method},
            inputs=[self.documents.digest(), labelled.digest()],
            parts=numbered(inputs),
            run=partial(clusters.run_members, self.settings.dedup, self.groups),
            unit="documents",
            expects={"taken": labelled.tally.rows},
        )

    def clusters(self, members: StageManifest) -> Stage:
        """Of each cluster one document is kept."""
        run = partial(clusters.run_clusters, self.settings.dedup, self.groups)
        dedup = self.settings.dedup
        how = {"method": dedup.method, "max_cluster_share": dedup.max_cluster_share}
        return self._exchange(CLUSTERS, members, how, run, "documents")

    def decisions(self, chosen: StageManifest) -> Stage:
        """The decision on each document, and the validation split."""
        run = partial(decisions.run_decisions, self.settings.shards, self.groups)
        stage = self._exchange(DECISIONS, chosen, asdict(self.settings.shards), run, "documents")
        dropped = chosen.tally.taken - chosen.tally.rows
        return replace(stage, expects={"taken": self.documents.tally.rows, "copies": dropped})

    def _how(self) -> dict[str, object]:
        return {"method": self.settings.dedup.method, "threshold": self.settings.dedup.threshold}

    def _exchange(
        self, name: str, before: StageManifest, settings: Mapping[str, object], run: Callable[..., None], unit: str
    ) -> Stage:
        """A stage of one part per group that reads what the stage before it sent."""
        sent = paths_of(self.work, before, exchange.ENDING, filled=True)
        return Stage(
            name=name,
            folder=storage.join(self.work, name),
            settings=settings,
            inputs=[self.documents.digest(), before.digest()],
            parts=numbered([{"sent": sent}] * self.groups.count),
            run=run,
            unit=unit,
            expects={"taken": before.tally.rows},
        )
