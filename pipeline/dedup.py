"""Which documents are copies of one another, and which of them is kept.

Two stages. `candidates` shuffles packed band hashes (Leskovec et al., Mining of Massive Datasets, section 3.4) and
pairs the documents that share one; the hash of the whole text takes part as one more band. `clusters` verifies each
pair by its signatures before it may merge anything, finds connected components, and keeps of each the best document by
a published order: score descending, text length descending, earliest post, key. Only signatures are read, never text.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import components, minhash, packed, tabular
from pipeline.settings import DedupSettings, ShardSettings
from pipeline.stage import Part, PartOutput
from pipeline.tabular import TableWriter
from schemas import tables
from schemas.records import Document, Reason, Rejected

STAGE = "clusters"
RECORDS_PER_DOCUMENT = minhash.BANDS + 1  # the hash of the text is one more band

_RECORD = np.dtype([("hash", "<u8"), ("id", "<u8")])
RECORD_BYTES = _RECORD.itemsize
_ALL_PAIRS = 32  # documents in a bucket up to which every pair is a candidate; beyond, a star and a chain

U64 = npt.NDArray[np.uint64]


def emit(parts: int, source: Part, wanted: frozenset[int]) -> list[tuple[int, bytes]]:
    """Band hashes of one documents part, packed for each part of `candidates`."""
    table = tabular.read_columns(source.inputs[0], ["signature", "text_hash"])
    count = table.num_rows
    if not count:
        return []
    exact, _ = packed.split_keys(table["text_hash"].to_pylist())
    hashes = np.concatenate([minhash.bands(_signatures(table)), exact[:, None]], axis=1)
    records = np.empty(hashes.size, _RECORD)
    records["hash"] = hashes.reshape(-1)
    ids = np.uint64(source.ordinal << 32) + np.arange(count, dtype=np.uint64)
    records["id"] = np.repeat(ids, RECORDS_PER_DOCUMENT)
    return packed.scatter(records, packed.part_of(records["hash"], parts), wanted)


def find_candidates(part: Part, output: PartOutput, blocks: Sequence[bytes]) -> None:
    """Stage `candidates`: pairs of documents that share a band in this range of hashes."""
    del part
    records = packed.gather(blocks, _RECORD)
    a, b = pairs(records["hash"], records["id"])
    output.taken = output.passed = len(records)
    output.rows = len(a)
    with output.table("edges", tables.EDGES) as table:
        table.write(pa.table({"a": a, "b": b}, tables.EDGES))


def pairs(hashes: U64, ids: U64) -> tuple[U64, U64]:
    """Distinct pairs (a < b) of ids that share a hash. `hashes` is sorted, ids rise within equal hashes.

    A bucket of more than 32 documents gives no quadratic number of pairs but a star around its first document and a
    chain through all: such a bucket is boilerplate or a large cluster, whose members share many other bands.
    """
    _, starts, sizes = np.unique(hashes, return_index=True, return_counts=True)
    found: list[npt.NDArray[np.uint64]] = []
    for size in np.unique(sizes[sizes > 1]):
        members = ids[starts[sizes == size][:, None] + np.arange(size)]  # one row per bucket of this size
        if size <= _ALL_PAIRS:
            left, right = np.triu_indices(int(size), 1)
        else:
            steps = np.arange(1, size)
            left, right = np.concatenate([np.zeros_like(steps), steps - 1]), np.concatenate([steps, steps])
        found.append(np.stack([members[:, left].reshape(-1), members[:, right].reshape(-1)], axis=1))
    if not found:
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    # An id comes twice in a bucket only if its own bands collide.
    edges = np.unique(np.concatenate(found), axis=0)
    edges = edges[edges[:, 0] != edges[:, 1]]
    return edges[:, 0], edges[:, 1]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Documents that are copies of one another, the kept one first, the others by key."""

    label: bytes  # the smallest key
    members: tuple[Document, ...]


def keep_order(document: Document) -> tuple[int, int, int, bytes]:
    """Sorts the document that is kept to the front. A total order, because keys are distinct."""
    return (-document.score, -document.length, document.created_utc, document.key)


def make_cluster(documents: Sequence[Document]) -> Cluster:
    """The cluster of these documents."""
    kept, *_ = sorted(documents, key=keep_order)
    others = sorted((d for d in documents if d.id != kept.id), key=lambda d: d.key)
    return Cluster(min(d.key for d in documents), (kept, *others))


def split_of(cluster: bytes, settings: ShardSettings) -> str:
    """Either "train" or "val", by a hash of the cluster, so that no copy of a validation document is in train."""
    digest = hashlib.blake2b(cluster, digest_size=8, salt=settings.seed.to_bytes(16, "little")).digest()
    return "val" if int.from_bytes(digest, "big") < settings.val_fraction * 2**64 else "train"


def decide(
    settings: DedupSettings, shards: ShardSettings, part: Part, output: PartOutput, blocks: Sequence[bytes]
) -> None:
    """Stage `clusters`: verify candidates, merge, decide. Inputs: the edge files, then the documents parts."""
    del blocks
    edge_files = [path for path in part.inputs if path.endswith(".edges.parquet")]
    document_files = [path for path in part.inputs if path.endswith(".documents.parquet")]
    a, b = _candidates(edge_files)
    output.counts["candidate_pairs"] = len(a)
    suspects = _load(document_files, np.unique(np.concatenate([a, b])))
    a, b = verify(a, b, suspects, settings.threshold)
    output.counts["verified_pairs"] = len(a)
    clusters = _clusters(a, b, suspects)
    output.counts["clusters"] = len(clusters)
    with output.table("clusters", tables.CLUSTERS) as table:
        for cluster in clusters:
            _write_cluster(table, cluster, suspects, output)
    _write_decisions(document_files, clusters, shards, output)


@dataclass(frozen=True, slots=True)
class Suspects:
    """Documents that are in some candidate pair, in rising order of their ids."""

    ids: U64
    documents: list[Document]
    signatures: npt.NDArray[np.uint32]  # (n, 128)
    text_hashes: npt.NDArray[np.bytes_]  # (n,) of 16 raw bytes each

    def rows(self, ids: U64) -> npt.NDArray[np.int64]:
        """Where these ids stand."""
        return np.searchsorted(self.ids, ids)


def verify(a: U64, b: U64, suspects: Suspects, threshold: float) -> tuple[U64, U64]:
    """The pairs with equal text, or with signatures that agree in at least `threshold` of their values."""
    kept = np.empty(len(a), np.bool_)
    for start in range(0, len(a), 65_536):
        left, right = suspects.rows(a[start : start + 65_536]), suspects.rows(b[start : start + 65_536])
        similar = minhash.agreement(suspects.signatures[left], suspects.signatures[right]) >= threshold
        equal = (suspects.text_hashes[left] == suspects.text_hashes[right]).all(axis=1)
        kept[start : start + 65_536] = similar | equal
    return a[kept], b[kept]


def _candidates(edge_files: Sequence[str]) -> tuple[U64, U64]:
    found = [np.empty((0, 2), np.uint64)]
    for path in edge_files:
        table = tabular.read_columns(path)
        found.append(np.stack([table["a"].to_numpy(), table["b"].to_numpy()], axis=1))
    edges = np.unique(np.concatenate(found), axis=0)
    return edges[:, 0], edges[:, 1]


def _load(document_files: Sequence[str], ids: U64) -> Suspects:
    documents: list[Document] = []
    signatures = [np.empty((0, minhash.PERMUTATIONS), np.uint32)]
    text_hashes = [np.empty((0, 16), np.uint8)]
    columns = ["key", "url", "score", "created_utc", "length", "signature", "text_hash"]
    for ordinal, path in enumerate(document_files):
        own = ids[(ids >> np.uint64(32)) == ordinal]
        if not len(own):
            continue
        table = tabular.read_columns(path, columns)
        table = table.take(pa.array((own & np.uint64(0xFFFFFFFF)).astype(np.int64)))
        signatures.append(_signatures(table))
        text_hashes.append(np.frombuffer(b"".join(table["text_hash"].to_pylist()), np.uint8).reshape(-1, 16))
        for number, row in zip(own, table.select(columns[:5]).to_pylist(), strict=True):
            documents.append(Document(id=int(number), **row))
    return Suspects(ids, documents, np.concatenate(signatures), np.concatenate(text_hashes))


def _signatures(table: pa.Table) -> npt.NDArray[np.uint32]:
    return np.frombuffer(b"".join(table["signature"].to_pylist()), "<u4").reshape(-1, minhash.PERMUTATIONS)


def _clusters(a: U64, b: U64, suspects: Suspects) -> list[Cluster]:
    """Clusters of two documents and more, in order of their labels."""
    vertices, labels = components.label(a, b)
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(order) else []
    rows = suspects.rows(vertices)
    clusters = [make_cluster([suspects.documents[rows[vertex]] for vertex in group]) for group in groups]
    return sorted(clusters, key=lambda cluster: cluster.label)


def _write_cluster(table: TableWriter, cluster: Cluster, suspects: Suspects, output: PartOutput) -> None:
    rows = suspects.rows(np.array([d.id for d in cluster.members], np.uint64))
    similarity = minhash.agreement(suspects.signatures[rows], suspects.signatures[rows[:1]])
    equal = (suspects.text_hashes[rows] == suspects.text_hashes[rows[0]]).all(axis=1)
    kept = cluster.members[0]
    for document, similar, same in zip(cluster.members, similarity.tolist(), equal, strict=True):
        reason = Reason.EXACT_DUPLICATE if same else Reason.NEAR_DUPLICATE
        verdict = "" if document is kept else str(reason)
        table.add(document.key, document.url, cluster.label, document is kept, kept.key, kept.url, similar, verdict)
        if document is not kept:
            detail = f"copy of {kept.url}, similarity {similar:.2f}"
            output.reject(Rejected(STAGE, reason, document.key, document.url, detail))


def _write_decisions(
    document_files: Sequence[str], clusters: Sequence[Cluster], shards: ShardSettings, output: PartOutput
) -> None:
    """One row per document, in tables of the documents parts' names."""
    label_of = {document.key: cluster.label for cluster in clusters for document in cluster.members}
    dropped = {document.key for cluster in clusters for document in cluster.members[1:]}
    for path in document_files:
        name = path.rsplit("/", 1)[-1].split(".", 1)[0]
        with output.table(f"{name}.decisions", tables.DECISIONS) as table:
            for key, tokens in _keys_and_tokens(path):
                output.taken += 1
                label = label_of.get(key, key)
                split = "" if key in dropped else split_of(label, shards)
                table.add(split, label)
                if split:
                    output.passed += 1
                    output.counts[f"{split}_documents"] += 1
                    output.counts[f"{split}_tokens"] += tokens + 1  # end-of-text
    output.rows = output.passed


def _keys_and_tokens(path: str) -> Iterator[tuple[bytes, int]]:
    for batch in tabular.batches(path, ["key", "token_count"]):
        yield from zip(batch["key"].to_pylist(), batch["token_count"].to_pylist(), strict=True)
