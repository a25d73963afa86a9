"""What a site lets crawlers do: robots.txt.

Source: RFC 9309 (Robots Exclusion Protocol).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import can_ada

from webtext.pipeline.archives.codings import undo_whole
from webtext.pipeline.opt_outs.robots_rules import MAX_BYTES, Line, RobotsRules, decode_text
from webtext.pipeline.opt_outs.signals import PRODUCT, OptOut
from webtext.pipeline.pages.crawl.site_cache import DAY, FAILURE, Kept, SiteCache
from webtext.schemas.records import Reason

MAX_REDIRECTS: Final = 5
"""RFC 9309 section 2.3.1.2."""

MATCH_INLINE: Final = 2**20
"""Comparisons, each about 1 ns, that the event loop may take for one path; what takes more is matched in a thread."""


@dataclass(frozen=True, slots=True)
class RobotsReply:
    """The answer to a request for robots.txt, redirects followed."""

    status: int = 0  # 0: no HTTP answer
    body: bytes = b""  # as sent
    coding: bytes = b""  # Content-Encoding
    reason: Reason | None = None  # why there is no HTTP answer
    detail: str = ""
    outage: bool = False  # whether that may pass


@dataclass(frozen=True, slots=True)
class Verdict:
    """What robots.txt says of one URL."""

    allowed: bool
    crawl_delay: float | None = None  # seconds between requests
    why: str = ""  # for people, such as "no robots.txt: status 404"
    reason: Reason | None = None  # where not allowed: ROBOTS_DISALLOWED, or what kept robots.txt from being read
    outage: bool = False  # it can't be read, which may pass
    opt_outs: Sequence[OptOut] = ()  # what it says against the training of models, where allowed
    licences: Sequence[Line] = ()  # the lines that name licence documents


class RobotsCache:
    """The rules of the hosts asked lately, each fetched once a day."""

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[RobotsReply]],
        clock: Callable[[], float] = time.monotonic,
        keep_failure: float = FAILURE,
    ) -> None:
        """`fetch` gets the URL of a robots.txt, follows its redirects and reads at most MAX_BYTES.

        One that a host does not give is asked for again after `keep_failure` seconds.
        """
        self._fetch = fetch
        self._keep_failure = keep_failure
        self._rules: SiteCache[RobotsRules | Verdict] = SiteCache(self._read, clock)

    async def verdict(self, url: str) -> Verdict:
        """Whether `url` may be fetched, and how many seconds to wait between requests to its host.

        No robots.txt (status 4xx) allows everything. One that can't be read (5xx, 429, no answer, a content coding that
        can't be undone) forbids everything for a while.
        """
        parsed = can_ada.parse(url)
        rules = await self._rules.get(f"{parsed.origin}/robots.txt")
        if isinstance(rules, Verdict):
            return rules
        target = target_of(parsed.href)
        if rules.cost(target) <= MATCH_INLINE:
            return _judge(rules, target)
        return await asyncio.to_thread(_judge, rules, target)

    async def _read(self, url: str) -> Kept[RobotsRules | Verdict]:
        reply = await self._fetch(url)
        if 200 <= reply.status < 300:
            try:  # in a thread: a small body may decode to 500 KiB, which take up to 0.3 s
                parsed, size = await asyncio.to_thread(_parse, reply)
            except ValueError as error:
                why = f"robots.txt can't be decoded: {error}"
                return _fixed(FAILURE, Verdict(False, why=why, reason=Reason.ROBOTS_DISALLOWED))
            return Kept(parsed, size, DAY)
        if reply.reason is Reason.TOO_MANY_REDIRECTS:  # RFC 9309 section 2.3.1.2: as if there were none
            return _fixed(DAY, Verdict(True, why=f"no robots.txt: {reply.detail}"))
        # RFC 9309 section 2.3.1.3. It counts 429 among these too, but a host that is overrun has not said yes.
        if 300 <= reply.status < 500 and reply.status != 429:
            return _fixed(DAY, Verdict(True, why=f"no robots.txt: status {reply.status}"))
        what = f"status {reply.status}" if reply.status else reply.detail
        reason = Reason.RATE_LIMITED if reply.status == 429 else reply.reason or Reason.ROBOTS_DISALLOWED
        why, outage = f"robots.txt can't be read: {what}", reply.outage or reply.status > 0
        return _fixed(self._keep_failure, Verdict(False, why=why, reason=reason, outage=outage))


def _fixed(seconds: float, verdict: Verdict) -> Kept[RobotsRules | Verdict]:
    """One verdict for every URL."""
    return Kept(verdict, 0, seconds)


def _judge(rules: RobotsRules, target: str) -> Verdict:
    if not rules.allows(target):
        return Verdict(False, rules.crawl_delay, "disallowed by robots.txt", Reason.ROBOTS_DISALLOWED)
    opt_outs = tuple(rules.opt_outs(target))
    return Verdict(True, rules.crawl_delay, "allowed by robots.txt", opt_outs=opt_outs, licences=rules.licences)


def target_of(url: str) -> str:
    """The path of a URL in its usual form, with its query."""
    return "/" + url.partition("#")[0].split("/", 3)[3]


def _parse(reply: RobotsReply) -> tuple[RobotsRules, int]:
    """The rules of a robots.txt, and its size in bytes. Raises ValueError where its content coding can't be undone."""
    body = undo_whole(reply.body[:MAX_BYTES], reply.coding, MAX_BYTES)
    if len(body) == MAX_BYTES:  # the last line may be cut, and "Allow: /" of "Allow: /public" allows all
        body = body[: max(body.rfind(b"\n"), body.rfind(b"\r")) + 1]
    return RobotsRules.parse(decode_text(body), PRODUCT), len(body)
