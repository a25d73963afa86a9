"""What is kept of the outcome of a URL: its exchanges as records of an archive, and a line of the journal."""

import time
from typing import Final

from webtext.pipeline.archives import warc_writer
from webtext.pipeline.archives.http_payload import decode_body, media_type
from webtext.pipeline.archives.warc import payload_digest
from webtext.pipeline.archives.warc_writer import Exchange, Original
from webtext.pipeline.pages.crawl.frontier import BREAKER
from webtext.pipeline.pages.crawl.outcome import Outcome
from webtext.pipeline.pages.crawl.settings import FetchSettings
from webtext.pipeline.pages.crawl.spool import Entry, Spool
from webtext.schemas.records import Loss, Reason

_DETAIL: Final = 300  # characters
# How a payload that is not whole came to be so, in the words of WARC-Truncated.
_TRUNCATED: Final = {
    Reason.FETCH_TIMEOUT: "time",
    Reason.BAD_HTTP: "disconnect",
    Reason.PAGE_TOO_LARGE: "length",
    Reason.EMPTY_PAGE: "",
}
_NOT_READ: Final = "unspecified"


def exchanges(outcome: Outcome) -> list[Exchange]:
    """The requests and responses to be stored: redirects in their order, and the last answer if there was one.

    Of a page whose owner reserves text and data mining, nothing is stored.
    """
    found = [
        Exchange(hop.url, hop.started, hop.ip, hop.request, hop.response_head, b"", _NOT_READ)
        for hop in outcome.redirects
    ]
    if outcome.response_head and outcome.reason is not Reason.MINING_REFUSED:
        cut = outcome.truncated
        if outcome.reason is not None and not outcome.payload:
            cut = _TRUNCATED.get(outcome.reason, _NOT_READ)
        found.append(
            Exchange(
                *(outcome.final_url, outcome.started, outcome.ip, outcome.request, outcome.response_head),
                *(outcome.payload, cut),
            )
        )
    return found


class Recorder:
    """Outcomes to the spool: records for the archive, a line for the journal."""

    def __init__(self, spooled: Spool, settings: FetchSettings, max_page_bytes: int) -> None:
        """Continue the spool."""
        self._spool = spooled
        self._max_page_bytes = max_page_bytes
        # What comes out of a damaged body depends on the limit, so another limit needs another decoding.
        self._same_limit = settings.max_page_bytes == max_page_bytes
        self._originals = {
            entry.payload: Original(entry.url, entry.date, entry.offset) for entry in spooled.entries if entry.payload
        }
        # By row. What failed in a way that may pass is as good as never asked for; a later line of a row counts.
        self.entries = {entry.row: entry for entry in spooled.entries}
        self.entries = {row: entry for row, entry in self.entries.items() if not entry.again}
        if not spooled.size:
            about = [
                ("software", settings.user_agent),
                ("operator", settings.contact),
                ("format", "WARC File Format 1.1"),
                ("robots", "obey" if settings.obey_robots else "ignore"),
            ]
            spooled.append(warc_writer.warcinfo(time.time(), about))

    def record(self, row: int, outcome: Outcome, lost: Loss | None = None) -> Entry:
        """What became of one URL. Records first, the journal last: a kill in between costs this URL alone.

        A page that was got but is `lost`, being no more what was linked to, is stored all the same.
        """
        message = outcome.message()
        entry = Entry(
            row=row,
            captured_utc=int(outcome.started or time.time()),
            status=outcome.status,
            content_type=media_type(message.fields.get(b"content-type", b"")),
            verdict=str(outcome.reason or ""),
            detail=outcome.detail[:_DETAIL],
            again=outcome.transient or outcome.outage or outcome.reason is Reason.DNS_FAILED,
            signal=outcome.signal,
        )
        stored = exchanges(outcome)
        records = [warc_writer.request(each) for each in stored]
        if outcome.reason is None:
            *hops, last = stored
            page = outcome.page if self._same_limit else b""
            if not page:
                page = decode_body(message, self._max_page_bytes + 1)
            digest = last.digest
            # Equal bytes are another page if they are to be read in another way.
            payload = " ".join([digest, *(value.decode("latin-1") for _, value in sorted(message.fields.items()))])
            original = self._originals.get(payload)
            entry = entry._replace(digest=payload_digest(page).hex())
            if original is None:
                # The page comes first, so that its place is known.
                records.insert(0, warc_writer.response(last, digest))
                original = Original(last.url, warc_writer.warc_date(last.started), self._spool.size)
                self._originals[payload] = original
                entry = entry._replace(payload=payload, url=original.url, date=original.date)
            else:
                records.append(warc_writer.revisit(last, digest, original))
            entry = entry._replace(offset=original.offset)
            stored = hops
        if lost is not None:
            entry = entry._replace(verdict=str(lost.reason), detail=lost.detail[:_DETAIL])
        records += [warc_writer.response(each, each.digest) for each in stored]
        self._spool.append(b"".join(records))
        return self._finish(entry)

    def give_up(self, row: int) -> Entry:
        """A URL that is not asked for, because its host doesn't answer."""
        detail = f"{BREAKER} URLs of this host in a row brought no answer, nor did others later"
        return self._finish(Entry(row, int(time.time()), 0, "", str(Reason.HOST_DOWN), detail, again=True))

    def _finish(self, entry: Entry) -> Entry:
        entry = entry._replace(end=self._spool.size)
        self._spool.finish(entry)
        self.entries[entry.row] = entry
        return entry
