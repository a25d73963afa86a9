"""What a build says about itself: the receipt of one part, the manifest of one stage, the manifest of a corpus.

All are JSON in one canonical form (sorted keys), so that equal facts are equal bytes, with the digest of what they say:
a flipped bit is noticed. Readers treat them as hostile: every field is checked for its type, and a file name may not
leave its folder.
"""

import hashlib
import json
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from webtext.schemas.records import Reason, TokenShard

CORPUS_FORMAT: Final = "webtext-corpus/1"
CORPUS_MANIFEST: Final = "manifest.json"
STAGE_MANIFEST: Final = "manifest.json"
RECEIPT: Final = ".receipt.json"
"""What the name of a part's receipt ends in; the part's name is in front."""
MAX_BYTES: Final = 256 * 2**20  # a larger manifest is refused unread
_MOST: Final = 2**63 - 1  # of any count
_SHOWN: Final = 80  # characters of a wrong value


class ManifestError(ValueError):
    """A manifest or receipt that can't be trusted: not JSON, a wrong or missing field, a name that escapes."""


def canonical_json(value: object) -> bytes:
    """JSON bytes that are equal for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(value: object) -> str:
    """Hex sha256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file of this machine."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_local(path: Path, most: int = MAX_BYTES) -> bytes:
    """The bytes of a small file of this machine.

    Raises:
        ManifestError: it is a pipe or a device, which may never end, or has more than `most` bytes.
        OSError: it can't be read.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise ManifestError(f"{path} is no regular file")
    if about.st_size > most:
        raise ManifestError(f"{path} has {about.st_size} bytes, at most {most} are read")
    return path.read_bytes()


@dataclass(frozen=True, slots=True)
class File:
    """One published file. `name` is relative to the folder of the manifest that lists it."""

    name: str
    bytes: int
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class Tally:
    """The ledger of one part or one stage: `taken == passed + sum(rejected.values())`, each record counted once.

    `rows` is the number of rows in the main table, which is what the next stage takes: it differs from `passed` where
    records merge (many posts, one link). `counts` holds further figures that explain, and close no balance.
    """

    taken: int = 0
    passed: int = 0
    rows: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def balance(self) -> int:
        """Records that are unaccounted for: 0 in a closed ledger."""
        return self.taken - self.passed - sum(self.rejected.values())


def add_up(tallies: Iterable[Tally]) -> Tally:
    """The sum of many tallies, field by field."""
    taken = passed = rows = 0
    rejected: dict[str, int] = {}
    counts: dict[str, int] = {}
    for tally in tallies:
        taken += tally.taken
        passed += tally.passed
        rows += tally.rows
        for total, part in ((rejected, tally.rejected), (counts, tally.counts)):
            for name, number in part.items():
                total[name] = total.get(name, 0) + number
    return Tally(taken, passed, rows, dict(sorted(rejected.items())), dict(sorted(counts.items())))


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that one part of a stage is complete. Written last, so its files are there."""

    stage: str
    part: str
    fingerprint: str  # of the stage: a receipt of another configuration or of other inputs does not count
    tally: Tally
    files: tuple[File, ...]
    sums: dict[str, str] = field(default_factory=dict)
    """By the name of a file, the checksums of its blocks: see pipeline.files.checksums."""

    def to_json(self) -> bytes:
        """Canonical JSON, with its own digest."""
        return seal(asdict(self))

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """The receipt in `data`. Raises ManifestError."""
        d = unseal(data)
        sums = _mapping(d.get("sums"), "sums")
        return replace(cls._from_object(d), sums={name: _text(sums, name) for name in sums})

    @classmethod
    def _from_object(cls, value: object) -> Self:
        d = _mapping(value, "receipt")
        return cls(
            _text(d, "stage"), _text(d, "part"), _text(d, "fingerprint"), _tally(d.get("tally")), _files(d.get("files"))
        )

    def to_object(self) -> dict[str, Any]:
        """What it says, ready for JSON, but for the checksums of blocks."""
        said = asdict(self)
        del said["sums"]
        return said


@dataclass(frozen=True, slots=True)
class StageManifest:
    """A complete stage: what it was made with, and the receipts of its parts in their order, without checksums."""

    stage: str
    fingerprint: str
    receipts: tuple[Receipt, ...]

    def to_json(self) -> bytes:
        """Canonical JSON, with its own digest."""
        return seal(self._to_object())

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """The manifest in `data`. Raises ManifestError."""
        d = unseal(data)
        receipts = tuple(Receipt._from_object(entry) for entry in _list(d.get("receipts"), "receipts"))
        return cls(_text(d, "stage"), _text(d, "fingerprint"), receipts)

    @property
    def tally(self) -> Tally:
        """The ledger of the whole stage."""
        return add_up(receipt.tally for receipt in self.receipts)

    def digest(self) -> str:
        """Hex sha256: equal for stages with equal results."""
        return digest_of(self._to_object())

    def _to_object(self) -> dict[str, Any]:
        receipts = [receipt.to_object() for receipt in self.receipts]
        return {"stage": self.stage, "fingerprint": self.fingerprint, "receipts": receipts}

    def named(self, ending: str) -> list[File]:
        """The files whose name ends so, in order of their names."""
        files = (file for receipt in self.receipts for file in receipt.files)
        return sorted((file for file in files if file.name.endswith(ending)), key=lambda file: file.name)


@dataclass(frozen=True, slots=True)
class CorpusManifest:
    """`manifest.json` of a corpus.

    `config`, `stages`, `shards` and `texts` are the content part: equal for equal inputs, whatever the engine, the
    number of workers or the split of the inputs over files. `build` says how this copy came about, and may differ.
    """

    config: dict[str, Any]
    stages: dict[str, Tally]  # in the order of the recipe
    shards: tuple[TokenShard, ...]
    texts: tuple[File, ...]
    build: dict[str, Any]

    def content(self) -> dict[str, Any]:
        """The content part, ready for JSON."""
        return {
            "config": self.config,
            "stages": [{"stage": name, **asdict(tally)} for name, tally in self.stages.items()],
            "shards": [asdict(shard) for shard in self.shards],
            "texts": [asdict(text) for text in self.texts],
        }

    def content_sha256(self) -> str:
        """Hex sha256 of the canonical JSON of the content part."""
        return digest_of(self.content())

    def to_json(self) -> bytes:
        """Indented JSON with the digests of its own parts."""
        whole = {
            "format": CORPUS_FORMAT,
            "content_sha256": self.content_sha256(),
            "content": self.content(),
            "build": self.build,
            "build_sha256": digest_of(self.build),
        }
        return json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """The manifest in `data`.

        Raises:
            ManifestError: it is malformed, or one of its parts does not match its own digest.
        """
        d = read_object(data)
        if d.get("format") != CORPUS_FORMAT:
            raise ManifestError(f"format is {d.get('format')!r}, this version reads {CORPUS_FORMAT!r}")
        content = _mapping(d.get("content"), "content")
        stages = _list(content.get("stages"), "stages")
        manifest = cls(
            config=_mapping(content.get("config"), "config"),
            stages={_text(_mapping(s, "stage"), "stage"): _tally(s) for s in stages},
            shards=tuple(_shard(s) for s in _list(content.get("shards"), "shards")),
            texts=_files(content.get("texts")),
            build=_mapping(d.get("build"), "build"),
        )
        # The digest is of the document as it stands, so an edit to a field that this version ignores is found too.
        names = [shard.name for shard in manifest.shards] + [text.name for text in manifest.texts]
        if len(set(names)) < len(names):
            raise ManifestError(f"{Counter(names).most_common(1)[0][0]} is listed twice")
        check_digest("content part", content, d.get("content_sha256"))
        # Corpora of older versions have no digest of this part.
        check_digest("build part", manifest.build, d.get("build_sha256", digest_of(manifest.build)))
        return manifest


def seal(value: dict[str, Any]) -> bytes:
    """Canonical JSON of an object with its own digest, so that a flipped bit is noticed."""
    return canonical_json({**value, "sha256": digest_of(value)})


def unseal(data: bytes) -> dict[str, Any]:
    """The object that `seal` was given. Raises ManifestError."""
    d = read_object(data)
    stated = d.pop("sha256", None)
    check_digest("it", d, stated)
    return d


def _shard(value: object) -> TokenShard:
    d = _mapping(value, "shard")
    split = _text(d, "split")
    if split not in ("train", "val"):
        raise ManifestError(f"shard split is {split!r}, not 'train' or 'val'")
    return TokenShard(
        name=_file_name(d),
        split=split,
        documents=_number(d, "documents"),
        tokens=_number(d, "tokens"),
        bytes=_number(d, "bytes"),
        sha256=_text(d, "sha256"),
    )


def _files(value: object) -> tuple[File, ...]:
    entries = (_mapping(entry, "file") for entry in _list(value, "files"))
    return tuple(File(_file_name(d), _number(d, "bytes"), _text(d, "sha256"), _number(d, "rows")) for d in entries)


def _tally(value: object) -> Tally:
    d = _mapping(value, "tally")
    rejected = _numbers(d.get("rejected"), "rejected")
    unknown = sorted(set(rejected) - set(Reason))
    if unknown:
        raise ManifestError(f"unknown reason {unknown[0]!r} in a ledger")
    return Tally(
        _number(d, "taken"), _number(d, "passed"), _number(d, "rows"), rejected, _numbers(d.get("counts"), "counts")
    )


def read_object(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises ManifestError."""
    if len(data) > MAX_BYTES:
        raise ManifestError(f"manifest has more than {MAX_BYTES} bytes, which are not read")
    try:
        value = json.loads(data)
        canonical_json(value)  # text that is no Unicode has no digest
        return _mapping(value, "manifest")
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"not a manifest: {error}") from error


def check_digest(what: str, content: object, stated: object) -> None:
    """Compare `content`, as it was read, with the digest beside it. Raises ManifestError if they differ."""
    try:
        found = digest_of(content)
    except (UnicodeEncodeError, RecursionError) as error:  # half a surrogate pair, or too deep
        raise ManifestError(f"{what} can't be written again: {error}") from error
    if found != stated:
        raise ManifestError(f"{what} has sha256 {found}, {stated!r} stands beside it: it was edited or damaged")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ManifestError(f"{what} is {type(value).__name__}, expected an object")
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ManifestError(f"{what} is {type(value).__name__}, expected a list")
    return value


def _text(d: Mapping[str, Any], name: str) -> str:
    value = d.get(name)
    if not isinstance(value, str):
        raise ManifestError(f"{name} is {_shown(value)}, expected text")
    return value


def _number(d: Mapping[str, Any], name: str) -> int:
    value = d.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
        raise ManifestError(f"{name} is {_shown(value)}, expected a whole number from 0 to {_MOST}")
    return value


def _numbers(value: object, what: str) -> dict[str, int]:
    d = _mapping(value, what)
    return {name: _number(d, name) for name in d}


def _file_name(d: Mapping[str, Any]) -> str:
    name = _text(d, "name")
    parts = name.split("/")
    # One file has one name: neither ./x nor a//b is x or a/b by another one.
    if {"", ".", ".."} & set(parts) or "\\" in name or "\0" in name or ":" in name:
        raise ManifestError(f"file name {name!r} leaves the folder of its manifest, or is no plain one")
    return name
