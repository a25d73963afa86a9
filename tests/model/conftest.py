"""Small corpora as a build writes them: real Arrow shards and a real manifest."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from webtext.schemas.manifest import CORPUS_MANIFEST, CorpusManifest
from webtext.schemas.records import TokenShard
from webtext.schemas.tables import TOKENS
from webtext.schemas.vocabulary import END_OF_TEXT

Documents = Sequence[Sequence[int]]


def write_shard(folder: Path, split: str, number: int, documents: Documents, end: Sequence[int]) -> TokenShard:
    """One shard whose document i has the key and URL of (split, number, i)."""
    names = [f"{split}/{number}/{i}" for i in range(len(documents))]
    table = pa.record_batch(
        [
            pa.array([[*document, *end] for document in documents], TOKENS.field("tokens").type),
            pa.array([hashlib.md5(name.encode()).digest() for name in names], pa.binary(16)),  # noqa: S324
            pa.array([f"http://example.com/{name}" for name in names]),
        ],
        schema=TOKENS,
    )
    path = folder / f"{split}-{number:05}.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, TOKENS) as writer:
        writer.write_batch(table)
    data = path.read_bytes()
    tokens = sum(len(document) + len(end) for document in documents)
    return TokenShard(path.name, split, len(documents), tokens, len(data), hashlib.sha256(data).hexdigest())


def write_corpus(
    folder: Path, train: Sequence[Documents], val: Sequence[Documents] = (), end: Sequence[int] = (END_OF_TEXT,)
) -> Path:
    """A corpus with one shard for each list of documents."""
    shards = [
        write_shard(folder, split, number, documents, end)
        for split, parts in (("train", train), ("val", val))
        for number, documents in enumerate(parts)
    ]
    manifest = CorpusManifest({"made": "for a test"}, {}, tuple(shards), (), {})
    (folder / CORPUS_MANIFEST).write_bytes(manifest.to_json())
    return folder


def counting_documents(tokens: int, seed: int, vocabulary: int = 50) -> Documents:
    """Documents of 5 to 40 tokens that count upwards, so that a small model learns them in a few steps."""
    random = np.random.default_rng(seed)
    documents: list[list[int]] = []
    while tokens > 0:
        length, start = int(random.integers(4, 40)), int(random.integers(vocabulary))
        documents.append([(start + i) % vocabulary for i in range(length)])
        tokens -= length + 1
    return documents


@pytest.fixture(scope="session")
def make_corpus(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """write_corpus into a new folder."""
    return lambda train, val=(), **options: write_corpus(tmp_path_factory.mktemp("corpus"), train, val, **options)


@pytest.fixture(scope="session")
def counting_corpus(make_corpus: Callable[..., Path]) -> Path:
    """Two shards to train on and one to validate, of documents that count. To read only."""
    return make_corpus([counting_documents(3000, seed) for seed in (0, 1)], [counting_documents(500, 2)])
