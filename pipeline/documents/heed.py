"""Whether a page may be used: what it and its site say, held against the opt-outs that are obeyed."""

from collections.abc import Sequence

from webtext.pipeline.archives.http_payload import field_lines
from webtext.pipeline.archives.warc import RawPage
from webtext.pipeline.opt_outs.page import of_page
from webtext.pipeline.opt_outs.signals import OptOut, first
from webtext.pipeline.settings import ExtractSettings, obeyed
from webtext.schemas.records import Loss, Reason


def heed(
    raw: RawPage, settings: ExtractSettings, of_site: Sequence[OptOut] = ()
) -> tuple[RawPage | Loss, OptOut | None]:
    """The page, or its loss where it opts out in a signal that is obeyed; and the opt-out, obeyed or not.

    Args:
        raw: a page as it stands in an archive or a file.
        settings: with the signals that are obeyed.
        of_site: what other files of the site say of this page.
    """
    signals = obeyed(settings.opt_outs)
    opt_out = first([*of_site, *of_page(field_lines(raw.head), raw.payload)], signals)
    if opt_out is not None and opt_out.signal in signals:
        return Loss(Reason.MINING_REFUSED, opt_out.line), opt_out
    return raw, opt_out
