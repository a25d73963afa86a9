"""The settings of each stage. Every field here can change the corpus and is part of its manifest; nothing else is.

Standard library only, so that `--help` costs nothing. The presets give the source of each value.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal

FILTERS: Final = ("gopher", "c4", "fineweb")
"""The families of pipeline.text.filters."""

OPT_OUTS: Final = ("content-signal", "content-usage", "rsl", "tdmrep", "noai", "noimageai")
"""The signals of pipeline.opt_outs."""


def obeyed(opt_outs: str) -> frozenset[str]:
    """The signals that a setting names: "all", "none", or some with commas between them.

    Raises:
        ValueError: a name is none of them.
    """
    if opt_outs in ("all", "none"):
        return frozenset(OPT_OUTS if opt_outs == "all" else ())
    names = [name.strip() for name in opt_outs.split(",")]
    for name in names:
        if name not in OPT_OUTS:
            raise ValueError(
                f"opt_outs is {opt_outs!r}, expected all, none, or some of {', '.join(OPT_OUTS)} with commas between "
                f"them; {name!r} is none of them"
            )
    return frozenset(names)


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
    """List of domains whose links are dropped, sub-domains included (pipeline/links/data/domains-NAME.tsv)."""
    blocked_file_types: Literal["default", "none"] = "default"
    """List of path endings whose links are dropped (pipeline/links/data/file-types-NAME.tsv)."""

    def __post_init__(self) -> None:
        """Raises ValueError for a day that is none."""
        try:
            if self.until:
                date.fromisoformat(self.until)
        except ValueError as error:
            raise ValueError(
                f"links.until is {self.until!r}, expected a day as YYYY-MM-DD, or nothing for no limit"
            ) from error


@dataclass(frozen=True)
class ExtractSettings:
    """How a page becomes text, and which texts stay."""

    max_page_bytes: int = 10_000_000
    """Largest page in bytes after decoding of transfer and content encodings."""
    cpu_seconds: float = 20.0
    """CPU time that one page may take, in seconds: not wall time, so that a busy machine gives the same corpus."""
    memory_mib: int = 2048
    """Address space of an extraction process, in MiB."""
    favor_recall: bool = False
    """Take all sentences of a page, whatever its kind, at the risk of boilerplate."""
    language_probability: float = 0.5
    """Least probability that the text is English, 0 to 1; 0 keeps every language."""
    min_tokens: int = 128
    """Least number of GPT-2 tokens of a document."""
    filters: str = ""
    """Published filters, in the order in which they apply, with commas: gopher, c4, fineweb."""
    mask: bool = False
    """Replace e-mail addresses and public IPv4 addresses by stand-ins."""
    prefilter: bool = False
    """Drop pages by a cheaper extraction first. Pays where many pages are not English (docs/filters.md)."""
    opt_outs: str = "all"
    """Opt-outs that are obeyed (docs/opt-outs.md), wherever the page is from: all, none, or some of content-signal,
    content-usage, rsl, tdmrep, noai, noimageai, with commas."""
    walls: bool = True
    """Drop error pages, walls and parked domains that come instead of a page."""
    wikipedia: bool = True
    """Drop copies of Wikipedia articles."""

    @property
    def filter_families(self) -> tuple[str, ...]:
        """The families of `filters` in their order."""
        return tuple(name.strip() for name in self.filters.split(",")) if self.filters else ()

    def __post_init__(self) -> None:
        """Raises ValueError for a value out of its range."""
        families = self.filter_families
        for name in families:
            if name not in FILTERS or families.count(name) > 1:
                raise ValueError(
                    f"extract.filters is {self.filters!r}, expected some of {', '.join(FILTERS)}, each at most once, "
                    f"with commas between them; {name!r} is {'there twice' if name in FILTERS else 'none of them'}"
                )
        obeyed(self.opt_outs)
        _check("extract.max_page_bytes", self.max_page_bytes, 1, 2**30)
        _check("extract.cpu_seconds", self.cpu_seconds, 0.01, 86_400)
        _check("extract.memory_mib", self.memory_mib, 64, 2**20)
        _check("extract.language_probability", self.language_probability, 0, 1)
        _check("extract.min_tokens", self.min_tokens, 0, 2**31)


@dataclass(frozen=True)
class DedupSettings:
    """Which documents are copies of one another."""

    threshold: float = 0.5
    """Least Jaccard similarity of the 5-word shingles of copies; above 1 only exact copies are dropped."""
    method: Literal["shingles", "signature"] = "shingles"
    """What decides whether two candidates are copies: their shingles, or their signatures, which estimate."""
    max_cluster_share: float = 0.01
    """Largest share of all documents that one cluster of copies may have, from 1,000 documents on; else the build
    stops and shows it."""
    max_domain_loss: float = 0.9
    """Largest share of its documents that a domain of 1,000 documents and more may lose as copies; else the build
    stops and shows it."""
    paragraphs: int = 0
    """Number of documents of one registered domain from which on a line that they share is dropped from all of them
    but one; 0 for never. For example 3 (docs/paragraphs.md)."""
    paragraph_characters: int = 100
    """Length in characters of the shortest line that is dropped so."""

    def __post_init__(self) -> None:
        """Raises ValueError for a value out of its range."""
        _check("dedup.threshold", self.threshold, 0.01, 2)
        _check("dedup.max_cluster_share", self.max_cluster_share, 0, 1)
        _check("dedup.max_domain_loss", self.max_domain_loss, 0, 1)
        _check("dedup.paragraphs", self.paragraphs or 2, 2, 2**31)
        _check("dedup.paragraph_characters", self.paragraph_characters, 1, 2**31)


@dataclass(frozen=True)
class ShardSettings:
    """How the kept documents are laid out."""

    tokens: int = 100_000_000
    """Tokens that a training shard aims at (2 bytes each)."""
    val_fraction: float = 0.0005
    """Share of the document clusters that go to the validation split."""
    seed: int = 0
    """Of the hash that chooses the validation split."""

    def __post_init__(self) -> None:
        """Raises ValueError for a value out of its range."""
        _check("shards.tokens", self.tokens, 1, 2**31 - 1)
        _check("shards.val_fraction", self.val_fraction, 0, 1)
        _check("shards.seed", self.seed, 0, 2**64 - 1)

    def split_of(self, cluster: bytes) -> str:
        """Either "train" or "val", by a hash of the cluster, so that no copy of a validation document is in train."""
        digest = hashlib.blake2b(cluster, digest_size=8, salt=self.seed.to_bytes(16, "little")).digest()
        return "val" if int.from_bytes(digest, "big") < self.val_fraction * 2**64 else "train"


@dataclass(frozen=True)
class CorpusSettings:
    """Everything that decides the content of a corpus, beside the inputs and the library versions."""

    links: LinkSettings = field(default_factory=LinkSettings)
    extract: ExtractSettings = field(default_factory=ExtractSettings)
    dedup: DedupSettings = field(default_factory=DedupSettings)
    shards: ShardSettings = field(default_factory=ShardSettings)
    parts: int = 64
    """Partitions of the links by hash: the unit of work and of restart. About 25,000 links each is comfortable."""

    def __post_init__(self) -> None:
        """Raises ValueError for a value out of its range."""
        _check("parts", self.parts, 1, 2**16)


def _check(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:  # refuses NaN too
        raise ValueError(f"{name} is {value}, expected {least} to {most}")
