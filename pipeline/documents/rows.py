"""What was said of a page or a text, to the tables of stage `documents`: a row, or a rejection."""

import numpy as np

from webtext.pipeline.engine.stage import PartOutput
from webtext.pipeline.files.tabular import TableWriter
from webtext.pipeline.flow import DOCUMENTS, KIND, OPT_OUT, RULE
from webtext.pipeline.opt_outs.signals import OptOut
from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text import filters
from webtext.pipeline.text.document import Document
from webtext.schemas.records import Loss, Reason, Source


def settle(
    table: TableWriter,
    output: PartOutput,
    settings: ExtractSettings,
    source: Source,
    result: Document | Loss,
    *,
    opt_out: OptOut | None = None,
) -> None:
    """Write the document of a page or text, or why it has none, and count it. `opt_out` is what the page said."""
    if isinstance(result, Loss):
        output.reject(result.at(DOCUMENTS, source.key, source.url))
        if rule := filters.rule_of(result):
            output.counts[RULE + rule] += 1
        if opt_out is not None and result.reason is Reason.MINING_REFUSED:
            output.counts[OPT_OUT + opt_out.signal] += 1
        return
    _write(table, source, result, str(opt_out or ""))
    output.passed += 1
    output.counts["tokens"] += len(result.tokens) // 2
    if result.page_kind:
        output.counts[KIND + result.page_kind] += 1
    if settings.mask:
        output.counts["masked e-mail addresses"] += result.masked_emails
        output.counts["masked IP addresses"] += result.masked_addresses


def _write(table: TableWriter, source: Source, found: Document, opt_out: str) -> None:
    table.add(
        source.key,
        source.url,
        source.score,
        source.created_utc,
        source.captured_utc,
        found.title,
        found.published,
        found.html_lang,
        opt_out,
        found.page_kind,
        found.page_kind_certainty,
        found.text,
        len(found.text),
        found.language_probability,
        np.frombuffer(found.tokens, "<u2"),
        len(found.tokens) // 2,
        found.text_hash,
        found.signature,
    )
