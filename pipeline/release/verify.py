"""Is a corpus what its manifest says? Every file is read again, and nothing is believed that can be counted.

A problem is one line of text, and the search goes on behind it. Memory: one shard, and two hashes for each document of
the corpus.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from webtext.pipeline import flow
from webtext.pipeline.engine import packed
from webtext.pipeline.files import storage
from webtext.pipeline.release import folder, shard_checks
from webtext.pipeline.release import stage as shards
from webtext.pipeline.release.folder import Files
from webtext.pipeline.settings import ShardSettings
from webtext.schemas.manifest import (
    CORPUS_MANIFEST,
    MAX_BYTES,
    CorpusManifest,
    File,
    ManifestError,
    canonical_json,
    digest_of,
    read_object,
)
from webtext.schemas.records import TokenShard

Advance = Callable[[int, int], None]
"""Told how many bytes were read, of how many in all."""

_CHUNK = 2**20  # bytes read at a time for a digest


def problems(corpus: str, advance: Advance) -> Iterator[str]:
    """What is wrong with the corpus in this folder, one line each; none for a sound one.

    The folder is looked at as hostile, see folder.py.
    """
    manifest, fault = read_manifest(corpus)
    if fault:
        yield f"{CORPUS_MANIFEST}: {fault}"
    if manifest is None:
        return
    yield from ledger(manifest)
    yield from _layout(manifest)
    listed = {*(shard.name for shard in manifest.shards), *(text.name for text in manifest.texts)}
    yield from folder.strays(corpus, {CORPUS_MANIFEST, *listed})
    found = folder.listed_files(corpus, listed)
    total = sum(found.bytes.values())
    done = 0

    def count(read: int) -> None:
        nonlocal done
        done += read
        advance(done, total)

    settings, fault = _shard_settings(manifest.config)
    if fault:
        yield f"{CORPUS_MANIFEST}: {fault}"
    texts = {text.name: text for text in manifest.texts}
    keys: list[tuple[str, bytes]] = []  # file, its 16-byte keys end to end
    clusters: list[tuple[str, bytes]] = []
    for shard in manifest.shards:
        yield from _bytes(corpus, File(shard.name, shard.bytes, shard.sha256, shard.documents), found, count)
        batch = None
        if shard.name in found.bytes:
            batch, faults = shard_checks.check_shard(corpus, shard)
            yield from faults
        if batch is not None:
            keys.append((shard.name, b"".join(batch.column("key").to_pylist())))
        text = texts.pop(_text_name(shard), None)
        if text is not None:
            yield from _bytes(corpus, text, found, count)
            if text.name in found.bytes:
                of_text, faults = shard_checks.check_text(corpus, text, shard, batch, settings)
                yield from faults
                clusters.append((text.name, b"".join(of_text)))
    for text in texts.values():  # those without a shard, which _layout has said
        yield from _bytes(corpus, text, found, count)
    yield from _repeated("keys", keys)
    yield from _repeated("clusters", clusters)


def read_manifest(corpus: str) -> tuple[CorpusManifest | None, str]:
    """The manifest if it can be read at all, and what is wrong with it ("" for nothing).

    One whose content does not match its digest is returned as it stands, so that the edit itself can be found.

    Raises:
        FileNotFoundError: there is none.
    """
    path = storage.join(corpus, CORPUS_MANIFEST)
    if not storage.exists(path):
        inner = storage.join(corpus, "corpus")
        hint = f"; did you mean {inner}?" if storage.exists(storage.join(inner, CORPUS_MANIFEST)) else ""
        raise FileNotFoundError(f"{corpus} is no corpus: it has no {CORPUS_MANIFEST}{hint}")
    data = storage.read_bytes(path, MAX_BYTES + 1)
    try:
        return CorpusManifest.from_json(data), ""
    except ManifestError as error:
        fault = str(error)
    try:
        whole = read_object(data)
        whole["content_sha256"] = digest_of(whole.get("content"))
        return CorpusManifest.from_json(canonical_json(whole)), fault
    except ManifestError:
        return None, fault


def ledger(manifest: CorpusManifest) -> Iterator[str]:
    """Where the books do not balance: inside a stage, between two stages, or between stages and shards."""
    stages = manifest.stages
    dedup = manifest.config.get("dedup")
    expected = flow.passed(flow.TEXTS in stages, dedup.get("paragraphs") if isinstance(dedup, dict) else None)
    if tuple(stages) != expected:
        yield f"{CORPUS_MANIFEST}: stages are {', '.join(stages) or 'none'}, expected {', '.join(expected)}"
    for name, tally in stages.items():
        rejected = sum(tally.rejected.values())
        if tally.balance():
            yield (
                f"{CORPUS_MANIFEST}: stage {name} took {tally.taken}, but {tally.passed} passed + {rejected} rejected "
                f"is {tally.passed + rejected}"
            )
        # Posts merge to links, so that stage alone may have fewer rows than records that passed.
        if tally.rows > tally.passed or (tally.rows < tally.passed and name != flow.LINKS):
            yield f"{CORPUS_MANIFEST}: stage {name} has {tally.rows} rows, but {tally.passed} records passed"
    for before, after in pairwise(expected):
        if before in stages and after in stages and stages[before].rows != stages[after].taken:
            yield (
                f"{CORPUS_MANIFEST}: stage {before} has {stages[before].rows} rows, "
                f"but stage {after} took {stages[after].taken}"
            )
    for split in ("train", "val"):
        mine = [shard for shard in manifest.shards if shard.split == split]
        totals = {"documents": sum(s.documents for s in mine), "tokens": sum(s.tokens for s in mine)}
        for unit, total in totals.items():
            for name in (flow.DECISIONS, flow.SHARDS):
                counted = stages[name].counts.get(f"{split}_{unit}", 0) if name in stages else total
                if counted != total:
                    yield (
                        f"{CORPUS_MANIFEST}: stage {name} counts {counted} {split} {unit}, "
                        f"but the {split} shards are listed with {total}"
                    )
    documents = sum(shard.documents for shard in manifest.shards)
    if flow.SHARDS in stages and stages[flow.SHARDS].rows != documents:
        yield (
            f"{CORPUS_MANIFEST}: stage {flow.SHARDS} has {stages[flow.SHARDS].rows} rows, "
            f"but the shards are listed with {documents} documents"
        )


def _layout(manifest: CorpusManifest) -> Iterator[str]:
    """To each shard its text table with as many rows."""
    texts = {text.name: text for text in manifest.texts}
    for shard in manifest.shards:
        text = texts.pop(_text_name(shard), None)
        if text is None:
            yield f"{shard.name}: the manifest lists no {_text_name(shard)} with its text"
        elif text.rows != shard.documents:
            yield f"{text.name}: listed with {text.rows} rows, its shard with {shard.documents} documents"
    yield from (f"{name}: the manifest lists no shard of this name" for name in texts)


def _text_name(shard: TokenShard) -> str:
    return f"text/{shard.name.removesuffix(shards.TOKENS)}{shards.TEXT}"


def _bytes(corpus: str, file: File, found: Files, count: Callable[[int], None]) -> Iterator[str]:
    """Is the file there, in its size, with its digest?"""
    if file.name not in found.bytes:
        yield f"{file.name}: {found.refused.get(file.name, 'missing')}"
        return
    if found.bytes[file.name] != file.bytes:
        yield f"{file.name}: has {found.bytes[file.name]} bytes, the manifest says {file.bytes}"
    digest = hashlib.sha256()
    try:
        with storage.open_binary(storage.join(corpus, file.name)) as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                count(len(chunk))
    except OSError as error:
        yield f"{file.name}: can't be read: {error}"
        return
    if digest.hexdigest() != file.sha256:
        yield f"{file.name}: has sha256 {digest.hexdigest()}, the manifest says {file.sha256}"


def _shard_settings(config: Mapping[str, Any]) -> tuple[ShardSettings | None, str]:
    """What chose the split, from the manifest's config, and what is wrong with it ("" for nothing)."""
    try:
        settings = ShardSettings(**config["shards"])
        settings.split_of(bytes(16))
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        return None, f"config has no usable shards.seed and shards.val_fraction: {error!r}"
    return settings, ""


def _repeated(what: str, files: Sequence[tuple[str, bytes]]) -> Iterator[str]:
    """Which values occur more than once: one line for each pair of files."""
    names = [name for name, _ in files]
    hi, lo = packed.split_keys([keys for _, keys in files])
    owner = np.repeat(np.arange(len(files)), [len(keys) // 16 for _, keys in files])
    order = np.lexsort((owner, lo, hi))
    hi, lo, owner = hi[order], lo[order], owner[order]
    again = np.flatnonzero((hi[1:] == hi[:-1]) & (lo[1:] == lo[:-1]))
    pairs = Counter(zip(owner[again].tolist(), owner[again + 1].tolist(), strict=True))
    first = {(int(owner[at]), int(owner[at + 1])): f"{hi[at]:016x}{lo[at]:016x}" for at in again[::-1]}
    for (left, right), times in sorted(pairs.items()):
        where = "more than once" if left == right else f"in {names[left]} too"
        yield f"{names[right]}: {times} {what} are {where}, the first is {first[left, right]}"
