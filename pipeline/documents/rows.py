"""What was said of a page or a text, to the tables of stage `documents`: a row, or a rejection."""

import numpy as np

from webtext.pipeline.engine.stage import PartOutput
from webtext.pipeline.files.tabular import TableWriter
from webtext.pipeline.flow import DOCUMENTS, RULE
from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text import filters
from webtext.pipeline.text.document import Document
from webtext.schemas.records import Loss, Source


def settle(
    table: TableWriter, output: PartOutput, settings: ExtractSettings, source: Source, result: Document | Loss
) -> None:
    """Write the document of a page or text, or why it has none, and count it."""
    if isinstance(result, Loss):
        output.reject(result.at(DOCUMENTS, source.key, source.url))
        if rule := filters.rule_of(result):
            output.counts[RULE + rule] += 1
        return
    _write(table, source, result)
    output.passed += 1
    output.counts["tokens"] += len(result.tokens) // 2
    if settings.mask:
        output.counts["masked e-mail addresses"] += result.masked_emails
        output.counts["masked IP addresses"] += result.masked_addresses


def _write(table: TableWriter, source: Source, found: Document) -> None:
    table.add(
        source.key,
        source.url,
        source.score,
        source.created_utc,
        source.captured_utc,
        found.title,
        found.published,
        found.html_lang,
        found.text,
        len(found.text),
        found.language_probability,
        np.frombuffer(found.tokens, "<u2"),
        len(found.tokens) // 2,
        found.text_hash,
        found.signature,
    )
