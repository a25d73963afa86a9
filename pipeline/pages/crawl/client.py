"""Fetch one URL over HTTP as a polite crawler does: robots.txt, pauses, deadlines, limits, a Reason for each failure.

The client is what paces: every request (pages, robots.txt, redirects, repetitions) passes the gate of its host, so no
caller can be impolite by accident; pace.py keeps the gates of all processes of a machine in step. A connection serves
one request: a polite crawler comes back to a host too late to reuse one, and open files stay below the concurrency.
"""

import asyncio
import functools
import itertools
import socket
import ssl
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self, TypeAlias

import aiohttp
import can_ada
import certifi
from aiohttp.abc import AbstractResolver
from aiohttp.client_reqrep import ClientResponse
from yarl import URL

from webtext.pipeline.archives.http_payload import MAX_HEAD_BYTES, REDIRECTS
from webtext.pipeline.identity import urls
from webtext.pipeline.opt_outs.robots_rules import MAX_BYTES
from webtext.pipeline.pages.crawl.addresses import ForbiddenAddressError, GuardedResolver, check_url, open_socket
from webtext.pipeline.pages.crawl.outcome import (
    BlockedSocketError,
    Outcome,
    Redirect,
    accept_page,
    explain,
    first_field,
    refuse_head,
    refuse_mining,
    refuse_status,
    request_head,
    response_head,
)
from webtext.pipeline.pages.crawl.pace import Pace
from webtext.pipeline.pages.crawl.reservations import Reservations
from webtext.pipeline.pages.crawl.robots import MAX_REDIRECTS, RobotsCache, RobotsReply, Verdict
from webtext.pipeline.pages.crawl.settings import FetchSettings
from webtext.schemas.records import Reason

_MAX_FIELD: Final = 32 * 2**10  # bytes of one header field: policies and cookies beyond aiohttp's 8 KiB are common
_MAX_HOSTS: Final = 20_000  # whose last request is remembered
_DNS_SECONDS: Final = 300  # how long an address is used without a new look-up

_SocketAddress: TypeAlias = tuple[int, int, int, str, tuple[object, ...]]


class _Response(ClientResponse):
    """A response that remembers who sent it: aiohttp forgets when a body ends."""

    peer = ""

    async def start(self, connection: aiohttp.connector.Connection) -> ClientResponse:
        if connection.transport is not None and (name := connection.transport.get_extra_info("peername")):
            self.peer = str(name[0])
        return await super().start(connection)


class _BrokenConnectionError(Exception):
    """Carries an error past aiohttp, which would repeat the request at once, uncounted and without a pause."""


async def _only_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> ClientResponse:
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _BrokenConnectionError from error


class _Host:
    """The gate of one host: slots, and the moment of the last request."""

    def __init__(self, per_host: int, delay: float) -> None:
        self.slots = asyncio.Semaphore(per_host)
        self.users = 0
        self.delay = delay  # seconds
        self.last = -1e9  # monotonic
        self.not_before = 0.0  # monotonic; a server asked for silence until then

    def wait(self) -> float:
        """Seconds until the next request may start; 0 or less: now."""
        return max(self.last + self.delay, self.not_before) - time.monotonic()


class Client:
    """Fetches URLs; an async context manager, of one event loop.

    Args:
        settings: how.
        resolver: in place of the system's, for tests. Its answers are checked like the system's.
        trusted: addresses that count as public, for tests.
        pace: what the other processes of this machine know of the hosts; without it each keeps a pace of its own.
    """

    def __init__(
        self,
        settings: FetchSettings,
        *,
        resolver: AbstractResolver | None = None,
        trusted: Collection[str] = (),
        pace: Pace | None = None,
    ) -> None:
        self.settings = settings
        self._pace = pace
        # A host that is asked again after an outage is asked for its robots.txt too.
        self.robots = RobotsCache(self._fetch_file, keep_failure=settings.revisit_delay)
        self._reservations = Reservations(self._fetch_file, settings.obeyed, keep_failure=settings.revisit_delay)
        self._inner = resolver
        self._trusted = frozenset(trusted)
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._hosts: dict[str, _Host] = {}
        self._session: aiohttp.ClientSession | None = None
        self._resolver: GuardedResolver | None = None

    async def __aenter__(self) -> Self:
        settings = self.settings
        tls = ssl.create_default_context()
        tls.load_verify_locations(certifi.where())  # beside the system's, which a container may lack
        self._resolver = GuardedResolver(
            self._inner,
            allow_private=settings.allow_private,
            trusted=self._trusted,
            seconds=settings.dns_seconds,
        )
        connector = aiohttp.TCPConnector(
            resolver=self._resolver,
            socket_factory=functools.partial(_open_socket, allow_private=settings.allow_private, trusted=self._trusted),
            family=socket.AF_UNSPEC,
            force_close=True,
            limit=0,  # the gates below limit
            ssl=tls,
            ttl_dns_cache=_DNS_SECONDS,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            response_class=_Response,
            auto_decompress=False,
            middlewares=(_only_once,),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,  # a proxy would connect for us, to whatever address
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=settings.connect_seconds, sock_read=settings.read_seconds
            ),
            max_line_size=_MAX_FIELD,
            max_field_size=_MAX_FIELD,
            headers={
                "User-Agent": settings.user_agent,
                "Accept": ", ".join([*settings.accept, "*/*;q=0.1"]),
                "Accept-Language": "en, *;q=0.5",
                "Accept-Encoding": "gzip, br",
            },
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
        if self._resolver is not None:
            await self._resolver.close()

    def wait(self, url: str) -> float:
        """Seconds until a request to the host of `url` could start, by its pauses alone; 0 if now."""
        host = self._hosts.get(_host_of(url))
        return max(0.0, host.wait()) if host else 0.0

    async def fetch(self, url: str) -> Outcome:
        """The page at `url`, redirects followed, or the Reason why there is none. Raises nothing of the network's."""
        return await self._follow(url, self.settings.max_redirects, page=True)

    async def answers(self, url: str) -> bool:
        """Whether the host of `url` answers when it is asked for its robots.txt."""
        try:
            target = f"{can_ada.parse(url).origin}/robots.txt"
        except (TypeError, ValueError):
            return False
        return (await self._follow(target, MAX_REDIRECTS, page=False)).status != 0

    async def _fetch_file(self, url: str) -> RobotsReply:
        outcome = await self._follow(url, MAX_REDIRECTS, page=False)
        if outcome.reason in (None, Reason.HTTP_STATUS, Reason.RATE_LIMITED):
            codings = [value for name, value in outcome.headers if name.lower() == "content-encoding"]
            return RobotsReply(outcome.status, outcome.payload, ", ".join(codings).encode("latin-1"))
        return RobotsReply(reason=outcome.reason, detail=outcome.detail, outage=outcome.outage)

    async def _follow(self, url: str, max_redirects: int, *, page: bool) -> Outcome:
        redirects: list[Redirect] = []
        visited = {url}
        requests = 0
        target = url
        while True:
            outcome = await self._hop(target, page=page)
            requests += outcome.requests
            location = outcome.location
            if location and (location in visited or len(redirects) == max_redirects):
                outcome.reason = Reason.TOO_MANY_REDIRECTS
                outcome.detail = (
                    f"back to {location}" if location in visited else f"more than {max_redirects} redirects"
                )
                location = ""
            if not location:
                outcome.url, outcome.redirects, outcome.requests = url, redirects, requests
                return outcome
            redirects.append(
                Redirect(
                    outcome.final_url,
                    outcome.status,
                    location,
                    outcome.ip,
                    outcome.started,
                    outcome.request,
                    outcome.response_head,
                )
            )
            visited.add(location)
            target = location

    async def _hop(self, url: str, *, page: bool) -> Outcome:
        """One URL without its redirects, but with repetitions."""
        settings = self.settings
        try:
            check_url(url, ports=settings.ports, allow_private=settings.allow_private, trusted=self._trusted)
        except ForbiddenAddressError as error:
            return Outcome(url, url, reason=Reason.FORBIDDEN_ADDRESS, detail=str(error))
        except ValueError as error:
            return Outcome(url, url, reason=Reason.BAD_URL, detail=str(error))
        name = _host_of(url)
        verdict, delay = Verdict(True), settings.delay
        if page and settings.obey_robots:
            verdict = await self.robots.verdict(url)
            why = verdict.why
            if not verdict.allowed:
                reason = verdict.reason or Reason.ROBOTS_DISALLOWED
                return Outcome(url, url, reason=reason, detail=why, robots=why, outage=verdict.outage)
            delay = max(delay, verdict.crawl_delay or 0.0)
            if delay > max(settings.delay, settings.max_delay):
                what = f"Crawl-delay {delay:g} s, at most {settings.max_delay:g} s are waited"
                return Outcome(url, url, reason=Reason.ROBOTS_DISALLOWED, detail=what, robots=why)
        if page:
            self._host(name).delay = delay
            refused = Outcome(url, url, robots=verdict.why)
            if refuse_mining(refused, verdict.opt_outs, settings) or refuse_mining(
                refused, await self._reservations.of(url, verdict.licences), settings
            ):
                return refused
        for attempt in itertools.count():
            host = self._host(name)
            if page:
                host.delay = delay  # of a host that was forgotten meanwhile
            async with self._turn(name, host):
                outcome = await self._ask(url, page=page)
                if outcome.retry_after is not None:
                    host.not_before = time.monotonic() + min(outcome.retry_after, settings.max_delay)
            outcome.robots = verdict.why
            outcome.requests = attempt + 1
            pause = settings.backoff * 2**attempt
            if outcome.retry_after is not None:
                pause = max(pause, outcome.retry_after)
            if not outcome.transient or attempt >= settings.retries or pause > settings.max_delay:
                return outcome
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    def _host(self, name: str) -> _Host:
        host = self._hosts.pop(name, None) or _Host(self.settings.per_host, self.settings.delay)
        if len(self._hosts) >= _MAX_HOSTS:
            idle = [old for old, state in self._hosts.items() if not state.users and state.wait() <= 0]
            for old in idle[: _MAX_HOSTS // 4]:
                del self._hosts[old]
        self._hosts[name] = host
        return host

    @asynccontextmanager
    async def _turn(self, name: str, host: _Host) -> AsyncIterator[None]:
        """A moment at which `host` and the crawler as a whole have room for a request."""
        host.users += 1
        try:
            async with host.slots:
                while True:
                    while (left := host.wait()) > 0:
                        await asyncio.sleep(left)
                    await self._slots.acquire()
                    left = host.wait()
                    if left <= 0 and self._pace is not None:
                        left = self._pace.take(name, host.delay)
                    if left <= 0:
                        break
                    self._slots.release()
                    await asyncio.sleep(left)
                host.last = time.monotonic()
                try:
                    yield
                finally:
                    self._slots.release()
                    if self.settings.per_host == 1:  # then no answer under way shortens the pause that the server sees
                        host.last = time.monotonic()
                    if self._pace is not None:
                        self._pace.free(name, host.wait())
        finally:
            host.users -= 1

    async def _ask(self, url: str, *, page: bool) -> Outcome:
        """One request."""
        assert self._session is not None, "a Client is used inside `async with`"
        outcome = Outcome(url, url, started=time.time())
        begun = time.monotonic()
        try:
            async with (
                asyncio.timeout(self.settings.total_seconds),
                self._session.get(URL(url, encoded=True), allow_redirects=False) as response,
            ):
                assert isinstance(response, _Response)
                try:
                    await self._read(outcome, response, page=page)
                finally:
                    response.close()
        except Exception as error:
            broken = error.__cause__ if isinstance(error, _BrokenConnectionError) else None
            explain(outcome, broken if isinstance(broken, Exception) else error, self.settings)
        outcome.elapsed = time.monotonic() - begun
        if outcome.reason is None and not outcome.location and page:
            accept_page(outcome, self.settings)
        return outcome

    async def _read(self, outcome: Outcome, response: _Response, *, page: bool) -> None:
        settings = self.settings
        outcome.status, outcome.ip = response.status, response.peer
        outcome.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers]
        outcome.request = request_head(response)
        outcome.response_head = response_head(response, 0)
        if len(outcome.response_head) > MAX_HEAD_BYTES:
            outcome.reason, outcome.detail = Reason.BAD_HTTP, f"header fields of more than {MAX_HEAD_BYTES} bytes"
            outcome.response_head = b""
            return
        if response.status in REDIRECTS and "Location" in response.headers:
            outcome.location = urls.resolve(outcome.final_url, first_field(response, b"location"))
            if not outcome.location:
                outcome.reason, outcome.detail = Reason.BAD_URL, "redirects to what is no URL"
            return
        if response.status != 200 and (page or not 200 <= response.status < 300):  # any 2xx is a robots.txt
            refuse_status(outcome, response)
            return
        if page and refuse_head(outcome, response, settings):
            return
        limit = settings.max_wire_bytes if page else MAX_BYTES
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                chunks[-1] = chunk[: limit - size]
                outcome.truncated = "length"
                break
        outcome.payload = b"".join(chunks)
        outcome.response_head = response_head(response, len(outcome.payload))


def _open_socket(address: _SocketAddress, *, allow_private: bool, trusted: Collection[str]) -> socket.socket:
    try:
        return open_socket(address, allow_private=allow_private, trusted=trusted)
    except ForbiddenAddressError as error:
        raise BlockedSocketError(str(error)) from error


def _host_of(url: str) -> str:
    """Host of a URL of any spelling; "" where there is none."""
    try:
        return str(can_ada.parse(url).hostname).removesuffix(".")
    except (TypeError, ValueError):
        return ""
