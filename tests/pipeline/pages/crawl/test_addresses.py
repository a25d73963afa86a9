import asyncio
import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import HTML, Names, answer, serve

from webtext.pipeline.pages.crawl.addresses import (
    ForbiddenAddressError,
    GuardedResolver,
    SystemResolver,
    check_ip,
    check_url,
    open_socket,
)
from webtext.pipeline.pages.crawl.client import Client
from webtext.pipeline.pages.crawl.settings import FetchSettings
from webtext.schemas.records import Reason

FORBIDDEN_HOSTS = [
    # loopback in every spelling
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "0x7f.0x0.0x0.0x1",
    "127.0.0.1.",
    "%31%32%37.0.0.1",
    "１２７.０.０.１",
    "127。0。0。1",
    "localhost",
    "LOCALHOST.",
    "foo.localhost",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "0.0.0.0",  # noqa: S104
    "0",
    # private, link-local, carriers, metadata
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "0xc0a80101",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "169.254.170.2",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "metadata.google.internal",
    "printer.local",
    "[fd00:ec2::254]",
    "[fd12:3456::1]",
    "[fe80::1]",
    "[fec0::1]",
    # never a web site
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "192.88.99.1",
    "[ff02::1]",
    "[100::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[4000::1]",
    # IPv4 inside of IPv6
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:a9fe:a9fe]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::a00:1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:7f00:1::1]",
    "[2620:0:1::5efe:7f00:1]",
]
FORBIDDEN_URLS = [
    "http://user@example.com:{port}/",
    "http://user:pass@127.0.0.1:{port}/",
    "http://example.com@127.0.0.1:{port}/",
    "http://example.com%40127.0.0.1:{port}/",
    "http://nothing.invalid\\@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@example.com/",
    "http:127.0.0.1:{port}/",
    "http:\\\\127.0.0.1:{port}/",
    "http://127.0.0.1\t:{port}/",
    "http://[fe80::1%25lo]:{port}/",
    "ftp://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_GET",
    "data:text/html,x",
    "javascript:alert(1)",
    "//127.0.0.1:{port}/",
    "http://",
    "",
]
STRICT = FetchSettings("me@example.org", ports=(), retries=0, delay=0, connect_seconds=1, dns_seconds=1)


def test_no_form_reaches_a_loopback_server():
    forms = [f"http://{host}:{{port}}/" for host in FORBIDDEN_HOSTS] + FORBIDDEN_URLS
    assert len(forms) >= 80

    async def run():
        async with serve({"/": answer()}) as canary, Client(STRICT) as client:
            outcomes = {form: await client.fetch(form.format(port=canary.port)) for form in forms}
            return outcomes, canary.connections

    outcomes, connections = asyncio.run(run())
    wrong = {
        form: (outcome.reason, outcome.detail)
        for form, outcome in outcomes.items()
        if outcome.reason not in (Reason.FORBIDDEN_ADDRESS, Reason.BAD_URL) or outcome.requests
    }
    assert wrong == {}
    # Only these are refused because they are no URLs at all.
    spellings = {form for form, outcome in outcomes.items() if outcome.reason is Reason.BAD_URL}
    assert spellings <= {
        "http://example.com%40127.0.0.1:{port}/",
        "http://[fe80::1%25lo]:{port}/",
        "//127.0.0.1:{port}/",
        "http://",
        "",
    }
    assert connections == 0


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.2:{port}/secret",
        "//127.0.0.2:{port}/secret",
        "http://0x7f000002:{port}/secret",
        "http://[::ffff:127.0.0.2]:{port}/secret",
        "http://inside.example:{port}/secret",
        "http://user@127.0.0.1:{port}/secret",
        "ftp://127.0.0.1:{port}/secret",
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data/",
        "https://[fd00:ec2::254]/",
    ],
)
def test_a_redirect_does_not_lead_inside(location):
    """127.0.0.1 plays the public internet here, everything else on loopback is inside."""
    page = b"HTTP/1.1 302 Found\r\nLocation: LOCATION\r\nContent-Length: 0\r\n\r\n"
    names = Names({"inside.example": [["127.0.0.2"]]})

    async def run():
        async def redirect(path, writer):
            return page.replace(b"LOCATION", location.format(port=server.port).encode())

        async with (
            serve({"/": redirect, "/secret": answer()}) as server,
            Client(STRICT, resolver=names, trusted=["127.0.0.1"]) as client,
        ):
            return await client.fetch(server.url()), server

    outcome, server = asyncio.run(run())
    assert outcome.reason is Reason.FORBIDDEN_ADDRESS, outcome.detail
    assert [hop.status for hop in outcome.redirects] == [302]
    assert "/secret" not in server.paths()


def test_robots_txt_is_no_way_inside_either():
    async def run():
        robots = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2/robots.txt\r\nContent-Length: 0\r\n\r\n"
        async with serve({"/": answer()}, robots=robots) as server, Client(STRICT, trusted=["127.0.0.1"]) as client:
            return await client.fetch(server.url())

    outcome = asyncio.run(run())
    assert outcome.reason is Reason.FORBIDDEN_ADDRESS
    assert outcome.status == 0


def test_dns_rebinding_changes_nothing():
    """The first answer is public (and not routed), the next one is loopback: whoever looks twice connects inside."""
    names = Names({"rebind.example": [["2d00::1"], ["127.0.0.1"]]})

    async def run():
        settings = FetchSettings("me@example.org", ports=(), retries=2, backoff=0, delay=0, connect_seconds=0.3)
        async with serve({"/": answer()}) as canary:
            url = canary.url(host="rebind.example")
            async with Client(settings, resolver=names) as client:
                first = await client.fetch(url)
                asked = len(names.asked)
            async with Client(settings, resolver=names) as client:
                second = await client.fetch(url)
            return first, asked, second, canary.connections

    first, asked, second, connections = asyncio.run(run())
    assert first.reason is Reason.CONNECT_FAILED
    assert asked == 1  # for robots.txt and its repetitions
    assert second.reason is Reason.FORBIDDEN_ADDRESS
    assert "rebind.example resolves to 127.0.0.1 is loopback" in second.detail
    assert connections == 0


def test_the_resolver_drops_what_is_inside():
    names = Names(
        {
            "mixed.example": [["10.0.0.1", "8.8.8.8", "::1", "2606:4700::1111", "169.254.169.254"]],
            "inside.example": [["10.0.0.1", "fe80::1%eth0"]],
            "nothing.example": [[]],
        }
    )

    async def resolve(name, **options):
        return [entry["host"] for entry in await GuardedResolver(names, **options).resolve(name, 80)]

    assert asyncio.run(resolve("mixed.example")) == ["8.8.8.8", "2606:4700::1111"]
    assert len(asyncio.run(resolve("mixed.example", allow_private=True))) == 5
    with pytest.raises(ForbiddenAddressError, match=r"inside.example resolves to 10.0.0.1 is private \(RFC 1918\)"):
        asyncio.run(resolve("inside.example"))
    for name in ("nothing.example", "missing.example"):
        with pytest.raises(socket.gaierror):
            asyncio.run(resolve(name))


def test_a_name_server_that_does_not_answer_is_given_up():
    class Silent(Names):
        async def resolve(self, host, port=0, family=socket.AF_UNSPEC):
            await asyncio.sleep(60)

    async def run():
        settings = FetchSettings("me@example.org", retries=0, dns_seconds=0.2)
        async with Client(settings, resolver=Silent({})) as client:
            return await client.fetch("http://slow.example/")

    outcome = asyncio.run(run())
    assert outcome.reason is Reason.DNS_FAILED
    assert "no answer in 0.2 s" in outcome.detail


def test_the_system_resolver_takes_any_name():
    async def run(name):
        resolver = SystemResolver()
        try:
            return await resolver.resolve(name, 80)
        finally:
            await resolver.close()

    assert "127.0.0.1" in [entry["host"] for entry in asyncio.run(run("localhost"))]
    for name in ("a" * 64 + ".example", "a..b", "nothing.invalid"):
        with pytest.raises(OSError):  # noqa: PT011  the system's words differ
            asyncio.run(run(name))


def test_the_socket_is_the_last_check():
    address = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80))
    with pytest.raises(ForbiddenAddressError, match="loopback"):
        open_socket(address)
    open_socket(address, allow_private=True).close()
    open_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("8.8.8.8", 80))).close()


@pytest.mark.parametrize("ip", ["8.8.8.8", "1.1.1.1", "100.63.255.255", "172.32.0.1", "192.0.1.1", "198.20.0.1"])
def test_public_addresses(ip):
    check_ip(ip)
    check_ip(f"::ffff:{ip}")
    check_ip(f"64:ff9b::{ip}")  # how a network without IPv4 reaches it
    check_url(f"http://{ip}/")


@pytest.mark.parametrize("ip", ["2606:4700:4700::1111", "2a00:1450::1", "2001:4860:4860::8888"])
def test_public_addresses_of_six(ip):
    check_ip(ip)
    check_url(f"https://[{ip}]/")


@given(st.integers(0, 2**32 - 1))
def test_nothing_that_is_not_global_passes(number):
    ip = ipaddress.IPv4Address(number)
    if not ip.is_global:
        for form in (str(ip), f"::ffff:{ip}", f"64:ff9b::{ip}", f"::{ip}"):
            with pytest.raises(ForbiddenAddressError):
                check_ip(form)
        for host in (str(number), hex(number), f"0{number:o}"):
            with pytest.raises(ForbiddenAddressError):
                check_url(f"http://{host}/")


@given(st.integers(0, 2**128 - 1))
def test_nothing_of_six_that_is_not_global_passes(number):
    ip = ipaddress.IPv6Address(number)
    if not ip.is_global:
        with pytest.raises(ForbiddenAddressError):
            check_ip(str(ip))


def test_ports():
    check_url("http://example.com:8080/")
    for port in (22, 25, 6379, 3306, 11211):
        with pytest.raises(ForbiddenAddressError, match=f"port {port}, allowed are 80"):
            check_url(f"http://example.com:{port}/")
    check_url("http://example.com:22/", ports=())
    with pytest.raises(ForbiddenAddressError, match="port 443"):
        check_url("https://example.com/", ports=(80,))


def test_an_allowed_address_is_reached():
    async def run():
        settings = FetchSettings("me@example.org", ports=(), delay=0, allow_private=True)
        async with serve({"/": answer()}) as server, Client(settings) as client:
            return await client.fetch(server.url(host="localhost"))

    outcome = asyncio.run(run())
    assert (outcome.reason, outcome.payload, outcome.ip) == (None, HTML, "127.0.0.1")
