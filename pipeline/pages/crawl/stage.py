"""The stage `fetch`: links to our own web archives, one URL after the other on each host and many hosts at a time.

The links are shuffled by registered domain, so that all of a site is in one part; redirects may lead from one part to
the sites of another. A part writes `NNNNN.warc.gz` and the table `NNNNN.captures.parquet` with one row for each of its
links, failures included; the stage `pages` takes them as it takes other archives. What the web answers is no pure
function of anything: a part that is run again after its receipt was lost may get other pages.
"""

import asyncio
import gc
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import uvloop
import xxhash

from webtext.pipeline.archives import warc_writer
from webtext.pipeline.archives.http_payload import HttpMessage, decode_body, media_type
from webtext.pipeline.archives.warc_writer import Exchange, Original
from webtext.pipeline.engine import packed
from webtext.pipeline.engine.stage import Part, PartOutput
from webtext.pipeline.files import storage, tabular
from webtext.pipeline.identity import domains, urls
from webtext.pipeline.pages.crawl import drift, spool
from webtext.pipeline.pages.crawl.client import Client
from webtext.pipeline.pages.crawl.frontier import BREAKER, Frontier, Turn
from webtext.pipeline.pages.crawl.outcome import Outcome
from webtext.pipeline.pages.crawl.pace import FILE, Pace
from webtext.pipeline.pages.crawl.settings import FetchSettings
from webtext.pipeline.pages.crawl.spool import Entry, Spool
from webtext.schemas import tables
from webtext.schemas.records import Reason, Rejected

STAGE: Final = "fetch"
ARCHIVE: Final = ".warc.gz"

_RECORD = np.dtype([("domain", "<u8"), ("links", "<u4"), ("row", "<u4")])
RECORD_BYTES: Final = _RECORD.itemsize

_UNREACHABLE: Final = frozenset(
    {Reason.DNS_FAILED, Reason.CONNECT_FAILED, Reason.TLS_FAILED, Reason.FETCH_TIMEOUT, Reason.BAD_HTTP}
)
# Most of what is under way waits: for robots.txt, for its host's pause, for a repetition. The client limits requests.
_AHEAD: Final = 10
_SYNC: Final = 1.0  # seconds of work that a crash of the machine may cost
_DETAIL: Final = 300  # characters
# How a payload that is not whole came to be so, in the words of WARC-Truncated.
_TRUNCATED: Final = {
    Reason.FETCH_TIMEOUT: "time",
    Reason.BAD_HTTP: "disconnect",
    Reason.PAGE_TOO_LARGE: "length",
    Reason.EMPTY_PAGE: "",
}
_NOT_READ: Final = "unspecified"


class Target(NamedTuple):
    """One link to be fetched."""

    key: bytes
    url: str
    created_utc: int  # of the earliest post


class Fetcher(Protocol):
    """What asks for one URL: pipeline.pages.crawl.client.Client, or a test's own."""

    async def fetch(self, url: str) -> Outcome:
        """The outcome, whatever it is; never raises for what a server does."""

    def wait(self, url: str) -> float:
        """Seconds until the URL's host may be asked again."""


# Which part fetches a link.


def emit(parts: int, source: Part, wanted: frozenset[int]) -> list[tuple[int, bytes]]:
    """The links of one table, sent to the part of their domain. Inputs: the links table."""
    found = tabular.read_columns(source.inputs[0], ["url"])["url"].to_pylist()
    records = np.zeros(len(found), _RECORD)
    records["domain"] = [xxhash.xxh3_64_intdigest(domains.registered(url).encode()) for url in found]
    records["links"] = source.ordinal
    records["row"] = np.arange(len(found))
    return packed.scatter(records, packed.part_of(records["domain"], parts), wanted)


def targets_of(records: packed.Packed, links: Sequence[str]) -> list[Target]:
    """The links that the records name, in their order."""
    found: list[Target] = [Target(b"", "", 0)] * len(records)
    for table in np.unique(records["links"]):
        [places] = np.nonzero(records["links"] == table)
        rows = tabular.read_columns(links[table], Target._fields).take(records["row"][places].astype("i8"))
        for place, row in zip(places, rows.to_pylist(), strict=True):
            found[place] = Target(**row)
    return found


# What is kept of an outcome.


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
        self.entries = list(spooled.entries)
        if not spooled.size:
            about = [
                ("software", settings.user_agent),
                ("operator", settings.contact),
                ("format", "WARC File Format 1.1"),
                ("robots", "obey" if settings.obey_robots else "ignore"),
            ]
            spooled.append(warc_writer.warcinfo(time.time(), about))

    def record(self, row: int, outcome: Outcome, lost: tuple[Reason, str] | None = None) -> None:
        """What became of one URL. Records first, the journal last: a kill in between costs this URL alone.

        A page that was got but is `lost`, being no more what was linked to, is stored all the same.
        """
        fields: dict[bytes, bytes] = {}
        for name, value in outcome.headers:
            if (lowered := name.lower()) in ("content-type", "content-encoding"):
                fields.setdefault(lowered.encode(), value.encode("latin-1"))
        entry = Entry(
            row=row,
            captured_utc=int(outcome.started or time.time()),
            status=outcome.status,
            content_type=media_type(fields.get(b"content-type", b"")),
            verdict=str(outcome.reason or ""),
            detail=outcome.detail[:_DETAIL],
        )
        stored = exchanges(outcome)
        records = [warc_writer.request(each) for each in stored]
        if outcome.reason is None:
            *hops, last = stored
            page = outcome.page if self._same_limit else b""
            if not page:
                message = HttpMessage(outcome.status, fields, outcome.payload)
                page = decode_body(message, self._max_page_bytes + 1)
            digest = last.digest
            # Equal bytes are another page if they are to be read in another way.
            payload = " ".join([digest, *(value.decode("latin-1") for _, value in sorted(fields.items()))])
            original = self._originals.get(payload)
            entry = entry._replace(digest=xxhash.xxh3_128_hexdigest(page))
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
            entry = entry._replace(verdict=str(lost[0]), detail=lost[1][:_DETAIL])
        records += [warc_writer.response(each, each.digest) for each in stored]
        self._spool.append(b"".join(records))
        self._finish(entry)

    def give_up(self, row: int) -> None:
        """A URL that is not asked for, because its host doesn't answer."""
        detail = f"{BREAKER} URLs of this host in a row brought no answer"
        self._finish(Entry(row, int(time.time()), 0, "", str(Reason.HOST_DOWN), detail))

    def _finish(self, entry: Entry) -> None:
        entry = entry._replace(end=self._spool.size)
        self._spool.finish(entry)
        self.entries.append(entry)


class Crawl:
    """One part's URLs through a client into a spool."""

    def __init__(self, targets: Sequence[Target], settings: FetchSettings, recorder: Recorder, spooled: Spool) -> None:
        """Queue what the spool doesn't have."""
        self._targets = targets
        self._most = settings.concurrency * _AHEAD
        self._years = settings.years
        self._recorder = recorder
        self._spool = spooled
        self._frontier = Frontier(settings.per_host)
        self._changed = asyncio.Event()
        self._started = time.time()
        self.reasons: Counter[str] = Counter(entry.verdict for entry in recorder.entries)
        self.bytes = 0
        done = {entry.row for entry in recorder.entries}
        for row, target in enumerate(targets):
            if row not in done:
                self._frontier.add(urls.host_of(target.url), row)

    async def run(self, client: Fetcher) -> None:
        """Fetch all. Raises what can't be helped, such as a full disk."""
        async with asyncio.TaskGroup() as tasks:
            ticker = tasks.create_task(self._tick())
            while self._frontier.waiting or self._frontier.running:
                turn = self._frontier.take(time.monotonic()) if self._frontier.running < self._most else None
                if turn is not None:
                    tasks.create_task(self._fetch(client, turn))
                else:
                    await self._wait()
            ticker.cancel()
        self._spool.sync()

    async def _wait(self) -> None:
        """Until a URL is through, or the next host's time has come."""
        self._changed.clear()
        due = self._frontier.next_at()
        timer = None
        if due is not None and self._frontier.running < self._most:
            pause = max(0.0, due - time.monotonic())
            timer = asyncio.get_running_loop().call_later(pause, self._changed.set)
        await self._changed.wait()
        if timer is not None:
            timer.cancel()

    async def _fetch(self, client: Fetcher, turn: Turn) -> None:
        _, url, created_utc = self._targets[turn.row]
        outcome = await client.fetch(url)
        self._recorder.record(turn.row, outcome, drift.lost(outcome, created_utc, self._years))
        self.reasons[self._recorder.entries[-1].verdict] += 1
        self.bytes += len(outcome.payload)
        answered = outcome.reason not in _UNREACHABLE
        for row in self._frontier.done(turn, time.monotonic() + client.wait(url), answered):
            self._recorder.give_up(row)
            self.reasons[Reason.HOST_DOWN] += 1
        self._changed.set()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_SYNC)
            await asyncio.to_thread(self._spool.sync)
            self._spool.tell(self.live())

    def live(self) -> dict[str, Any]:
        """The figures of the moment."""
        return {
            "links": len(self._targets),
            "done": len(self._recorder.entries),
            "running": self._frontier.running,
            "hosts_waiting": self._frontier.hosts_waiting,
            "bytes": self.bytes,
            "seconds": round(time.time() - self._started, 1),
            "reasons": {reason: number for reason, number in sorted(self.reasons.items()) if reason},
        }


# The part.


@dataclass(frozen=True)
class Plan:
    """What all parts of the stage need to know."""

    settings: FetchSettings
    """How to fetch. Nothing of it is part of the fingerprint: a build that was stopped may go on with others."""
    max_page_bytes: int
    """Of the build; decides, with the payload, what a capture's digest is."""
    links: tuple[str, ...]
    """The links tables, in the order of the shuffle's sources."""
    folder: str
    """Of the stage. Spools are kept there if it is local, else in a temporary folder, which no restart finds."""
    fingerprint: str
    """Of the stage. A spool of another one is not used."""


def run(plan: Plan, part: Part, output: PartOutput, blocks: Sequence[bytes]) -> None:
    """Stage `fetch`: the links of some domains to one archive and one table. The part has no inputs of its own."""
    targets = targets_of(packed.gather(blocks, _RECORD), plan.links)
    spool.sweep(plan.folder, plan.fingerprint)
    with ExitStack() as stack:
        pace = None
        if storage.is_local(plan.folder):
            longest = max(plan.settings.delay, plan.settings.max_delay)
            os.makedirs(plan.folder, exist_ok=True)
            pace = Pace(storage.join(plan.folder, FILE), longest, alone=plan.settings.per_host == 1)
            stack.callback(pace.close)
            place = storage.join(plan.folder, spool.PREFIX + part.name)
        else:
            place = stack.enter_context(tempfile.TemporaryDirectory())
        spooled = stack.enter_context(Spool(place, plan.fingerprint))
        recorder = Recorder(spooled, plan.settings, plan.max_page_bytes)
        if len(recorder.entries) < len(targets):
            stack.enter_context(_rare_collections())
            output.counts["fetched_bytes"] = uvloop.run(_crawl(targets, plan.settings, recorder, spooled, pace))
        _publish(part, output, targets, recorder.entries, spooled)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for cycles less often, and not among what was imported: 5 % of a crawl's CPU time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


async def _crawl(
    targets: Sequence[Target], settings: FetchSettings, recorder: Recorder, spooled: Spool, pace: Pace | None
) -> int:
    crawl = Crawl(targets, settings, recorder, spooled)
    async with Client(settings, pace=pace) as client:
        await crawl.run(client)
    return crawl.bytes


def _publish(
    part: Part, output: PartOutput, targets: Sequence[Target], entries: Sequence[Entry], spooled: Spool
) -> None:
    """The spool as the part's files. It is removed by the next sweep, once the receipt is there."""
    with output.file(part.name + ARCHIVE) as sink:
        sink.take(str(spooled.archive))
    with output.table("captures", tables.CAPTURES) as table:
        for entry in sorted(entries):
            target = targets[entry.row]
            table.add(
                *(target.key, target.url, entry.captured_utc, entry.status, entry.content_type),
                *(entry.verdict, bytes.fromhex(entry.digest), entry.offset),
            )
            output.counts["fetched" if not entry.verdict else f"failed_{entry.verdict}"] += 1
            if entry.verdict:
                # Not this stage's loss: `pages` rejects the link, and may find it in other archives. This tells why.
                reason = Reason(entry.verdict)
                output.reject(Rejected(STAGE, reason, target.key, target.url, entry.detail), records=0)
    output.taken = len(targets)
    output.passed = output.rows = table.rows
