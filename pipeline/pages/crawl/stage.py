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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import uvloop
import xxhash

from webtext.pipeline.engine import packed
from webtext.pipeline.engine.stage import Part, PartOutput, Shuffle, Stage, numbered, paths_of
from webtext.pipeline.files import storage, tabular
from webtext.pipeline.flow import ARCHIVE, FETCH, LINKS_TABLE, OPT_OUT
from webtext.pipeline.identity import domains, urls
from webtext.pipeline.pages.crawl import drift, spool
from webtext.pipeline.pages.crawl.client import Client
from webtext.pipeline.pages.crawl.frontier import Frontier, Turn
from webtext.pipeline.pages.crawl.live import Live
from webtext.pipeline.pages.crawl.outcome import Outcome
from webtext.pipeline.pages.crawl.pace import FILE, Pace
from webtext.pipeline.pages.crawl.recorder import Recorder
from webtext.pipeline.pages.crawl.settings import FetchSettings
from webtext.pipeline.pages.crawl.spool import Entry, Spool
from webtext.pipeline.pages.crawl.uplink import Uplink
from webtext.schemas import tables
from webtext.schemas.manifest import StageManifest
from webtext.schemas.records import Reason, Rejected

_RECORD = np.dtype([("domain", "<u8"), ("links", "<u4"), ("row", "<u4")])
# A part is as slow as its slowest host, however many others it has, and loses nothing when it is killed: so few and
# large ones. One takes about 1 kB of memory for each link.
_LINKS_PARTS: Final = 8  # of the links, for each of this stage

_UNREACHABLE: Final = frozenset(
    {Reason.DNS_FAILED, Reason.CONNECT_FAILED, Reason.TLS_FAILED, Reason.FETCH_TIMEOUT, Reason.BAD_HTTP}
)
# Seconds for which a network that was there counts as being there, where a URL is not to be asked again.
_PROVED: Final = 60.0
# How often a host was set aside in vain until a part that has heard nobody yet asks whether there is a network.
_UNHEARD: Final = 2
# Most of what is under way waits: for robots.txt, for its host's pause, for a repetition. The client limits requests.
_AHEAD: Final = 10
_SYNC: Final = 1.0  # seconds of work that a crash of the machine may cost


class Target(NamedTuple):
    """One link to be fetched."""

    key: bytes
    url: str
    created_utc: int  # of the earliest post


class Fetcher(Protocol):
    """What asks for one URL: pipeline.pages.crawl.client.Client, or a test's own."""

    async def fetch(self, url: str) -> Outcome:
        """The outcome, whatever it is; never raises for what a server does."""

    async def answers(self, url: str) -> bool:
        """Whether the URL's host answers when it is asked for its robots.txt."""

    def wait(self, url: str) -> float:
        """Seconds until the URL's host may be asked again."""


def fetch_stage(settings: FetchSettings, max_page_bytes: int, parts: int, links: StageManifest, work: str) -> Stage:
    """The links of some domains each: asked of the live web, into archives of our own.

    Args:
        settings: how to ask.
        max_page_bytes: what is read of a page.
        parts: of the links.
        links: the manifest of stage `links`.
        work: the folder of the build.
    """
    linked = paths_of(work, links, LINKS_TABLE)
    count = max(1, parts // _LINKS_PARTS)
    folder = storage.join(work, FETCH)
    plan = FetchPlan(settings, max_page_bytes, tuple(linked), folder, fingerprint="")

    def shuffle(plan: FetchPlan) -> Shuffle:
        return Shuffle(
            sources=numbered({"links": [path]} for path in linked),
            emit=partial(emit_fetch, count),
            bytes=links.tally.rows * _RECORD.itemsize,
            run=partial(run_fetch, plan),
        )

    stage = Stage(
        name=FETCH,
        folder=folder,
        # Another list of public suffixes may send a domain to another part.
        settings={"max_page_bytes": max_page_bytes, "suffixes": version("tldextract")},
        inputs=[links.digest()],
        parts=numbered([{}] * count),
        run=shuffle(plan),
        unit="links",
        expects={"taken": links.tally.rows},
        live=Live(folder).look,
        tidy=_sweep,
    )
    # The parts know their stage by its fingerprint, so that none continues what another stage began.
    return replace(stage, run=shuffle(replace(plan, fingerprint=stage.fingerprint)))


def _sweep(stage: Stage) -> None:
    spool.sweep(stage.folder, stage.fingerprint)


# Which part fetches a link.


def emit_fetch(parts: int, source: Part, wanted: frozenset[int]) -> list[tuple[int, bytes]]:
    """The links of one table, sent to the part of their domain. Inputs: the links table."""
    [path] = source.inputs["links"]
    found = tabular.read_columns(path, ["url"])["url"].to_pylist()
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


class Crawl:
    """One part's URLs through a client into a spool."""

    def __init__(
        self,
        targets: Sequence[Target],
        settings: FetchSettings,
        recorder: Recorder,
        spooled: Spool,
        uplink: Uplink,
    ) -> None:
        """Queue what the spool doesn't have."""
        self._targets = targets
        self._uplink = uplink
        self._most = settings.concurrency * _AHEAD
        self._years = settings.years
        self._recorder = recorder
        self._spool = spooled
        self._frontier = Frontier(settings.per_host, settings.revisits, settings.revisit_delay)
        self._asked: set[str] = set()  # hosts
        self._heard = False  # whether any of them has answered
        self._silent_since: dict[str, float] = {}  # by host, of those that did not answer the last time
        self._failed: dict[int, Outcome] = {}  # of URLs that are to be asked again
        self._changed = asyncio.Event()
        self._started = time.time()
        self.reasons: Counter[str] = Counter(entry.verdict for entry in recorder.entries.values())
        self.bytes = 0
        for row, target in enumerate(targets):
            if row not in recorder.entries:
                self._frontier.add(urls.host_of(target.url), row)

    async def run(self, client: Fetcher) -> None:
        """Fetch all.

        Raises:
            StageError: nearly all hosts are silent, so that none is given up.
            OSError: what can't be helped, such as a full disk.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                ticker = tasks.create_task(self._tick())
                while self._frontier.waiting or self._frontier.running:
                    turn = self._frontier.take(time.monotonic()) if self._frontier.running < self._most else None
                    if turn is not None:
                        tasks.create_task(self._fetch(client, turn))
                    else:
                        await self._wait()
                ticker.cancel()
        except ExceptionGroup as errors:  # its message doesn't say what happened
            raise errors.exceptions[0] from None
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
        url, begun = self._targets[turn.row].url, time.monotonic()
        outcome = await client.fetch(url)
        # A host that redirects has answered, whatever became of that.
        answered = bool(outcome.redirects) or (not outcome.outage and outcome.reason not in _UNREACHABLE)
        heard = answered and (bool(outcome.redirects) or outcome.reason is not Reason.FORBIDDEN_ADDRESS)
        if turn.host not in self._asked:
            self._asked.add(turn.host)
            self._uplink.first(heard)
        self._heard |= heard
        since = begun
        if heard:
            self._silent_since.pop(turn.host, None)
        else:
            since = self._silent_since.setdefault(turn.host, begun)
        self._failed.pop(turn.row, None)
        if outcome.outage:
            self._failed[turn.row] = outcome
        else:
            if not heard:
                await self._uplink.check(client, min(since, begun - _PROVED))
            self._record(turn.row, outcome)
        pause = client.wait(url)
        given_up = self._frontier.done(turn, time.monotonic(), pause, answered=answered, again=outcome.outage)
        if not heard and (given_up or (turn.aside >= _UNHEARD and not self._heard)):
            await self._uplink.check(client, since)
        for row in given_up:
            self._record(row, self._failed.pop(row, None))
        self._changed.set()

    def _record(self, row: int, outcome: Outcome | None) -> None:
        """A URL is through; without an outcome it was not asked for."""
        if outcome is None:
            entry = self._recorder.give_up(row)
        else:
            lost = drift.no_longer_the_page(outcome, self._targets[row].created_utc, self._years)
            entry = self._recorder.record(row, outcome, lost)
            self.bytes += len(outcome.payload)
        self.reasons[entry.verdict] += 1

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
            "hosts_aside": self._frontier.hosts_aside,
            "bytes": self.bytes,
            "seconds": round(time.time() - self._started, 1),
            "reasons": {reason: number for reason, number in sorted(self.reasons.items()) if reason},
        }


# The part.


@dataclass(frozen=True)
class FetchPlan:
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


def run_fetch(plan: FetchPlan, part: Part, output: PartOutput, blocks: Sequence[bytes]) -> None:
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
            output.counts["fetched_bytes"] = uvloop.run(_crawl(targets, plan, recorder, spooled, pace))
        _publish(part, output, targets, recorder.entries.values(), spooled)


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
    targets: Sequence[Target], plan: FetchPlan, recorder: Recorder, spooled: Spool, pace: Pace | None
) -> int:
    crawl = Crawl(targets, plan.settings, recorder, spooled, Uplink(plan.settings.answering, plan.links))
    async with Client(plan.settings, pace=pace) as client:
        await crawl.run(client)
    return crawl.bytes


def _publish(
    part: Part, output: PartOutput, targets: Sequence[Target], entries: Iterable[Entry], spooled: Spool
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
            if entry.signal:
                output.counts[OPT_OUT + entry.signal] += 1
            if entry.verdict:
                # Not this stage's loss: `pages` rejects the link, and may find it in other archives. This tells why.
                reason = Reason(entry.verdict)
                output.reject(Rejected(FETCH, reason, target.key, target.url, entry.detail), records=0)
    output.taken = len(targets)
    output.passed = output.rows = table.rows
