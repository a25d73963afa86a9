"""The build explained on one HTML page.

The page is static and complete in itself: no script, no external resource, so it opens offline and can be archived with
the corpus. It is a function of the work directory alone. URLs and titles come from strangers: all text is escaped, and
the page's content security policy allows nothing but its own style.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from string import Template
from typing import Any, Final

from webtext.pipeline import flow
from webtext.pipeline.account import markup
from webtext.pipeline.account.findings import Clusters, Example, Share
from webtext.pipeline.account.funnel import FunnelRow, beside, funnel_row, funnel_rows
from webtext.pipeline.account.markup import Column
from webtext.pipeline.account.report import Facts, entries, read_facts
from webtext.pipeline.dedup import accuracy
from webtext.pipeline.engine import damage
from webtext.pipeline.engine.damage import Damaged
from webtext.pipeline.links import health
from webtext.pipeline.links.health import Month
from webtext.schemas.manifest import Tally
from webtext.schemas.records import Reason, TokenShard

_INPUTS = 50  # listed of each kind
_INPUT_KINDS = {flow.LINKS: ("submissions", "archives"), flow.TEXTS: ("documents",)}
_SHARDS = 200  # listed
_MONTHS = 400  # listed
_DETAIL = 160  # characters of a detail
_NAME = 60  # characters of the name of a configuration or of a domain
PAGE: Final = "report.html"


def build_report(work: str, name: str = "") -> str:
    """The page about the complete build in the work directory, as HTML. `name` is what to call its configuration.

    Raises:
        ValueError: the build is not complete, or a manifest is damaged.
        OSError: a table is missing.
    """
    return render(read_facts(work), name)


def render(facts: Facts, name: str = "") -> str:
    """The page from its facts. Pure."""
    manifest, clusters = facts.manifest, facts.clusters
    documents, tokens = _totals(manifest.shards)
    val_documents, val_tokens = _totals([shard for shard in manifest.shards if shard.split == "val"])
    of_texts = flow.TEXTS in manifest.stages
    source = flow.TEXTS if of_texts else flow.LINKS
    links = manifest.stages[source].rows if source in manifest.stages else 0
    groups = sum(clusters.sizes.values())
    dropped = sum((size - 1) * number for size, number in clusters.sizes.items())
    sizes = ", ".join(f"{number:,} of {size:,} documents" for size, number in clusters.sizes.items())
    return Template(markup.template(PAGE)).substitute(
        style=markup.template("style.css"),
        title=f"webtext corpus, {markup.text(name or 'own configuration', _NAME)}",
        subtitle=f"{documents:,} documents of {tokens:,} GPT-2 tokens, from {links:,} {source}.",
        figures=markup.figures(
            ("Documents", f"{documents:,}", f"{val_documents:,} for validation"),
            ("Tokens", f"{tokens:,}", f"{val_tokens:,} for validation"),
            ("Texts", f"{links:,}", "that could be read")
            if of_texts
            else ("Links", f"{links:,}", "different, with enough karma"),
            ("Share kept", markup.percent(documents, links), f"documents of {source}"),
        ),
        funnel=_funnel(funnel_rows(manifest)),
        losses="".join(
            _losses(_funnel_row(stage, tally, of_texts), facts.examples[stage])
            for stage, tally in facts.tallies.items()
        ),
        origin="texts" if of_texts else "posts",
        months="" if of_texts else _MONTHS_HEAD + _months(facts.months),
        domains=f"{facts.kept.domains:,}",
        largest_domains=_shares("Domain", facts.kept.largest),
        lengths=_shares("Length", facts.kept.lengths),
        groups=f"{groups:,}",
        dropped=f"{dropped:,}",
        sizes=sizes or "none",
        accuracy="".join(
            f'<p class="quiet">{markup.text(sentence)}</p>\n'
            for sentence in accuracy.sentences(beside(manifest, flow.ACCURACY).counts)
        ),
        clusters=_cluster_table(clusters),
        shards=_shard_table(manifest.shards),
        config=_pairs("Setting", "Value", _flat(manifest.config)),
        libraries=_pairs("Library", "Version", _flat(manifest.build.get("libraries"))),
        damaged=_damaged(damage.of_build(manifest.build)),
        inputs="".join(_inputs(kind, entries(manifest.build, kind)) for kind in _INPUT_KINDS[source]),
        content_sha256=manifest.content_sha256(),
    )


def _funnel_row(stage: str, tally: Tally, of_texts: bool) -> FunnelRow:
    return funnel_row(stage, _failures(tally) if stage == flow.FETCH else tally, of_texts)


def _failures(tally: Tally) -> Tally:
    """The ledger of stage `fetch` with its failures, which it has as counts, as losses. Archives may have the pages."""
    reasons = {reason: tally.counts.get(f"failed_{reason}", 0) for reason in Reason}
    failed = {str(reason): count for reason, count in reasons.items() if count}
    return replace(tally, passed=tally.taken - sum(failed.values()), rejected=failed)


def _totals(shards: Sequence[TokenShard]) -> tuple[int, int]:
    return sum(shard.documents for shard in shards), sum(shard.tokens for shard in shards)


def _funnel(rows: Sequence[FunnelRow]) -> str:
    scale = max((row.taken for row in rows), default=0)
    drawn = []
    for row in rows:
        losses = "".join(f"<li><b>{count:,}</b> {markup.text(reason.words)}</li>" for reason, count in row.reasons)
        losses += "".join(f'<li class="quiet">{count:,} by {markup.text(rule)}</li>' for rule, count in row.rules)
        kinds = "".join(f'<li class="quiet">{count:,} of kind {markup.text(kind)}</li>' for kind, count in row.kinds)
        total = f'<li class="number-lost">{row.lost:,} lost</li>' if row.lost else '<li class="quiet">nothing lost</li>'
        drawn.append(
            f'<section class="stage"><div class="head"><h3>{markup.text(row.title)}</h3>'
            f"<span>{row.taken:,} {row.unit} → {row.becomes}</span></div>\n"
            f"{markup.bar(scale, ('kept', row.passed), ('lost', row.lost))}\n"
            f"<ul>{total}{losses}{kinds}</ul></section>\n"
        )
    return "".join(drawn)


_MONTHS_HEAD: Final = """<h2>The posts by month</h2>
<p class="quiet"><span class="key">enough karma in this post</span> &ensp;
<span class="key lost">too little</span> &ensp;
Posts that may make a link, before posts of one URL merge. The age of a score, in the mean, is known where the dump
tells when it was read: scores of the first day are still low. A month with less than half of what both sides of it
have is told above the table.</p>
"""


def _months(months: Sequence[Month]) -> str:
    """Posts of each month, and how many of them have enough karma."""
    if not months:
        return '<p class="quiet">No post has a date.</p>\n'
    alarms = "".join(f'<li class="number-lost">{markup.text(line)}</li>\n' for line in health.warnings(months))
    most = max(month.posts for month in months)
    columns = (
        Column("Month"),
        Column("Posts", "n"),
        Column("", "bars"),
        Column("Enough karma", "n"),
        Column("Median score", "n"),
        Column("Score read after", "n"),
    )
    rows = (
        (
            month.name,
            f"{month.posts:,}",
            markup.bar(most, ("kept", month.reached), ("lost", month.posts - month.reached)),
            markup.percent(month.reached, month.posts),
            "" if month.median is None else f"{month.median:,}",
            f"{month.age / month.aged / 86_400:,.1f} days" if month.aged else "",
        )
        for month in months[:_MONTHS]
    )
    more = _more(len(months) - _MONTHS, "months")
    return (f"<ul>{alarms}</ul>\n" if alarms else "") + markup.table(columns, rows) + more


def _losses(row: FunnelRow, examples: Mapping[str, Sequence[Example]]) -> str:
    """One stage's reasons, each bar where it stands in the whole: what is lost piles up behind what passed."""
    if not row.reasons:
        return ""
    cells, start = [], row.passed
    for reason, count in row.reasons:
        shown = "".join(map(_example, examples.get(reason, ()))) or '<span class="quiet">none is kept</span>'
        drawn = markup.bar(row.taken, ("lost", count), start=start)
        why = f"{markup.text(reason.words)} <code>{reason}</code>{drawn}"
        cells.append((why, f"{count:,}", markup.percent(count, row.taken), shown))
        start += count
    columns = (
        Column("Reason", "why"),
        Column(row.unit.capitalize(), "n"),
        Column("Share", "n"),
        Column("Such as", "what"),
    )
    title = f"<h3>{markup.text(row.title)}: {row.lost:,} of {row.taken:,} {row.unit} {row.fate}</h3>\n"
    return f'<section class="stage">{title}{markup.table(columns, cells, stacked=True)}</section>\n'


def _example(example: Example) -> str:
    detail = f'<span class="detail">{markup.text(example.detail, _DETAIL)}</span>' if example.detail else ""
    return f'<div class="example">{markup.address(example.url) if example.url else ""} {detail}</div>'


def _shares(title: str, shares: Sequence[Share]) -> str:
    most = max((share.documents for share in shares), default=0)
    columns = (Column(title), Column("Documents", "n"), Column("", "bars"), Column("Tokens", "n"))
    return markup.table(
        columns,
        (
            (
                markup.text(share.name, _NAME),
                f"{share.documents:,}",
                markup.bar(most, ("kept", share.documents)),
                f"{share.tokens:,}",
            )
            for share in shares
        ),
    )


def _cluster_table(clusters: Clusters) -> str:
    if not clusters.largest:
        return ""
    columns = (
        Column("Documents", "n"),
        Column("Same text", "n"),
        Column("Similarity", "n"),
        Column("Kept, and one copy", "what"),
    )
    return markup.table(
        columns,
        (
            (
                f"{cluster.size:,}",
                f"{cluster.exact:,}",
                " to ".join(dict.fromkeys(f"{bound:.2f}" for bound in cluster.similarity)),
                f'<div class="example">{markup.address(cluster.kept_url)}</div>'
                f'<div class="example"><span class="quiet">copy:</span> {markup.address(cluster.example)}</div>',
            )
            for cluster in clusters.largest
        ),
        stacked=True,
    )


def _shard_table(shards: Sequence[TokenShard]) -> str:
    columns = (
        Column("File", "why"),
        Column("Documents", "n"),
        Column("Tokens", "n"),
        Column("Bytes", "n"),
        Column("sha256", "what"),
    )
    rows = (
        (
            f"<code>{markup.text(shard.name)}</code>",
            f"{shard.documents:,}",
            f"{shard.tokens:,}",
            f"{shard.bytes:,}",
            f"<code>{markup.text(shard.sha256)}</code>",
        )
        for shard in shards[:_SHARDS]
    )
    return markup.table(columns, rows, stacked=True) + _more(len(shards) - _SHARDS, "shards")


def _more(number: int, what: str) -> str:
    return f'<p class="quiet">And {number:,} more {what}; the manifest has them all.</p>\n' if number > 0 else ""


def _pairs(name: str, value: str, entries: Iterable[tuple[str, str]]) -> str:
    cells = ((f"<code>{markup.text(left)}</code>", f"<code>{markup.text(right)}</code>") for left, right in entries)
    return markup.table((Column(name), Column(value)), cells)


def _flat(settings: object, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, value)."""
    if not isinstance(settings, Mapping):
        plain = isinstance(settings, str) and settings
        return [(prefix, str(settings) if plain else json.dumps(settings, ensure_ascii=False))]
    return [pair for key, value in settings.items() for pair in _flat(value, f"{prefix}.{key}" if prefix else str(key))]


def _damaged(damaged: Sequence[Damaged]) -> str:
    """The inputs of which not everything could be read; an empty text where there are none."""
    if not damaged:
        return ""
    columns = (Column("Damaged input", "why"), Column("Records read", "n"), Column("What is wrong", "what"))
    rows = (
        (f"<code>{markup.text(one.path)}</code>", f"{one.read:,}", markup.text(one.why, _DETAIL))
        for one in damaged[:_INPUTS]
    )
    advice = f"{len(damaged):,} could not be read as a whole: {damage.ADVICE}."
    more = _more(len(damaged) - _INPUTS, "damaged inputs")
    return f'<h3>Damaged inputs</h3>\n<p class="number-lost">{advice}</p>\n{markup.table(columns, rows)}{more}'


def _inputs(kind: str, paths: Sequence[Any]) -> str:
    listed = "".join(f"<li><code>{markup.text(str(path))}</code></li>\n" for path in paths[:_INPUTS])
    more = _more(len(paths) - _INPUTS, kind)
    return f"<h3>{kind.capitalize()} ({len(paths):,})</h3>\n<ul>{listed}</ul>{more}"
