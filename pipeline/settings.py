"""The settings of each stage. Every field here can change the corpus and is part of its manifest; nothing else is.

Standard library only, so that `--help` costs nothing. The presets give the source of each value.
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class LinkSettings:
    """Which Reddit posts make a link."""

    score: int = 3
    """Least karma of a link."""
    score_rule: Literal["per-post", "summed"] = "per-post"
    """Hold the threshold against the best single post, or against the sum over all posts of the URL."""
    until: str = "2017-12-31"
    """Last day (UTC, YYYY-MM-DD) whose posts count; empty for no limit."""
    over_18: bool = True
    """Keep posts that are marked as not safe for work."""
    blocked_domains: Literal["webtext", "openwebtext", "none"] = "webtext"
    """List of domains whose links are dropped, sub-domains included (pipeline/data/domains-NAME.tsv)."""
    blocked_file_types: Literal["default", "none"] = "default"
    """List of path endings whose links are dropped (pipeline/data/file-types-NAME.tsv)."""


@dataclass(frozen=True)
class ExtractSettings:
    """How a page becomes text, and which texts stay."""

    max_page_bytes: int = 2_000_000
    """Largest page in bytes after decoding of transfer and content encodings."""
    cpu_seconds: float = 20.0
    """CPU time that one page may take, in seconds: not wall time, so that a busy machine gives the same corpus."""
    memory_mib: int = 2048
    """Address space of an extraction process, in MiB."""
    favor_recall: bool = False
    """Ask trafilatura for more text at the risk of boilerplate."""
    language_probability: float = 0.5
    """Least probability that the text is English, 0 to 1; 0 keeps every language."""
    min_tokens: int = 128
    """Least number of GPT-2 tokens of a document."""


@dataclass(frozen=True)
class DedupSettings:
    """Which documents are copies of one another."""

    threshold: float = 0.5
    """Least estimated Jaccard similarity of the 5-word shingles of copies; above 1 only exact copies are dropped."""


@dataclass(frozen=True)
class ShardSettings:
    """How the kept documents are laid out."""

    tokens: int = 100_000_000
    """Tokens that a training shard aims at (2 bytes each)."""
    val_fraction: float = 0.0005
    """Share of the document clusters that go to the validation split."""
    seed: int = 0
    """Of the hash that chooses the validation split."""


@dataclass(frozen=True)
class CorpusSettings:
    """Everything that decides the content of a corpus, beside the inputs and the library versions."""

    links: LinkSettings = field(default_factory=LinkSettings)
    extract: ExtractSettings = field(default_factory=ExtractSettings)
    dedup: DedupSettings = field(default_factory=DedupSettings)
    shards: ShardSettings = field(default_factory=ShardSettings)
    parts: int = 64
    """Partitions of the links by hash: the unit of work and of restart. About 25,000 links each is comfortable."""
