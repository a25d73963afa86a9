"""Real HTTP servers on loopback that answer as a test says, byte for byte, and keep a log."""

import asyncio
import socket
import ssl
import threading
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

from aiohttp.abc import AbstractResolver, ResolveResult

HTML = b"<!DOCTYPE html><html><head><title>t</title></head><body><p>A page.</p></body></html>"


def answer(body=HTML, status="200 OK", *fields, kind="text/html; charset=utf-8", length=True):
    """The bytes of a response."""
    lines = [f"HTTP/1.1 {status}", *fields]
    if kind:
        lines.append(f"Content-Type: {kind}")
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def moved(location, status="302 Found"):
    return answer(b"", status, f"Location: {location}")


MISSING = answer(b"no", "404 Not Found")


@dataclass
class Server:
    """A server's address and what it saw."""

    port: int = 0
    connections: int = 0
    under_way: int = 0
    most: int = 0  # requests under way at a time
    log: list[tuple[float, str, str]] = field(default_factory=list)  # time, host, path
    heads: list[bytes] = field(default_factory=list)

    def url(self, path="/", host="127.0.0.1", scheme="http"):
        return f"{scheme}://{host}:{self.port}{path}"

    def paths(self):
        return [path for _, _, path in self.log]


@asynccontextmanager
async def serve(handler, tls: ssl.SSLContext | None = None, robots: bytes | None = MISSING):
    """A server. `handler` is a dict of path -> bytes or coroutine function (path, writer) -> bytes or None."""
    server = Server()

    async def connection(reader, writer):
        server.connections += 1
        server.under_way += 1
        server.most = max(server.most, server.under_way)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode()
            host = next(line[6:] for line in head.decode("latin-1").split("\r\n") if line.lower().startswith("host: "))
            server.log.append((time.monotonic(), host, path))
            server.heads.append(head)
            about_robots = path == "/robots.txt" and robots is not None
            reply = robots if about_robots else handler.get(path, MISSING)
            if not isinstance(reply, bytes):
                reply = await reply(path, writer)
            if reply:
                writer.write(reply)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            server.under_way -= 1
            writer.close()
            with suppress(Exception):
                await writer.wait_closed()

    listener = await asyncio.start_server(connection, "127.0.0.1", 0, ssl=tls, backlog=1000)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


@contextmanager
def serving(handler, robots=MISSING):
    """A server as `serve` makes it, in a thread of its own."""
    started, stop, found = threading.Event(), threading.Event(), []

    async def run():
        async with serve(handler, robots=robots) as server:
            found.append(server)
            started.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    started.wait()
    try:
        yield found[0]
    finally:
        stop.set()
        thread.join()


class Names(AbstractResolver):
    """A resolver with given answers: name -> list of answers, each a list of addresses. The last one stays."""

    def __init__(self, answers):
        self.answers = {name: list(sequence) for name, sequence in answers.items()}
        self.asked: list[str] = []

    async def resolve(self, host, port=0, family=socket.AF_UNSPEC):
        self.asked.append(host)
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        sequence = self.answers[host]
        addresses = sequence.pop(0) if len(sequence) > 1 else sequence[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in addresses
        ]

    async def close(self):
        pass
