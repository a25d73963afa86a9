import asyncio
import gzip
import time
from datetime import UTC, datetime, timedelta

import brotli
import pytest
from client_requests import BASE, chunked, closing, fetch, silent
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from loopback import HTML, Names, answer, moved, serve

from webtext.pipeline.archives.http_payload import decode_body, is_html, media_type, parse_response
from webtext.pipeline.pages.crawl.client import Client
from webtext.pipeline.pages.crawl.settings import FetchSettings
from webtext.schemas.records import Reason

# What a page looks like.


def test_a_page():
    before = time.time()
    outcome, server = fetch({"/a?b=%20c": answer(HTML, "200 Fine", "X-Odd:  caf\xe9 ", "Set-Cookie: a=1")}, "/a?b=%20c")
    assert (outcome.status, outcome.reason, outcome.detail, outcome.truncated) == (200, None, "", "")
    assert outcome.payload == HTML
    assert outcome.final_url == outcome.url == server.url("/a?b=%20c")
    assert (outcome.ip, outcome.robots, outcome.redirects) == ("127.0.0.1", "no robots.txt: status 404", [])
    assert before <= outcome.started <= time.time()
    assert 0 < outcome.elapsed < 1
    assert ("X-Odd", "caf\xe9") in outcome.headers
    assert outcome.response_head.startswith(b"HTTP/1.1 200 Fine\r\nX-Odd: caf\xe9\r\nSet-Cookie: a=1\r\n")
    assert outcome.response_head.endswith(b"Content-Length: %d\r\n\r\n" % len(HTML))
    assert outcome.request == server.heads[-1]
    assert b"User-Agent: webtext/" in outcome.request
    assert b"(+me@example.org)" in outcome.request
    assert b"Cookie" not in outcome.request


@pytest.mark.parametrize(
    ("reply", "payload"),
    [
        (answer(gzip.compress(HTML), "200 OK", "Content-Encoding: gzip"), gzip.compress(HTML)),
        (answer(brotli.compress(HTML), "200 OK", "Content-Encoding: br"), brotli.compress(HTML)),
        (chunked(HTML[:10], HTML[10:]), HTML),
        (closing(HTML), HTML),
        (answer(HTML, kind=""), HTML),  # no type: judged by its bytes
        (b"HTTP/1.1 200\r\nContent-Type: text/html\r\n\r\n" + HTML, HTML),
        (b"HTTP/1.0 200 OK\nContent-Type: text/html\n\n" + HTML, HTML),
        (answer(HTML, "200 OK", "X-Long: " + "x" * 30_000), HTML),
    ],
)
def test_a_stored_page_can_be_read_back(reply, payload):
    outcome, _ = fetch({"/": reply})
    assert (outcome.reason, outcome.detail) == (None, "")
    assert outcome.payload == payload
    message = parse_response(outcome.response_head + outcome.payload)
    assert HTML.startswith(decode_body(message, 10**6))
    assert int(message.fields[b"content-length"]) == len(outcome.payload)
    assert b"transfer-encoding" not in message.fields


@pytest.mark.parametrize(
    ("kind", "fields", "body"),
    [
        ("text/html", ("Content-Encoding: gzip",), gzip.compress(HTML) + b"<!-- cached -->"),
        ("text/html", ("Content-Encoding: gzip",), gzip.compress(HTML)[:-8] + b"\1" * 8),
        ("text/html", ("Content-Encoding: gzip", "Content-Encoding: gzip"), gzip.compress(gzip.compress(HTML))),
        ("text/html", ("Content-Encoding: identity", "Content-Encoding: br"), brotli.compress(HTML)),
        ("text/html charset=utf-8", (), HTML),
        ('"text/html"', (), HTML),
        ("text/html", ("Content-Type: text/plain",), HTML),
        ("text/html", ("Transfer-Encoding: gzip, chunked",), gzip.compress(HTML)),
    ],
)
def test_a_page_under_odd_fields_is_one_here_and_in_an_archive(kind, fields, body):
    wire = body
    if fields and "chunked" in fields[-1]:
        wire = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    outcome, _ = fetch({"/": answer(wire, "200 OK", *fields, kind=kind, length=wire is body)})
    assert (outcome.reason, outcome.detail) == (None, "")
    assert (outcome.page, outcome.payload) == (HTML, body)
    message = parse_response(outcome.response_head + outcome.payload)
    assert decode_body(message, 10**6) == HTML
    assert is_html(media_type(message.fields[b"content-type"]), HTML)


# What goes wrong, each with its reason.


async def slow_head(path, writer):
    for byte in answer():
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.1)


async def slow_body(path, writer):
    writer.write(answer(HTML * 1000)[:500])
    for _ in range(100):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.1)


async def stalled(path, writer):
    writer.write(answer(HTML)[:-5])
    await writer.drain()
    await asyncio.sleep(5)


async def endless(path, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
    while True:
        writer.write(b"<p>" * 10_000)
        await writer.drain()


async def endless_chunks(path, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1\r\nx\r\n" * 1000)
        await writer.drain()


async def endless_head(path, writer):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: and more\r\n" * 100)
        await writer.drain()


async def endless_interim(path, writer):
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 10)
        await writer.drain()
        await asyncio.sleep(0.01)


async def reset(path, writer):
    writer.transport.abort()


async def reset_later(path, writer):
    writer.write(answer(HTML * 100)[:500])
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.transport.abort()


BOMB = gzip.compress(b"<html>" + bytes(50_000_000))
FAILURES = {
    "silent": (silent, Reason.FETCH_TIMEOUT, "silent for 0.3 s"),
    "slow head": (slow_head, Reason.FETCH_TIMEOUT, "not done in 1 s"),
    "slow body": (slow_body, Reason.FETCH_TIMEOUT, "not done in 1 s"),
    "stalled": (stalled, Reason.FETCH_TIMEOUT, "silent for 0.3 s"),
    "endless interim": (endless_interim, Reason.FETCH_TIMEOUT, "not done in 1 s"),
    "endless": (endless, Reason.PAGE_TOO_LARGE, "more than 200000 bytes"),
    "endless chunks": (endless_chunks, Reason.PAGE_TOO_LARGE, "more than 200000 bytes"),
    "endless head": (endless_head, Reason.BAD_HTTP, ""),
    "large": (answer(b"<html>" + b"x" * 200_001), Reason.PAGE_TOO_LARGE, "announces 200007 bytes"),
    "gzip bomb": (
        answer(BOMB, "200 OK", "Content-Encoding: gzip"),
        Reason.PAGE_TOO_LARGE,
        "more than 300000 bytes, decoded from",
    ),
    "bomb in a bomb": (
        answer(gzip.compress(BOMB), "200 OK", "Content-Encoding: gzip, gzip"),
        Reason.PAGE_TOO_LARGE,
        "more than 300000 bytes",
    ),
    "length lies": (answer(HTML).replace(b"Length: ", b"Length: 1"), Reason.BAD_HTTP, ""),
    "length lies the other way": (answer(HTML[:-7]) + b"</html>", Reason.BAD_HTTP, ""),
    "two lengths": (answer(HTML, "200 OK", "Content-Length: 5"), Reason.BAD_HTTP, ""),
    "length is no number": (answer(HTML).replace(b"Length: ", b"Length: -"), Reason.BAD_HTTP, ""),
    "chunks break off": (chunked(HTML, last=b""), Reason.BAD_HTTP, ""),
    "chunks are broken": (chunked(HTML, last=b"zz\r\nxx"), Reason.BAD_HTTP, ""),
    "reset": (reset, Reason.BAD_HTTP, ""),
    "reset later": (reset_later, Reason.BAD_HTTP, ""),
    "closed": (b"", Reason.BAD_HTTP, ""),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-", Reason.BAD_HTTP, ""),
    "not HTTP": (b"220 mail.example ESMTP\r\n", Reason.BAD_HTTP, ""),
    "binary": (bytes(range(256)) * 10, Reason.BAD_HTTP, ""),
    "huge field": (answer(HTML, "200 OK", "X-Long: " + "x" * 70_000), Reason.BAD_HTTP, ""),
    "huge head": (answer(HTML, "200 OK", *[f"X-{n}: " + "x" * 3000 for n in range(60)]), Reason.BAD_HTTP, ""),
    "many fields": (answer(HTML, "200 OK", *[f"X-{n}: x" for n in range(5000)]), Reason.BAD_HTTP, ""),
    "empty": (answer(b""), Reason.EMPTY_PAGE, ""),
    "blank": (answer(b" \r\n\t\0 "), Reason.EMPTY_PAGE, ""),
    "empty gzip": (answer(gzip.compress(b""), "200 OK", "Content-Encoding: gzip"), Reason.NOT_HTML, ""),
    "PDF": (answer(b"%PDF-1.4", kind="application/pdf"), Reason.NOT_HTML, "application/pdf"),
    "plain text": (answer(b"hello", kind="text/plain"), Reason.NOT_HTML, "text/plain"),
    "PDF as HTML": (answer(b"%PDF-1.4"), Reason.NOT_HTML, "text/html of other content"),
    "PNG without type": (answer(b"\x89PNG\r\n\x1a\n", kind=""), Reason.NOT_HTML, ""),
    "204": (answer(b"", "204 No Content"), Reason.HTTP_STATUS, "status 204"),
    "304": (answer(b"", "304 Not Modified"), Reason.HTTP_STATUS, "status 304"),
    "302 to nowhere": (answer(b"", "302 Found"), Reason.HTTP_STATUS, "status 302"),
    "404": (answer(b"", "404 Not Found"), Reason.HTTP_STATUS, "status 404"),
    "500": (answer(b"", "500 Oops"), Reason.HTTP_STATUS, "status 500"),
    "999": (answer(b"", "999 Go Away"), Reason.HTTP_STATUS, "status 999"),
    "429": (answer(b"", "429 Slow Down"), Reason.RATE_LIMITED, "status 429"),
    "503 later": (answer(b"", "503 Busy", "Retry-After: 7"), Reason.RATE_LIMITED, "status 503, Retry-After 7 s"),
    "503": (answer(b"", "503 Busy"), Reason.HTTP_STATUS, "status 503"),
    "to mail": (moved("mailto:me@example.org"), Reason.FORBIDDEN_ADDRESS, "scheme 'mailto:'"),
    "to nonsense": (moved("http://[oops/"), Reason.BAD_URL, "redirects to what is no URL"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures(name):
    reply, reason, detail = FAILURES[name]
    begun = time.monotonic()
    outcome, server = fetch({"/": reply})
    assert outcome.reason is reason, outcome.detail
    assert detail in outcome.detail
    assert time.monotonic() - begun < 30
    assert server.paths() == ["/robots.txt", "/"]
    assert len(outcome.payload) <= 200_000


def test_nothing_is_left_behind_by_failures():
    async def run():
        pages = {f"/{n}": reply for n, (reply, _, _) in enumerate(FAILURES.values())}
        settings = FetchSettings(**(BASE | {"per_host": 100}))
        async with serve(pages) as server, Client(settings) as client:
            outcomes = await asyncio.gather(*(client.fetch(server.url(path)) for path in pages))
            await asyncio.sleep(0.05)
            [host] = client._hosts.values()
            return outcomes, host, client._slots._value, len(client._session.connector._acquired)

    outcomes, host, slots, open_connections = asyncio.run(run())
    assert [outcome.reason for outcome in outcomes] == [reason for _, reason, _ in FAILURES.values()]
    assert (host.users, host.slots._value, slots, open_connections) == (0, 100, 200, 0)


def test_nobody_listens():
    async def run(url, names=None):
        settings = FetchSettings(**(BASE | {"obey_robots": False}))
        async with Client(settings, resolver=names) as client:
            return await client.fetch(url)

    async def gone():
        async with serve({}) as server:
            pass
        return await run(server.url())

    outcome = asyncio.run(gone())
    assert outcome.reason is Reason.CONNECT_FAILED
    assert "refused" in outcome.detail.lower() or "connect call failed" in outcome.detail.lower()
    outcome = asyncio.run(run("http://missing.example/", Names({})))
    assert (outcome.reason, outcome.detail) == (Reason.DNS_FAILED, "Name or service not known")
    outcome = asyncio.run(run("no url"))
    assert outcome.reason is Reason.BAD_URL


# TLS.


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory):
    import ssl

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(1))
        .not_valid_after(now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    plain = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_bad_tls(self_signed):
    async def run(tls):
        settings = FetchSettings(**(BASE | {"total_seconds": 5.0}))
        async with serve({"/": answer()}, tls=tls) as server, Client(settings) as client:
            return await client.fetch(server.url(host="localhost", scheme="https")), server

    outcome, server = asyncio.run(run(self_signed))
    assert outcome.reason is Reason.TLS_FAILED
    assert "self-signed certificate" in outcome.detail
    assert server.log == []
    outcome, server = asyncio.run(run(None))  # a server that speaks no TLS, and waits for more
    assert (outcome.reason, outcome.detail) == (Reason.CONNECT_FAILED, "robots.txt can't be read: no connection in 1 s")


def test_a_server_that_speaks_no_tls():
    async def plain(reader, writer):
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()
        await reader.read(1)
        writer.close()

    async def run():
        listener = await asyncio.start_server(plain, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        async with listener, Client(FetchSettings(**BASE)) as client:
            return await client.fetch(f"https://localhost:{port}/")

    assert asyncio.run(run()).reason is Reason.TLS_FAILED


# Redirects.


def test_redirects():
    pages = {
        "/": moved("a", "301 Moved"),
        "/a": moved("/b?x=1#there", "303 See Other"),
        "/b?x=1": moved("//127.0.0.1:PORT/caf\xe9", "307 Temporary"),
    }

    async def last(path, writer):
        return pages["/b?x=1"].replace(b"PORT", str(writer.get_extra_info("sockname")[1]).encode())

    outcome, server = fetch({**pages, "/b?x=1": last, "/caf%C3%A9": answer()})
    assert (outcome.reason, outcome.final_url) == (None, server.url("/caf%C3%A9"))
    assert outcome.url == server.url("/")
    assert [(hop.url, hop.status, hop.location) for hop in outcome.redirects] == [
        (server.url("/"), 301, server.url("/a")),
        (server.url("/a"), 303, server.url("/b?x=1")),
        (server.url("/b?x=1"), 307, server.url("/caf%C3%A9")),
    ]
    assert outcome.redirects[0].response_head.startswith(b"HTTP/1.1 301 Moved\r\n")
    assert outcome.redirects[0].request.startswith(b"GET / HTTP/1.1\r\n")
    assert outcome.requests == 4
    assert server.paths().count("/robots.txt") == 1


def test_redirects_end():
    outcome, server = fetch({"/": moved("/a"), "/a": moved("/")})
    assert (outcome.reason, outcome.detail) == (Reason.TOO_MANY_REDIRECTS, f"back to {server.url('/')}")
    outcome, server = fetch({"/": moved("/")})
    assert (outcome.reason, len(outcome.redirects)) == (Reason.TOO_MANY_REDIRECTS, 0)
    chain = {f"/{n}": moved(f"/{n + 1}") for n in range(10)}
    outcome, server = fetch({**chain, "/5": answer()}, "/0")
    assert (outcome.reason, len(outcome.redirects)) == (None, 5)
    outcome, server = fetch({**chain, "/6": answer()}, "/0")
    assert (outcome.reason, outcome.detail) == (Reason.TOO_MANY_REDIRECTS, "more than 5 redirects")
    assert "/6" not in server.paths()


def test_a_port_that_is_not_allowed():
    async def run():
        settings = FetchSettings(**(BASE | {"ports": (80, 443)}))
        async with serve({"/": answer()}) as server, Client(settings) as client:
            return await client.fetch(server.url()), server.connections

    outcome, connections = asyncio.run(run())
    assert (outcome.reason, connections) == (Reason.FORBIDDEN_ADDRESS, 0)
