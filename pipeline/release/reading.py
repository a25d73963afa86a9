"""A corpus folder, opened to be read: its manifest, its documents as rows, its tokens as arrays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from webtext.pipeline.files import storage, tabular
from webtext.schemas import tables
from webtext.schemas.manifest import CORPUS_MANIFEST, MAX_BYTES, CorpusManifest, ManifestError

_ROWS = 1000  # documents in memory


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus that `webtext build` wrote. Trusts its manifest; `webtext verify` checks every byte."""

    folder: str
    manifest: CorpusManifest

    @classmethod
    def open(cls, folder: str) -> "Corpus":
        """Read the manifest of a folder: a local path, or one with a scheme.

        >>> corpus = Corpus.open("demo/work/corpus")
        >>> [shard.name for shard in corpus.manifest.shards]
        ['train-00000.arrow', 'val-00000.arrow']

        Raises:
            ValueError: it is no corpus, or its manifest is damaged.
        """
        path = storage.join(folder, CORPUS_MANIFEST)
        if not storage.exists(path):
            raise ValueError(f"{path} is missing: give the folder that `webtext build` wrote as WORK/corpus")
        try:
            return cls(folder, CorpusManifest.from_json(storage.read_bytes(path, MAX_BYTES + 1)))
        except ManifestError as error:
            raise ValueError(f"{path}: {error}. Build the corpus again, or copy it again") from error

    def documents(self, split: str = "", columns: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        """The documents in the order of the shards, a row of the table `text` each; 1,000 are in memory.

        >>> corpus = Corpus.open("demo/work/corpus")
        >>> row = next(corpus.documents("train", ["url", "split"]))
        >>> sorted(row), row["split"]
        (['split', 'url'], 'train')

        Args:
            split: "train" or "val"; "" for both.
            columns: only these, see schemas.tables.TEXT; none for all.

        Raises:
            OSError: a file is missing or can't be read.
        """
        for text in self.manifest.texts:
            if text.name.rsplit("/", 1)[-1].startswith(split):
                for batch in tabular.batches(
                    storage.join(self.folder, text.name), columns or None, _ROWS, storage.open_binary
                ):
                    yield from batch.to_pylist()

    def tokens(self, split: str = "") -> Iterator[npt.NDArray[np.uint16]]:
        """One array for each shard, in their order: its stream of GPT-2 ids, each document closed by 50256.

        Mapped into memory where the corpus is local, so that nothing is read before it is looked at.

        >>> corpus = Corpus.open("demo/work/corpus")
        >>> [stream] = corpus.tokens("val")
        >>> stream.dtype, int(stream[-1])
        (dtype('uint16'), 50256)

        Args:
            split: "train" or "val"; "" for both.

        Raises:
            ValueError: a shard is not what the manifest says.
            OSError: a file is missing or can't be read.
        """
        for shard in self.manifest.shards:
            if not shard.split.startswith(split):
                continue
            path = storage.join(self.folder, shard.name)
            source = pa.memory_map(path) if storage.is_local(path) else pa.py_buffer(storage.read_bytes(path))
            with pa.ipc.open_file(source) as reader:
                if not reader.schema.equals(tables.TOKENS) or reader.num_record_batches != 1:
                    raise ValueError(f"{path} is no token shard: build the corpus again, or copy it again")
                stream = reader.get_batch(0).column("tokens").values.to_numpy()
            if len(stream) != shard.tokens:
                raise ValueError(f"{path} has {len(stream)} tokens, the manifest says {shard.tokens}: copy it again")
            yield stream
