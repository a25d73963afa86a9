"""Which addresses the crawler may connect to: the public internet, and nothing else.

Anyone can post a link, or run a server that redirects. Without this check a crawler reads its own network for them:
admin pages on loopback, routers, the cloud's metadata service with its credentials. A name proves nothing, because its
owner chooses what it resolves to and may answer differently the next time. So the check is on the address, at three
places: `check_url` refuses what is wrong by its spelling, GuardedResolver drops forbidden answers and is the only
look-up, and `open_socket` checks once more what is connected to, literal addresses among them.

Source: OWASP, Server-Side Request Forgery Prevention Cheat Sheet; IANA special-purpose address registries (RFC 6890).
"""

import asyncio
import ipaddress
import socket
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Final

import can_ada
from aiohttp.abc import AbstractResolver, ResolveResult

IP = ipaddress.IPv4Address | ipaddress.IPv6Address

PORTS: Final = (80, 443, 8080, 8443)
"""TCP ports on which web sites are served; others belong to mail, databases and the like."""

_THREADS: Final = 64  # look-ups at a time; each waits in getaddrinfo

_FORBIDDEN_V4: Final = tuple(
    (ipaddress.IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "this network (RFC 791)"),
        ("10.0.0.0/8", "private (RFC 1918)"),
        ("100.64.0.0/10", "shared address space of carriers (RFC 6598)"),
        ("127.0.0.0/8", "loopback (RFC 1122)"),
        ("168.63.129.16/32", "Azure's metadata and DNS service"),
        ("169.254.0.0/16", "link-local, where clouds serve metadata (RFC 3927)"),
        ("172.16.0.0/12", "private (RFC 1918)"),
        ("192.0.0.0/24", "IETF protocol assignments, Oracle's metadata service (RFC 6890)"),
        ("192.0.2.0/24", "documentation (RFC 5737)"),
        ("192.88.99.0/24", "6to4 relay (RFC 7526)"),
        ("192.168.0.0/16", "private (RFC 1918)"),
        ("198.18.0.0/15", "benchmarking (RFC 2544)"),
        ("198.51.100.0/24", "documentation (RFC 5737)"),
        ("203.0.113.0/24", "documentation (RFC 5737)"),
        ("224.0.0.0/4", "multicast (RFC 5771)"),
        ("255.255.255.255/32", "broadcast (RFC 919)"),
        ("240.0.0.0/4", "reserved (RFC 1112)"),
    )
)
_FORBIDDEN_V6: Final = tuple(
    (ipaddress.IPv6Network(network), what)
    for network, what in (
        ("::/128", "unspecified (RFC 4291)"),
        ("::1/128", "loopback (RFC 4291)"),
        ("::/96", "IPv4-compatible (RFC 4291)"),
        ("64:ff9b:1::/48", "NAT64 of local use (RFC 8215)"),
        ("100::/64", "discard-only (RFC 6666)"),
        ("2001::/32", "Teredo (RFC 4380)"),
        ("2001:2::/48", "benchmarking (RFC 5180)"),
        ("2001:10::/28", "ORCHID (RFC 4843)"),
        ("2001:20::/28", "ORCHIDv2 (RFC 7343)"),
        ("2001:db8::/32", "documentation (RFC 3849)"),
        ("2001::/23", "IETF protocol assignments (RFC 2928)"),
        ("2002::/16", "6to4 (RFC 7526)"),
        ("3fff::/20", "documentation (RFC 9637)"),
        ("5f00::/16", "segment routing (RFC 9602)"),
        ("fc00::/7", "unique local, where clouds serve metadata (RFC 4193)"),
        ("fe80::/10", "link-local (RFC 4291)"),
        ("fec0::/10", "site-local (RFC 3879)"),
        ("ff00::/8", "multicast (RFC 4291)"),
    )
)
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")  # all that IANA has given out so far
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")  # RFC 4291 section 2.5.5.2
_TRANSLATED: Final = ipaddress.IPv6Network("::ffff:0:0:0/96")  # RFC 2765 section 2.1
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: how a network without IPv4 reaches IPv4 sites
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})  # RFC 5214 section 6.1: bits 64 to 95, the IPv4 address follows

# Names that never are public web sites; asking DNS for them would only tell the resolver.
_FORBIDDEN_NAMES: Final = {
    "localhost": "RFC 6761",
    "localdomain": "this machine's network",
    "local": "multicast DNS, RFC 6762",
    "internal": "private use by ICANN, where clouds serve metadata",
    "home.arpa": "home networks, RFC 8375",
    "onion": "Tor, RFC 7686",
    "test": "RFC 6761",
    "invalid": "RFC 6761",
}


class ForbiddenAddressError(ValueError):
    """A URL or an address that the crawler must not connect to; the message says which and why."""


@lru_cache(maxsize=4096)
def _forbidden(ip: IP) -> str:
    """Why `ip` is forbidden, or ""."""
    if isinstance(ip, ipaddress.IPv4Address):
        for reserved, what in _FORBIDDEN_V4:
            if ip in reserved:
                return what
        return "" if ip.is_global else "not globally reachable (RFC 6890)"
    for network, form in ((_MAPPED, "IPv4-mapped"), (_TRANSLATED, "IPv4-translated"), (_NAT64, "NAT64")):
        if ip in network:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
            what = _forbidden(inner)
            return what and f"{form} {inner}, {what}"
    for other, what in _FORBIDDEN_V6:
        if ip in other:
            return what
    if ip not in _GLOBAL_UNICAST or not ip.is_global:
        return "not global unicast (RFC 4291)"
    if (int(ip) >> 32) & 0xFFFFFFFF in _ISATAP:
        inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        what = _forbidden(inner)
        return what and f"ISATAP {inner}, {what}"
    return ""


def check_ip(ip: str | IP, trusted: Collection[str] = ()) -> None:
    """Refuse an address that is neither on the public internet nor among the `trusted` ones.

    Raises:
        ForbiddenAddressError: it is not, or carries an IPv4 address that is not, or is no address at all.
    """
    try:
        address = ipaddress.ip_address(ip) if isinstance(ip, str) else ip
    except ValueError as error:
        raise ForbiddenAddressError(f"{ip!r} is no IP address") from error
    if str(address) in trusted:
        return
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ForbiddenAddressError(f"{address} has a zone, so it is of this machine's links only (RFC 4007)")
    if what := _forbidden(address):
        raise ForbiddenAddressError(f"{address} is {what}")


def check_url(
    url: str, *, ports: Collection[int] = PORTS, allow_private: bool = False, trusted: Collection[str] = ()
) -> None:
    """Refuse a URL that must not be fetched whatever its name resolves to.

    A host in any numeric spelling (decimal, octal, hexadecimal, short, full-width digits) is judged as the address
    that it is: the WHATWG parser makes it one.

    Args:
        url: absolute.
        ports: allowed TCP ports; empty allows all.
        allow_private: do not judge the host; scheme, port and user information still count.
        trusted: addresses that count as public.

    Raises:
        ForbiddenAddressError: scheme, port, user information, name or address is forbidden.
        ValueError: it is no absolute URL.
    """
    try:
        parsed = can_ada.parse(url)
    except (TypeError, ValueError) as error:
        raise ValueError("not an absolute URL by the WHATWG standard") from error
    if parsed.protocol not in ("http:", "https:"):
        raise ForbiddenAddressError(f"scheme {parsed.protocol[:20]!r}, not http or https")
    if parsed.username or parsed.password:
        raise ForbiddenAddressError("carries a user name or password")
    port = int(parsed.port) if parsed.port else 443 if parsed.protocol == "https:" else 80
    if ports and port not in ports:
        raise ForbiddenAddressError(f"port {port}, allowed are {', '.join(map(str, ports))}")
    if allow_private:
        return
    host = parsed.hostname.removesuffix(".")
    if host.startswith("["):
        check_ip(host[1:-1], trusted)
    elif host.replace(".", "").isdigit():
        check_ip(host, trusted)
    for name, source in _FORBIDDEN_NAMES.items():
        if f".{host}".endswith(f".{name}"):
            raise ForbiddenAddressError(f"{host} is a name of {name} ({source})")


class SystemResolver(AbstractResolver):
    """getaddrinfo in threads of its own: the event loop's few would make one slow name server stall every host."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of `host`. Raises OSError, as getaddrinfo does."""
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host, port, family)
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=proto, flags=socket.AI_NUMERICHOST
            )
            for kind, _, proto, _, address in found
            if kind in (socket.AF_INET, socket.AF_INET6)
        ]

    async def close(self) -> None:
        """Give up look-ups that have not begun."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
    try:
        return list(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG))
    except UnicodeError as error:  # an empty label, or one of more than 63 characters
        raise socket.gaierror(socket.EAI_NONAME, f"no name for DNS: {error}") from error


class GuardedResolver(AbstractResolver):
    """A resolver whose answers may be connected to: forbidden addresses are dropped from them.

    Its answer is what is connected to, and a connector keeps it; nothing looks the name up a second time.

    Raises (on resolve):
        ForbiddenAddressError: nothing else was in the answer.
        OSError: there is no such name, or no answer in time.
    """

    def __init__(
        self,
        inner: AbstractResolver | None = None,
        *,
        allow_private: bool = False,
        trusted: Collection[str] = (),
        seconds: float = 10.0,
    ) -> None:
        self._inner = inner or SystemResolver()
        self._allow_private = allow_private
        self._trusted = trusted
        self._seconds = seconds

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of `host` that may be connected to."""
        try:
            async with asyncio.timeout(self._seconds):
                found = await self._inner.resolve(host, port, family)
        except TimeoutError as error:
            raise socket.gaierror(socket.EAI_AGAIN, f"no answer in {self._seconds:g} s") from error
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        if self._allow_private:
            return found
        allowed: list[ResolveResult] = []
        refusal = ""
        for result in found:
            try:
                check_ip(result["host"], self._trusted)
            except ForbiddenAddressError as error:
                refusal = refusal or str(error)
            else:
                allowed.append(result)
        if not allowed:
            raise ForbiddenAddressError(f"{host} resolves to {refusal}")
        return allowed

    async def close(self) -> None:
        """Close the resolver within."""
        await self._inner.close()


def open_socket(
    address: tuple[int, int, int, str, tuple[object, ...]],
    *,
    allow_private: bool = False,
    trusted: Collection[str] = (),
) -> socket.socket:
    """A socket for `address` (an entry of getaddrinfo), which its caller connects to next: the last check.

    Raises:
        ForbiddenAddressError: it must not be connected to.
    """
    family, kind, protocol, _, endpoint = address
    if not allow_private:
        check_ip(str(endpoint[0]), trusted)
    return socket.socket(family, kind, protocol)
