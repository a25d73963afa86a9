"""Stages `members` and `clusters`: which document of a cluster is kept.

Each document of a cluster goes to the group of the cluster's smallest id, where the best one is chosen by a published
total order: score descending, text length descending, earliest post, key.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from webtext.pipeline.dedup import sketches
from webtext.pipeline.dedup.groups import Groups
from webtext.pipeline.dedup.sketches import Sketch
from webtext.pipeline.engine import exchange
from webtext.pipeline.engine.stage import Part, PartOutput, StageError
from webtext.pipeline.files import tabular
from webtext.pipeline.settings import DedupSettings
from webtext.schemas import tables
from webtext.schemas.records import Reason

_COLUMNS = ["key", "url", "score", "created_utc", "length", "text_hash"]
_WRITE = 10_000  # rows of a table that are made at once
_LEAST_ALARM = 1000  # documents: a smaller cluster stops no build, whatever its share
_EVIDENCE = 5  # members that an alarm names

U64 = npt.NDArray[np.uint64]


def run_members(settings: DedupSettings, groups: Groups, part: Part, output: PartOutput) -> None:
    """Stage `members`: the documents of this group that are in a cluster, for the group that decides on it."""
    rows = [tabular.read_columns(path) for path in part.inputs["labels"]]
    found = pa.concat_tables(rows).sort_by("id") if rows else pa.table({"id": [], "label": []})
    ids, labels = found["id"].to_numpy().astype(np.uint64), found["label"].to_numpy().astype(np.uint64)
    output.taken = output.passed = output.rows = len(ids)
    with exchange.publish(output, part, tables.MEMBERS, groups.count) as members:
        for some, table, found_sketches in sketches.read(groups[part.ordinal], ids, settings.method, _COLUMNS):
            own = labels[np.searchsorted(ids, some)]
            columns = {"label": own, "id": some, **{name: table[name] for name in _COLUMNS}, "sketch": found_sketches}
            members.add(pa.table(columns, tables.MEMBERS), groups.of(own))


def run_clusters(settings: DedupSettings, groups: Groups, part: Part, output: PartOutput) -> None:
    """Stage `clusters`: the clusters of this group, each with the document that is kept.

    Args:
        settings: how similarity is measured, and how large a cluster may be.
        groups: who reads what.
        part: inputs are what the stage `members` sent.
        output: gets the table of clusters, and a verdict on each member for its own group.

    Raises:
        StageError: a cluster is larger than is allowed.
    """
    numbers = _gathered(part, groups, ["label", "id", "score", "created_utc", "length"])
    labels, ids = numbers["label"].to_numpy(), numbers["id"].to_numpy()
    order = keep_order(
        labels, numbers["score"].to_numpy(), numbers["length"].to_numpy(), numbers["created_utc"].to_numpy(), ids
    )
    names = _gathered(part, groups, ["key", "url"])
    first = np.flatnonzero(np.diff(labels[order], prepend=np.uint64(2**64 - 1)))
    sizes = np.diff(np.append(first, len(order)))
    _check_sizes(settings, groups.documents, sizes, [order[start : start + _EVIDENCE] for start in first], names)
    kept = np.empty(len(ids), np.int64)  # row of the kept document of each row's cluster
    kept[order] = np.repeat(order[first], sizes)
    similarity, same = _similarities(settings, groups, part, kept)
    reason = np.where(same, str(Reason.EXACT_DUPLICATE), str(Reason.NEAR_DUPLICATE)).astype(object)
    reason[order[first]] = ""
    # The smallest id has the smallest key, which names the cluster.
    by_id = np.argsort(ids)
    cluster = by_id[np.searchsorted(ids[by_id], labels)]
    output.taken = output.passed = len(ids)
    output.rows = len(first)
    output.counts["clusters"] = len(first)
    with (
        output.table("clusters", tables.CLUSTERS) as table,
        exchange.publish(output, part, tables.VERDICTS, groups.count) as back,
    ):
        for start in range(0, len(order), _WRITE):
            rows = order[start : start + _WRITE]
            own, best = names.take(rows), names.take(kept[rows])
            shared = {
                "cluster": names["key"].take(cluster[rows]),
                "reason": reason[rows],
                "kept_url": best["url"],
                "similarity": similarity[rows],
            }
            table.write(
                pa.table(
                    {
                        "key": own["key"],
                        "url": own["url"],
                        "kept": reason[rows] == "",
                        "kept_key": best["key"],
                        **shared,
                    }
                ).select(tables.CLUSTERS.names)
            )
            back.add(pa.table({"id": ids[rows], **shared}).select(tables.VERDICTS.names), groups.of(ids[rows]))


def keep_order(
    labels: U64,
    scores: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    created: npt.NDArray[np.int64],
    ids: U64,
) -> npt.NDArray[np.int64]:
    """Rows by cluster, in each the document that is kept first, the others by key. Ids are in key order."""
    best = np.lexsort((ids, created, -lengths, -scores, labels))
    kept = np.zeros(len(labels), np.bool_)
    kept[best[np.flatnonzero(np.diff(labels[best], prepend=np.uint64(2**64 - 1)))]] = True
    return np.lexsort((ids, ~kept, labels))


def _gathered(part: Part, groups: Groups, columns: Sequence[str]) -> pa.Table:
    """These columns of all rows for this part."""
    schema = pa.schema([field for field in tables.MEMBERS if field.name in columns])
    return exchange.read_table(part.inputs["sent"], part.ordinal, groups.count, schema, columns).combine_chunks()


def _similarities(
    settings: DedupSettings, groups: Groups, part: Part, kept: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Of each row to its kept row: the similarity, and whether the texts are equal."""
    best: dict[int, tuple[Sketch, bytes]] = {}
    wanted = np.unique(kept)
    for row, sketch, text_hash in _sketched(part, groups):
        place = np.searchsorted(wanted, row)
        if place < len(wanted) and wanted[place] == row:
            best[row] = sketch.copy(), text_hash
    similar, same = np.empty(len(kept), np.float32), np.empty(len(kept), np.bool_)
    for row, sketch, text_hash in _sketched(part, groups):
        other, other_hash = best[int(kept[row])]
        same[row] = text_hash == other_hash
        bounds = np.array([0, len(sketch)])
        similar[row] = 1 if same[row] else sketches.similarity(other, sketch, bounds, settings.method)[0]
    return similar, same


def _sketched(part: Part, groups: Groups) -> Iterator[tuple[int, Sketch, bytes]]:
    row = 0
    for batch in exchange.read(part.inputs["sent"], part.ordinal, groups.count, ["text_hash", "sketch"]):
        values, offsets = (column.to_numpy() for column in (batch["sketch"].values, batch["sketch"].offsets))
        for place, text_hash in enumerate(batch["text_hash"].to_pylist()):
            yield row, values[offsets[place] : offsets[place + 1]], text_hash
            row += 1


def _check_sizes(
    settings: DedupSettings,
    documents: int,
    sizes: npt.NDArray[np.int64],
    examples: Sequence[npt.NDArray[np.int64]],
    names: pa.Table,
) -> None:
    limit = max(_LEAST_ALARM, settings.max_cluster_share * documents)
    if not len(sizes) or sizes.max() <= limit:
        return
    worst = int(sizes.argmax())
    urls = names["url"].take(pa.array(examples[worst])).to_pylist()
    raise StageError(
        f"a cluster of {sizes[worst]:,} copies is {sizes[worst] / documents:.1%} of all {documents:,} documents, more "
        f"than dedup.max_cluster_share ({settings.max_cluster_share:g}) allows; it would be reduced to {urls[0]}, and "
        f"{', '.join(urls[1:])} and others would go. Look at them: raise --dedup.max-cluster-share if they are copies, "
        "or block what they have in common"
    )
