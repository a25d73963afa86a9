"""One URL asked of a server on loopback, with the shortest waits. For tests of the client."""

import asyncio

from loopback import answer, serve

from webtext.pipeline.pages.crawl.client import Client
from webtext.pipeline.pages.crawl.settings import FetchSettings

BASE = {
    "contact": "me@example.org",
    "ports": (),
    "allow_private": True,
    "opt_outs": "noai",  # not tdmrep, for which each host is asked for a file
    "delay": 0.0,
    "retries": 0,
    "backoff": 0.01,
    "dns_seconds": 1.0,
    "connect_seconds": 1.0,
    "read_seconds": 0.3,
    "total_seconds": 1.0,
    "max_wire_bytes": 200_000,
    "max_page_bytes": 300_000,
}


def fetch(pages, path="/", **settings):
    """(outcome, server) of one URL."""

    async def run():
        async with serve(pages) as server, Client(FetchSettings(**(BASE | settings))) as client:
            outcome = await client.fetch(server.url(path))
            return outcome, server

    return asyncio.run(run())


def closing(reply):
    """A body that ends with the connection."""
    return answer(reply, length=False)


def chunked(*chunks, last=b"0\r\n\r\n"):
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + last
    return answer(body, "200 OK", "Transfer-Encoding: chunked", length=False)


async def silent(path, writer):
    await asyncio.sleep(5)
