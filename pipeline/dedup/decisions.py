"""Stage `decisions`: what is decided on each document: dropped as a copy, or kept for training or validation."""

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from webtext.pipeline.dedup.groups import Groups
from webtext.pipeline.engine import exchange
from webtext.pipeline.engine.stage import Part, PartOutput, StageError
from webtext.pipeline.files import tabular
from webtext.pipeline.flow import DECISIONS
from webtext.pipeline.identity import domains
from webtext.pipeline.settings import DedupSettings, ShardSettings
from webtext.schemas import tables
from webtext.schemas.records import Reason, Rejected

_LEAST_ALARM = 1000  # documents of a domain: a smaller one stops no build, whatever its share


def run_decisions(shards: ShardSettings, groups: Groups, part: Part, output: PartOutput) -> None:
    """One row per document of this group, in tables of the documents parts' names. Inputs: the verdicts."""
    sent = exchange.read(part.inputs["sent"], part.ordinal, groups.count)
    verdicts = {row["id"]: row for batch in sent for row in batch.to_pylist()}
    total, copies = Counter[str](), Counter[str]()
    for ordinal, path in groups[part.ordinal]:
        number = ordinal << 32
        with output.table(f"{ordinal:05d}.decisions", tables.DECISIONS) as table:
            for batch in tabular.batches(path, ["key", "url", "token_count"]):
                for key, url, tokens in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    verdict = verdicts.get(number)
                    number += 1
                    output.taken += 1
                    cluster = verdict["cluster"] if verdict else key
                    domain = domains.registered(url)
                    total[domain] += 1
                    if verdict and verdict["reason"]:
                        copies[domain] += 1
                        table.add("", cluster)
                        detail = f"copy of {verdict['kept_url']}, similarity {verdict['similarity']:.2f}"
                        output.reject(Rejected(DECISIONS, Reason(verdict["reason"]), key, url, detail))
                        continue
                    split = shards.split_of(cluster)
                    table.add(split, cluster)
                    output.passed += 1
                    output.counts[f"{split}_documents"] += 1
                    output.counts[f"{split}_tokens"] += tokens + 1  # end-of-text
    output.rows = output.passed
    output.counts["copies"] = output.taken - output.passed
    with output.table("domains", tables.DOMAINS) as table:
        for domain in sorted(total):
            table.add(domain, total[domain], copies[domain])


def check_domains(settings: DedupSettings, paths: Sequence[str]) -> None:
    """Stop a build in which a domain loses nearly everything: rather a fault than copies.

    Raises:
        StageError: a domain of 1,000 documents and more loses a larger share than the settings allow.
    """
    table = pa.concat_tables([tabular.read_columns(path) for path in paths])
    sums = table.group_by("domain").aggregate([("documents", "sum"), ("copies", "sum")])
    share = pc.divide(pc.cast(sums["copies_sum"], pa.float64()), sums["documents_sum"])
    bad = sums.filter(
        pc.and_(pc.greater_equal(sums["documents_sum"], _LEAST_ALARM), pc.greater(share, settings.max_domain_loss))
    )
    if bad.num_rows:
        found = sorted(bad.to_pylist(), key=lambda row: (-row["copies_sum"], row["domain"]))
        shown = "; ".join(f"{row['domain']}: {row['copies_sum']:,} of {row['documents_sum']:,}" for row in found[:5])
        raise StageError(
            f"{len(found):,} domains would lose more than {settings.max_domain_loss:.0%} of their documents as copies "
            f"({shown}): look at them in the tables of stage clusters; raise --dedup.max-domain-loss if that is right, "
            "or block these domains"
        )
