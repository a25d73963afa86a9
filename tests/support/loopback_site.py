"""A web of 300 hosts on loopback, most of them good, the others each bad in a way of their own.

Every address of 127.0.0.0/8 is this machine, so each host is an address, and one server process is all of them. It
tells hosts apart by the Host field, and appends "time host path" to its log for each request.

    python loopback_site.py LOG PORT      prints its port (0: a free one) and serves until its standard input ends
"""

import asyncio
import gzip
import logging
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "data" / "html"

_LIMIT = 3600  # seconds: a module of tests, a benchmark

# How many hosts of each kind, how many links each has, and what becomes of them: a Reason, or "" for a page.
KINDS = {
    "good": (236, 4, ""),
    "moved": (6, 2, ""),  # one redirect, to a page of its own
    "busy": (4, 2, ""),  # 429 with Retry-After, and then the page
    "slow": (4, 1, "fetch_timeout"),
    "silent": (4, 1, "fetch_timeout"),
    "endless": (4, 1, "page_too_large"),
    "bomb": (4, 1, "page_too_large"),
    "lying": (4, 1, "bad_http"),  # Content-Length is more than what comes
    "chunks": (4, 1, "bad_http"),
    "garbage": (2, 1, "bad_http"),
    "loop": (4, 1, "too_many_redirects"),
    "refusing": (4, 1, "rate_limited"),  # 429 for ever
    "unwell": (4, 1, "http_status"),  # 503 for ever
    "missing": (4, 2, "http_status"),
    "robots": (4, 3, "robots_disallowed"),
    "noai": (2, 2, "mining_refused"),
    "pdf": (2, 2, "not_html"),
    "disguised": (2, 1, "not_html"),  # PDF under the name of HTML
    "empty": (2, 1, "empty_page"),
    "front": (2, 2, "soft_404"),  # what is gone leads to the front page
    "sorry": (2, 2, "soft_404"),  # a page that says in status 200 that there is none
    "late": (2, 2, "modified_later"),  # changed in 2019
    "away": (6, 2, ""),  # redirects to the hub
    "hub": (1, 2, ""),
    "tls": (2, 1, "tls_failed"),  # https to a server that speaks none
    "closed": (2, 1, "connect_failed"),  # nobody listens
}
CLOSED_PORT = 9  # "discard", which no machine offers any more


@dataclass(frozen=True)
class Host:
    """One host of the site."""

    address: str
    kind: str
    number: int


@cache
def hosts():
    """All hosts, kinds mixed by their order in KINDS."""
    found = []
    for kind, (count, _, _) in KINDS.items():
        for number in range(count):
            n = len(found)
            found.append(Host(f"127.{1 + n // 100}.{1 + n % 100}.7", kind, number))
    return found


@dataclass(frozen=True)
class Target:
    """One link to the site and what a crawl has to make of it."""

    url: str
    verdict: str
    kind: str


def targets(port):
    """Every link, in the order of the hosts."""
    found = []
    for host in hosts():
        _, links, verdict = KINDS[host.kind]
        scheme = "https" if host.kind == "tls" else "http"
        where = CLOSED_PORT if host.kind == "closed" else port
        found += [Target(f"{scheme}://{host.address}:{where}/{n}.html", verdict, host.kind) for n in range(links)]
    return found


@cache
def pages():
    """Real pages where they are at hand, else made ones."""
    files = sorted((REAL / "scrapinghub" / "html").glob("*.html.gz"))[:90]
    real = [gzip.decompress(path.read_bytes()) for path in files]
    made = [_page(n) for n in range(90)]
    return [page for page in real if b"noai" not in page.lower()] or made


def _page(number):
    text = " ".join(f"word{number * 7 + n % 311}" for n in range(4000))
    return f"<!doctype html><html><title>{number}</title><body><p>{text}</p></body></html>".encode()


def page_of(host, path):
    """What a good host serves: its own text, but for one page in ten, which many hosts share."""
    number = int(path.strip("/").split(".")[0])
    page = pages()[(host.number * 4 + number) % len(pages())]
    if (host.number + number) % 10:
        page += f"<!-- {host.address} {path} -->".encode()
    return page


@lru_cache(maxsize=1000)
def _packed(page):
    return gzip.compress(page, 1, mtime=0)


@cache
def _bomb():
    return gzip.compress(b"<p>" + b"0" * 50_000_000, 9, mtime=0)


def _head(status, fields=(), length=None):
    lines = [f"HTTP/1.1 {status}", *fields]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


HTML = "Content-Type: text/html; charset=utf-8"


class Site:
    """The server."""

    def __init__(self, log):
        self._log = log
        self._hosts = {host.address: host for host in hosts()}
        self._asked = {}

    async def serve(self, reader, writer):
        """One connection: requests until the client or a bad habit ends it."""
        try:
            while first := await reader.read(1):
                if first == b"\x16":  # a TLS handshake
                    writer.write(_head("400 Bad Request", (), 0))
                    break
                head = first + await reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                path = lines[0].split(" ")[1]
                name = next(line.split(":", 1)[1].strip() for line in lines if line.lower().startswith("host:"))
                address = name.split(":")[0]
                self._log.write(f"{time.monotonic():.4f} {address} {path}\n")
                if not await self._answer(self._hosts.get(address), address, path, writer):
                    break
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, UnicodeError, IndexError):
            pass
        finally:
            writer.close()

    async def _answer(self, host, address, path, writer):
        """Whether the connection goes on."""
        kind = host.kind if host else "good"
        if path == "/robots.txt":
            body = b"User-agent: *\nDisallow: /\n" if kind == "robots" else b""
            writer.write(_head("200 OK" if body else "404 Not Found", ["Content-Type: text/plain"], len(body)) + body)
            return True
        if path == "/.well-known/tdmrep.json":
            writer.write(_head("404 Not Found", ["Content-Type: text/plain"], 0))
            return True
        asked = self._asked[address, path] = self._asked.get((address, path), 0) + 1
        return await getattr(self, f"_{kind}")(host or Host(address, "good", 0), path, writer, asked)

    async def _good(self, host, path, writer, asked):
        page = page_of(host, path)
        if host.number % 3 == 0:
            body = _packed(page)
            writer.write(_head("200 OK", [HTML, "Content-Encoding: gzip"], len(body)) + body)
        elif host.number % 3 == 1:
            writer.write(_head("200 OK", [HTML, "Transfer-Encoding: chunked"]))
            for start in range(0, len(page), 10_000):
                chunk = page[start : start + 10_000]
                writer.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(_head("200 OK", [HTML], len(page)) + page)
        return True

    async def _moved(self, host, path, writer, asked):
        if path.startswith("/new/"):
            return await self._good(host, path.removeprefix("/new"), writer, asked)
        writer.write(_head("301 Moved Permanently", [f"Location: /new{path}"], 0))
        return True

    async def _away(self, host, path, writer, asked):
        hub = next(other.address for other in hosts() if other.kind == "hub")
        port = writer.get_extra_info("sockname")[1]
        writer.write(_head("302 Found", [f"Location: http://{hub}:{port}/away/{host.address}{path}"], 0))
        return True

    async def _hub(self, host, path, writer, asked):
        if path.startswith("/away/"):
            _, _, address, name = path.split("/")
            return await self._good(self._hosts[address], f"/{name}", writer, asked)
        return await self._good(host, path, writer, asked)

    async def _front(self, host, path, writer, asked):
        if path == "/":
            return await self._good(host, "/0.html", writer, asked)
        writer.write(_head("302 Found", ["Location: /"], 0))
        return True

    async def _sorry(self, host, path, writer, asked):
        page = b"<title>Page not found - A Site</title><body><p>Sorry, the page you requested is not here.</p>"
        writer.write(_head("200 OK", [HTML], len(page)) + page)
        return True

    async def _late(self, host, path, writer, asked):
        page = page_of(host, path)
        writer.write(_head("200 OK", [HTML, "Last-Modified: Tue, 01 Jan 2019 00:00:00 GMT"], len(page)) + page)
        return True

    async def _busy(self, host, path, writer, asked):
        if asked > 1:
            return await self._good(host, path, writer, asked)
        writer.write(_head("429 Too Many Requests", ["Retry-After: 1"], 0))
        return True

    async def _slow(self, host, path, writer, asked):
        writer.write(_head("200 OK", [HTML], 1_000_000))
        for _ in range(1_000_000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.1)
        return False

    async def _silent(self, host, path, writer, asked):
        await asyncio.sleep(600)
        return False

    async def _endless(self, host, path, writer, asked):
        writer.write(_head("200 OK", [HTML, "Transfer-Encoding: chunked"]))
        chunk = b"x" * 65_536
        while not writer.is_closing():
            writer.write(b"10000\r\n" + chunk + b"\r\n")
            await writer.drain()
        return False

    async def _bomb(self, host, path, writer, asked):
        body = _bomb()
        writer.write(_head("200 OK", [HTML, "Content-Encoding: gzip"], len(body)) + body)
        return True

    async def _lying(self, host, path, writer, asked):
        writer.write(_head("200 OK", [HTML], 100_000) + b"<html><p>This is all.")
        return False

    async def _chunks(self, host, path, writer, asked):
        writer.write(_head("200 OK", [HTML, "Transfer-Encoding: chunked"]) + b"5\r\n<html\r\nzzz\r\nnot a chunk")
        return False

    async def _garbage(self, host, path, writer, asked):
        writer.write(b"220 mail.example.org ESMTP\r\n\r\n")
        return False

    async def _loop(self, host, path, writer, asked):
        other = "/b.html" if path != "/b.html" else "/c.html"
        writer.write(_head("302 Found", [f"Location: {other}"], 0))
        return True

    async def _refusing(self, host, path, writer, asked):
        writer.write(_head("429 Too Many Requests", (), 0))
        return True

    async def _unwell(self, host, path, writer, asked):
        writer.write(_head("503 Service Unavailable", [HTML], 4) + b"busy")
        return True

    async def _missing(self, host, path, writer, asked):
        writer.write(_head("404 Not Found", [HTML], 9) + b"<p>gone</p"[:9])
        return True

    _robots = _good
    _tls = _good
    _closed = _good

    async def _noai(self, host, path, writer, asked):
        page = page_of(host, path)
        writer.write(_head("200 OK", [HTML, "X-Robots-Tag: noai"], len(page)) + page)
        return True

    async def _pdf(self, host, path, writer, asked):
        writer.write(_head("200 OK", ["Content-Type: application/pdf"], 9) + b"%PDF-1.7\n")
        return True

    async def _disguised(self, host, path, writer, asked):
        writer.write(_head("200 OK", [HTML], 9) + b"%PDF-1.7\n")
        return True

    async def _empty(self, host, path, writer, asked):
        writer.write(_head("200 OK", [HTML], 3) + b" \r\n")
        return True


async def _main(log, port):
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # clients that go are no news
    pages()
    _bomb()  # the making of which would keep all hosts waiting
    site = Site(log)
    server = await asyncio.start_server(site.serve, "0.0.0.0", port, backlog=1024)  # noqa: S104 - all of 127.0.0.0/8
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # whatever is still being served


@contextmanager
def running(log, port=0):
    """The site in a process of its own; gives its port. It outlives no caller: its standard input would end."""
    from processes import started  # not on the path of that process

    command = [sys.executable, __file__, str(log), str(port)]
    with started(command, _LIMIT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


@dataclass(frozen=True)
class Request:
    """One line of the server's log."""

    time: float  # seconds, of a clock of no set origin
    host: str
    path: str


def requests(log):
    """What the site was asked, in order."""
    rows = (line.split(" ") for line in Path(log).read_text().splitlines())
    return [Request(float(when), host, path) for when, host, path in rows]


if __name__ == "__main__":
    with Path(sys.argv[1]).open("a", buffering=1) as opened:
        asyncio.run(_main(opened, int(sys.argv[2])))
