"""How often and how soon a host is asked: repetitions, pauses, many URLs at once, the rate."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
import uvloop
from client_requests import BASE, fetch, silent
from loopback import HTML, answer, moved, serve

from webtext.pipeline.pages.crawl.client import Client
from webtext.pipeline.pages.crawl.settings import FetchSettings
from webtext.schemas.records import Reason


def sequence(*replies):
    """Replies one after the other; the last one stays."""
    rest = list(replies)

    async def reply(path, writer):
        return rest.pop(0) if len(rest) > 1 else rest[0]

    return reply


@pytest.mark.parametrize(
    ("first", "requests", "reason"),
    [
        (answer(b"", "503 Busy"), 2, None),
        (answer(b"", "429 Slow"), 2, None),
        (b"", 2, None),
        (answer(HTML)[:-5], 2, None),
        (answer(b"", "404 Not Found"), 1, Reason.HTTP_STATUS),
        (answer(b""), 1, Reason.EMPTY_PAGE),
        (answer(b"", "503 Busy", "Retry-After: 3600"), 1, Reason.RATE_LIMITED),
    ],
)
def test_what_is_repeated(first, requests, reason):
    outcome, server = fetch({"/": sequence(first, answer())}, retries=2)
    assert (outcome.reason, outcome.requests) == (reason, requests)
    assert server.paths() == ["/robots.txt"] + ["/"] * requests
    assert fetch({"/": first}, retries=2)[0].requests == (1 if requests == 1 else 3)


def test_retry_after_is_waited_for_by_all_of_the_host():
    async def run():
        pages = {"/": sequence(answer(b"", "429 Slow", "Retry-After: 1"), answer()), "/other": answer()}
        async with serve(pages) as server, Client(FetchSettings(**(BASE | {"retries": 1}))) as client:
            first = asyncio.create_task(client.fetch(server.url()))
            while len(server.log) < 2:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            assert 0.8 < client.wait(server.url("/other")) <= 1
            other = await client.fetch(server.url("/other"))
            return await first, other, server

    first, other, server = asyncio.run(run())
    assert (first.reason, other.reason) == (None, None)
    times = [at for at, _, _ in server.log]
    assert times[2] - times[1] >= 0.99


def test_retry_after_as_a_date():
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    outcome, _ = fetch({"/": answer(b"", "503 Busy", f"Retry-After: {date}")}, retries=2)
    assert (outcome.reason, outcome.requests) == (Reason.RATE_LIMITED, 1)
    assert 3590 < outcome.retry_after < 3601
    for odd in ("soon", "-5", "Mon, 99 Jan", "9" * 400):
        assert fetch({"/": answer(b"", "503 Busy", f"Retry-After: {odd}")})[0].status == 503


def gaps(server):
    times = [at for at, _, _ in server.log]
    return [later - earlier for earlier, later in pairwise(times)]


def test_no_host_is_asked_faster_than_its_pause():
    async def run(**settings):
        pages = {f"/{n}": answer() for n in range(4)} | {"/4": moved("/5"), "/5": answer()}
        robots = answer(b"User-agent: *\nCrawl-delay: 0.2", kind="text/plain") if settings.pop("slow", 0) else answer()
        async with (
            serve(pages, robots=robots) as one,
            serve(pages, robots=robots) as two,
            Client(FetchSettings(**(BASE | settings))) as client,
        ):
            # One host by its name, whatever the port, like a crawler's other host by another name.
            urls = [one.url(f"/{n}") for n in range(5)] + [two.url(f"/{n}", "localhost") for n in range(5)]
            outcomes = await asyncio.gather(*map(client.fetch, urls))
            assert [outcome.reason for outcome in outcomes] == [None] * 10
            return one, two

    one, two = asyncio.run(run(delay=0.1))
    assert (len(one.log), len(two.log)) == (7, 7)
    assert min(gaps(one) + gaps(two)) >= 0.099
    assert one.most == two.most == 1
    assert max(one.log[0][0], two.log[0][0]) < min(one.log[-1][0], two.log[-1][0])  # both at a time
    one, two = asyncio.run(run(delay=0.01, slow=1))
    assert min(gaps(one)[1:] + gaps(two)[1:]) >= 0.199


def test_concurrency_of_a_host_and_of_all():
    async def page(path, writer):
        await asyncio.sleep(0.02)
        return answer()

    async def run(**settings):
        pages = {f"/{n}": page for n in range(20)}
        async with serve(pages) as server, Client(FetchSettings(**(BASE | settings))) as client:
            await asyncio.gather(*(client.fetch(server.url(path)) for path in pages))
            return server.most

    assert asyncio.run(run(per_host=3)) == 3
    assert asyncio.run(run(per_host=20, concurrency=5)) == 5


def test_a_cancelled_fetch_frees_its_place():
    async def run():
        async with serve({"/": silent, "/b": answer()}) as server, Client(FetchSettings(**BASE)) as client:
            task = asyncio.create_task(client.fetch(server.url()))
            while len(server.log) < 2:
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return await client.fetch(server.url("/b"))

    assert asyncio.run(run()).reason is None


def test_hundreds_at_once_from_one_host():
    count = 600
    body = HTML + b"<p>words</p>" * 5000

    async def run():
        pages = {f"/{n}": answer(body) for n in range(count)}
        settings = FetchSettings(
            **(BASE | {"per_host": 200, "connect_seconds": 20.0, "read_seconds": 20.0, "total_seconds": 60.0})
        )
        async with serve(pages) as server, Client(settings) as client:
            return await asyncio.gather(*(client.fetch(server.url(path)) for path in pages))

    assert {outcome.reason for outcome in uvloop.run(run())} == {None}
