"""A corpus of made-up tokens in our format, and the same tokens as the flat file that nanoGPT reads."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from webtext.model.data import Corpus, Windows
from webtext.schemas.manifest import CORPUS_MANIFEST, CorpusManifest
from webtext.schemas.records import TokenShard
from webtext.schemas.tables import TOKENS
from webtext.schemas.vocabulary import END_OF_TEXT, SIZE

DOCUMENT = 700  # tokens, about the mean of a page of the web


def write(folder: Path, tokens: int, shards: int = 4) -> Path:
    """A corpus of `tokens` training tokens and 1/20 as many for validation, by Zipf's law; returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    sizes = [("train", number, tokens // shards) for number in range(shards)] + [("val", 0, tokens // 20)]
    listed = [_shard(folder, split, number, _stream(random, size)) for split, number, size in sizes]
    manifest = CorpusManifest({"made": "for a benchmark"}, {}, tuple(listed), (), {})
    (folder / CORPUS_MANIFEST).write_bytes(manifest.to_json())
    return folder


def flat(corpus: Path, path: Path, split: str = "train") -> Path:
    """The tokens of a split one after the other as uint16, nanoGPT's train.bin."""
    with path.open("wb") as out:
        for shard in Windows(Corpus.open(corpus), split, 1).shards:
            shard.tokens.tofile(out)
    return path


def _stream(random: np.random.Generator, size: int) -> np.ndarray:
    # Each token depends on the one before it, so that there is something to learn.
    size = max(size, 2 * DOCUMENT) // DOCUMENT * DOCUMENT
    steps = random.zipf(1.3, size) % 1000
    tokens = (np.cumsum(steps) % (SIZE - 1)).astype(np.uint16)
    tokens[DOCUMENT - 1 :: DOCUMENT] = END_OF_TEXT
    return tokens


def _shard(folder: Path, split: str, number: int, tokens: np.ndarray) -> TokenShard:
    count = tokens.size // DOCUMENT
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * DOCUMENT)
    names = [f"{split}/{number}/{i}" for i in range(count)]
    columns = [
        pa.ListArray.from_arrays(offsets, pa.array(tokens), type=TOKENS.field("tokens").type),
        pa.array([hashlib.md5(name.encode(), usedforsecurity=False).digest() for name in names], pa.binary(16)),
        pa.array([f"http://example.com/{name}" for name in names]),
    ]
    path = folder / f"{split}-{number:05}.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, TOKENS) as writer:
        writer.write_batch(pa.record_batch(columns, schema=TOKENS))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return TokenShard(path.name, split, count, tokens.size, path.stat().st_size, digest)
