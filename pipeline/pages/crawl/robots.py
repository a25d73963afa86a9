"""What a site lets crawlers do: robots.txt, and the marks that reserve text and data mining.

Source: RFC 9309 (Robots Exclusion Protocol); W3C TDM Reservation Protocol, sections 4.1 and 4.2; Google's robots meta
tag and X-Robots-Tag, whose form `noai` borrows. Not done: /.well-known/tdmrep.json, ai.txt.
"""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

import can_ada

from webtext.pipeline.archives.codings import undo_whole
from webtext.pipeline.pages.crawl.robots_rules import RobotsRules, decode_text
from webtext.pipeline.pages.crawl.settings import PRODUCT
from webtext.schemas.records import Reason

MAX_BYTES: Final = 500 * 1024
"""How much of a robots.txt is read, as sent and as decoded; the rest does not count. RFC 9309 section 2.5 wants at
least this."""

MAX_REDIRECTS: Final = 5
"""RFC 9309 section 2.3.1.2."""

_KEEP: Final = 24 * 3600.0  # seconds; RFC 9309 section 2.4
_KEEP_FAILURE: Final = 600.0  # seconds until one that can't be read is asked for again
_MAX_HOSTS: Final = 4096
_MAX_CACHED_BYTES: Final = 32 * 2**20
_MATCH_INLINE: Final = 2**20  # comparisons, each about 1 ns; what takes more is matched in a thread


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


@dataclass(frozen=True, slots=True)
class _Rules:
    expires: float
    size: int
    parsed: RobotsRules | None  # None: one verdict for every URL
    verdict: Verdict


class RobotsCache:
    """The rules of the hosts asked lately, each fetched once a day.

    Holds at most 4,096 hosts and 32 MiB of rules; the least lately used go first.
    """

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[RobotsReply]],
        clock: Callable[[], float] = time.monotonic,
        keep_failure: float = _KEEP_FAILURE,
    ) -> None:
        """`fetch` gets the URL of a robots.txt, follows its redirects and reads at most MAX_BYTES.

        One that a host does not give is asked for again after `keep_failure` seconds.
        """
        self._fetch = fetch
        self._keep_failure = keep_failure
        self._clock = clock
        self._rules: OrderedDict[str, _Rules] = OrderedDict()
        self._size = 0
        self._under_way: dict[str, asyncio.Lock] = {}

    async def verdict(self, url: str) -> Verdict:
        """Whether `url` may be fetched, and how many seconds to wait between requests to its host.

        No robots.txt (status 4xx) allows everything. One that can't be read (5xx, 429, no answer, a content coding that
        can't be undone) forbids everything for a while.
        """
        parsed = can_ada.parse(url)
        origin = parsed.origin
        rules = self._known(origin)
        if rules is None:
            lock = self._under_way.setdefault(origin, asyncio.Lock())
            try:
                async with lock:
                    rules = self._known(origin)  # another may have fetched it meanwhile
                    if rules is None:
                        rules = await self._read(f"{origin}/robots.txt")
                        self._keep(origin, rules)
            finally:
                if self._under_way.get(origin) is lock and not lock.locked():
                    del self._under_way[origin]
        if rules.parsed is None:
            return rules.verdict
        target = "/" + parsed.href.partition("#")[0].split("/", 3)[3]
        if rules.parsed.cost(target) <= _MATCH_INLINE:
            allowed = rules.parsed.allows(target)
        else:
            allowed = await asyncio.to_thread(rules.parsed.allows, target)
        delay = rules.parsed.crawl_delay
        if allowed:
            return Verdict(True, delay, "allowed by robots.txt")
        return Verdict(False, delay, "disallowed by robots.txt", Reason.ROBOTS_DISALLOWED)

    def _known(self, origin: str) -> _Rules | None:
        rules = self._rules.get(origin)
        if rules is None or rules.expires <= self._clock():
            return None
        self._rules.move_to_end(origin)
        return rules

    def _keep(self, origin: str, rules: _Rules) -> None:
        old = self._rules.pop(origin, None)
        self._size += rules.size - (old.size if old else 0)
        self._rules[origin] = rules
        while len(self._rules) > _MAX_HOSTS or (self._size > _MAX_CACHED_BYTES and len(self._rules) > 1):
            self._size -= self._rules.popitem(last=False)[1].size

    async def _read(self, url: str) -> _Rules:
        reply = await self._fetch(url)
        if 200 <= reply.status < 300:
            try:  # in a thread: a small body may decode to 500 KiB, which take up to 0.3 s
                parsed, size = await asyncio.to_thread(_parse, reply)
            except ValueError as error:
                why = f"robots.txt can't be decoded: {error}"
                return self._fixed(_KEEP_FAILURE, Verdict(False, why=why, reason=Reason.ROBOTS_DISALLOWED))
            return _Rules(self._clock() + _KEEP, size, parsed, Verdict(True))
        if reply.reason is Reason.TOO_MANY_REDIRECTS:  # RFC 9309 section 2.3.1.2: as if there were none
            return self._fixed(_KEEP, Verdict(True, why=f"no robots.txt: {reply.detail}"))
        # RFC 9309 section 2.3.1.3. It counts 429 among these too, but a host that is overrun has not said yes.
        if 300 <= reply.status < 500 and reply.status != 429:
            return self._fixed(_KEEP, Verdict(True, why=f"no robots.txt: status {reply.status}"))
        what = f"status {reply.status}" if reply.status else reply.detail
        reason = Reason.RATE_LIMITED if reply.status == 429 else reply.reason or Reason.ROBOTS_DISALLOWED
        why, outage = f"robots.txt can't be read: {what}", reply.outage or reply.status > 0
        return self._fixed(self._keep_failure, Verdict(False, why=why, reason=reason, outage=outage))

    def _fixed(self, seconds: float, verdict: Verdict) -> _Rules:
        return _Rules(self._clock() + seconds, 0, None, verdict)


def _parse(reply: RobotsReply) -> tuple[RobotsRules, int]:
    """The rules of a robots.txt, and its size in bytes. Raises ValueError where its content coding can't be undone."""
    body = undo_whole(reply.body[:MAX_BYTES], reply.coding, MAX_BYTES)
    if len(body) == MAX_BYTES:  # the last line may be cut, and "Allow: /" of "Allow: /public" allows all
        body = body[: max(body.rfind(b"\n"), body.rfind(b"\r")) + 1]
    return RobotsRules.parse(decode_text(body), PRODUCT), len(body)


_END_OF_HEAD = re.compile(rb"</head\s*>|<body[\s>]", re.IGNORECASE)
_META = re.compile(rb"<meta\s([^>]{1,2000}+)>", re.IGNORECASE)
# The value is optional, so that a long name without one is passed over at once, not tried again from each letter.
_ATTRIBUTE = re.compile(rb"([a-z][a-z-]*+)(?:\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s\"'>]++)))?+", re.IGNORECASE)
_HEAD_BYTES: Final = 64 * 1024

_REFUSALS: Final = frozenset({"noai", "noml"})  # noimageai speaks of images, which no corpus of texts holds
# One of these is in every page that refuses, once its comments are gone.
_REFUSAL_WORDS: Final = (*(rule.encode() for rule in sorted(_REFUSALS)), b"tdm-reservation")
# Rules of X-Robots-Tag that have a colon themselves, so it does not end the name of a crawler.
_VALUED_RULES: Final = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


def refuses_mining(headers: Iterable[tuple[str, str]], html_head: bytes = b"") -> str:
    """What in the header fields or the page's <head> refuses text and data mining; "" where nothing does.

    Refusals are: X-Robots-Tag noai or noml (for every crawler, or for this one by name), tdm-reservation: 1, and
    both as <meta> of the first 64 KiB (names robots, this crawler's, tdm-reservation).

    Args:
        headers: names in any case.
        html_head: beginning of the page, decoded from its content coding.
    """
    for name, value in headers:
        match name.lower():
            case "x-robots-tag" if rule := _refusing_rule(value):
                return f"X-Robots-Tag: {rule}"
            case "tdm-reservation" if value.strip() == "1":
                return "tdm-reservation: 1"
    head = _start_of(html_head[:_HEAD_BYTES].replace(b"\0", b""))  # NUL: UTF-16 then looks like ASCII
    lowered = head.lower()
    if not any(word in lowered for word in _REFUSAL_WORDS):  # as on nearly every page
        return ""
    end = _END_OF_HEAD.search(head)
    for meta in _META.finditer(head, 0, end.start() if end else len(head)):
        attributes = {
            found[1].lower(): (found[2] or found[3] or found[4] or b"").decode("latin-1").strip()
            for found in _ATTRIBUTE.finditer(meta[1])
            if found.lastindex != 1
        }
        named, content = attributes.get(b"name", "").lower(), attributes.get(b"content", "")
        if named == "tdm-reservation" and content == "1":
            return "meta tdm-reservation: 1"
        if named in ("robots", PRODUCT) and (rule := _refusing_rule(content)):
            return f"meta {named}: {rule}"
    return ""


def _start_of(html: bytes) -> bytes:
    """`html` without comments, up to its first comment without end or to the most usual form of the end of <head>.

    A regular expression would take quadratic time for many comments without end.
    """
    pieces = []
    at = 0
    stop = _find(html, b"</head>", 0)
    while (start := html.find(b"<!--", at, stop)) >= 0:
        pieces.append(html[at:start])
        end = html.find(b"-->", start + 4)
        if end < 0:
            return b"".join(pieces)
        at = end + 3
        if at > stop:  # that was in the comment
            stop = _find(html, b"</head>", at)
    return b"".join([*pieces, html[at:stop]])


def _find(html: bytes, what: bytes, start: int) -> int:
    found = html.find(what, start)
    return len(html) if found < 0 else found


def _refusing_rule(value: str) -> str:
    """The rule of `value` that refuses mining by this crawler, or ""."""
    agent = ""
    for part in value.lower().split(","):
        name, colon, rest = part.strip().partition(":")
        if colon and name.strip() not in _VALUED_RULES:
            agent, rule = name.strip(), rest.strip()  # holds for the rules that follow in the same field
        else:
            rule = name.strip()
        if rule in _REFUSALS and agent in ("", "*", PRODUCT):
            return rule
    return ""
