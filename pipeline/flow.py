"""The stages of a build, in order: the only list of them.

A stage's name is that of its folder and of its ledger. Who wants to know what a stage is called, what it counts, or
which stages a link passes asks here; what a stage does is in the room that makes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

CORPUS: Final = "corpus"
"""Folder of the corpus in the work directory."""

POSTS: Final = "posts"
LINKS: Final = "links"
FETCH: Final = "fetch"
CAPTURES: Final = "captures"
INDEX: Final = "index"
COMMONCRAWL: Final = "commoncrawl"
DETOURS: Final = "detours"
PAGES: Final = "pages"
ROBOTS: Final = "robots"
TEXTS: Final = "texts"
DOCUMENTS: Final = "documents"
LINES: Final = "lines"
REPEATS: Final = "repeats"
PARAGRAPHS: Final = "paragraphs"
CANDIDATES: Final = "candidates"
OFFERS: Final = "offers"
PAIRS: Final = "pairs"
ACCURACY: Final = "accuracy"
LABELS: Final = "labels"
MEMBERS: Final = "members"
CLUSTERS: Final = "clusters"
DECISIONS: Final = "decisions"
SHARDS: Final = "shards"

# Endings of the files that one room hands to another.
POSTS_FILE: Final = ".posts.arrow"
MONTHS_TABLE: Final = ".months.parquet"
LINKS_TABLE: Final = ".links.parquet"
CAPTURES_TABLE: Final = ".captures.parquet"
ARCHIVE: Final = ".warc.gz"
DETOURS_TABLE: Final = ".detours.parquet"
ANSWERS_TABLE: Final = ".answers.parquet"
PAGES_TABLE: Final = ".pages.parquet"
ROBOTS_FOUND: Final = ".robots.arrow"
ROBOTS_OF_PAGES: Final = ".of-pages.arrow"
DOCUMENTS_TABLE: Final = ".documents.parquet"
CLUSTERS_TABLE: Final = ".clusters.parquet"
DECISIONS_TABLE: Final = ".decisions.parquet"


# Beginnings of the names of counts that tell more of why something was lost.
RULE: Final = "rule "  # of a filter
KIND: Final = "kind of page: "  # of a document
OPT_OUT: Final = "opt-out "  # by its signal


@dataclass(frozen=True, slots=True)
class Step:
    """One stage, for people and for those that account for records."""

    name: str
    title: str  # what it does
    takes: str  # what its ledger counts
    makes: str = ""  # what the records that pass become, where that is something else
    lost: str = "do not go on"  # what is told of those that don't pass
    passed: bool = False  # whether each link, or given text, passes it
    refuses: bool = False  # whether what it rejects are links, or given texts
    by_key: bool = False  # whether its parts are ranges of link keys


STEPS: Final = (
    Step(POSTS, "Read the posts", "lines", "posts", passed=True, refuses=True),
    Step(LINKS, "Merge posts into links", "posts", "links", passed=True, refuses=True, by_key=True),
    Step(FETCH, "Ask the live web", "links", "captures", "brought no page", refuses=True),
    Step(CAPTURES, "Index the archives", "records", "captures"),
    Step(INDEX, "Search Common Crawl's index", "captures"),
    Step(COMMONCRAWL, "Copy pages out of Common Crawl", "captures", "nearest captures"),
    Step(DETOURS, "Follow redirects and revisits", "detours", "pages elsewhere"),
    Step(PAGES, "Find a page for each link", "links", "pages", passed=True, refuses=True, by_key=True),
    Step(ROBOTS, "Find robots.txt beside the pages", "pages", "pages with a robots.txt"),
    Step(DOCUMENTS, "Extract the text", "pages", "documents", passed=True, refuses=True, by_key=True),
    Step(LINES, "Hash the lines", "documents", "lines"),
    Step(REPEATS, "Find lines that repeat over a domain", "lines", "lines to drop or keep"),
    Step(PARAGRAPHS, "Drop lines that repeat over a domain", "documents", passed=True, refuses=True, by_key=True),
    Step(CANDIDATES, "Look for copies", "band hashes", "pairs of documents"),
    Step(OFFERS, "Send what is compared", "pairs of documents", "different pairs"),
    Step(PAIRS, "Compare the pairs", "pairs of documents", "pairs of copies"),
    Step(ACCURACY, "Measure how copies are found", "documents"),
    Step(LABELS, "Find the clusters", "pairs of copies", "documents with copies"),
    Step(MEMBERS, "Gather the clusters", "documents with copies"),
    Step(CLUSTERS, "Choose what is kept", "documents with copies", "clusters"),
    Step(DECISIONS, "Drop the copies", "documents", passed=True, refuses=True),
    Step(SHARDS, "Write the shards", "documents", passed=True),
)
"""A build from links. More rounds than one of the clusters' search are stages stars-00, stars-01, ..., and those behind
the first over detours are detours-01, ..."""

_SOURCES: Final = {POSTS, LINKS, FETCH, CAPTURES, INDEX, COMMONCRAWL, DETOURS, PAGES, ROBOTS, DOCUMENTS}
STEPS_OF_TEXTS: Final = (
    Step(TEXTS, "Read the texts", "records", "texts", passed=True, refuses=True),
    Step(DOCUMENTS, "Judge the texts", "texts", "documents", passed=True, refuses=True, by_key=True),
    *(step for step in STEPS if step.name not in _SOURCES),
)
"""A build from given texts."""

TEXTS_CLAIM: Final = "input documents"
"""An entry of a work directory's claim that a build from texts has."""


def steps(of_texts: bool) -> Mapping[str, Step]:
    """The stages of a build by name, in order."""
    return {step.name: step for step in (STEPS_OF_TEXTS if of_texts else STEPS)}


def passed(of_texts: bool, dedup_paragraphs: object) -> tuple[str, ...]:
    """The stages that a record of a build passes, in order.

    Args:
        of_texts: whether it is a build from texts.
        dedup_paragraphs: the setting dedup.paragraphs, or None where a build is too old to have it.
    """
    found = (step.name for step in steps(of_texts).values() if step.passed)
    return tuple(name for name in found if dedup_paragraphs or name != PARAGRAPHS)
