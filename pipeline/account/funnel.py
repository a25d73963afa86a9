"""The funnel of a build: each stage with what it took and every reason for which something was lost, in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from webtext.schemas.manifest import CorpusManifest, Tally
from webtext.schemas.records import Reason


@dataclass(frozen=True, slots=True)
class _Words:
    """What a stage does, for people."""

    title: str
    takes: str  # what its ledger counts
    rows: str = ""  # what the records that pass become, where that is something else
    lost: str = "do not go on"  # what is told of those that don't pass


_STAGES: Final[Mapping[str, _Words]] = {
    "posts": _Words("Read the posts", "lines", "posts"),
    "links": _Words("Merge posts into links", "posts", "links"),
    "fetch": _Words("Ask the live web", "links", "captures", "brought no page"),
    "captures": _Words("Index the archives", "records", "captures"),
    "index": _Words("Search Common Crawl's index", "captures"),
    "commoncrawl": _Words("Copy pages out of Common Crawl", "captures", "nearest captures"),
    "pages": _Words("Find a page for each link", "links", "pages"),
    "documents": _Words("Extract the text", "pages", "documents"),
    "lines": _Words("Hash the lines", "documents", "lines"),
    "repeats": _Words("Find lines that repeat over a domain", "lines", "lines to drop or keep"),
    "paragraphs": _Words("Drop lines that repeat over a domain", "documents"),
    "candidates": _Words("Look for copies", "band hashes", "pairs of documents"),
    "offers": _Words("Send what is compared", "pairs of documents", "different pairs"),
    "pairs": _Words("Compare the pairs", "pairs of documents", "pairs of copies"),
    "accuracy": _Words("Measure how copies are found", "documents"),
    "labels": _Words("Find the clusters", "pairs of copies", "documents with copies"),
    "members": _Words("Gather the clusters", "documents with copies"),
    "copies": _Words("Choose what is kept", "documents with copies", "clusters"),
    "clusters": _Words("Drop the copies", "documents"),
    "shards": _Words("Write the shards", "documents"),
}

_RULE: Final = "rule "  # begins the name of a count of what one rule of a filter refused

_OF_TEXTS: Final = {
    **_STAGES,
    "texts": _Words("Read the texts", "records", "texts"),
    "documents": _Words("Judge the texts", "texts", "documents"),
}


@dataclass(frozen=True, slots=True)
class FunnelRow:
    """One stage of the funnel: `taken` = `passed` + the sum of `reasons`."""

    stage: str
    title: str
    unit: str  # of `taken`, `passed` and `reasons`
    taken: int
    passed: int
    reasons: tuple[tuple[Reason, int], ...]  # most frequent first, then by name
    rules: tuple[tuple[str, int], ...]  # of the published filters that refused, in order of their names
    becomes: str  # what passed, in words: "8 posts, which are 5 links"
    fate: str = "do not go on"  # of those that did not

    @property
    def lost(self) -> int:
        """How many did not pass."""
        return self.taken - self.passed


def funnel_rows(manifest: CorpusManifest) -> list[FunnelRow]:
    """The stages that a link passes, in order, with every reason for which something was lost."""
    return [funnel_row(stage, tally, "texts" in manifest.stages) for stage, tally in manifest.stages.items()]


def funnel_row(stage: str, tally: Tally, of_texts: bool = False) -> FunnelRow:
    """One stage; `of_texts` in a build from texts."""
    words = (_OF_TEXTS if of_texts else _STAGES).get(stage, _Words(stage, "records"))
    reasons = sorted(((Reason(name), count) for name, count in tally.rejected.items()), key=lambda r: (-r[1], r[0]))
    becomes = f"{tally.passed:,} {words.takes}"
    if words.rows and tally.rows == tally.passed:
        becomes = f"{tally.rows:,} {words.rows}"
    elif words.rows:
        becomes += f", which are {tally.rows:,} {words.rows}"
    rules = tuple((name.removeprefix(_RULE), count) for name, count in tally.counts.items() if name.startswith(_RULE))
    return FunnelRow(
        stage, words.title, words.takes, tally.taken, tally.passed, tuple(reasons), rules, becomes, words.lost
    )


def beside(manifest: CorpusManifest, stage: str) -> Tally:
    """The ledger of a stage that no link passes; an empty one where the manifest has none."""
    found = manifest.build.get("stages")
    for entry in found if isinstance(found, list) else []:
        if isinstance(entry, dict) and entry.get("stage") == stage:
            counts = entry.get("counts")
            numbers = {str(name): number for name, number in counts.items()} if isinstance(counts, dict) else {}
            return Tally(counts={name: number for name, number in numbers.items() if isinstance(number, int)})
    return Tally()
