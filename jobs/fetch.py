"""`webtext fetch`: try URLs as the crawler would, for people who debug a site."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from webtext.jobs.terminal import say_json
from webtext.pipeline.pages.crawl.settings import FetchSettings

if TYPE_CHECKING:  # loaded when the job runs
    from webtext.pipeline.pages.crawl.outcome import Outcome


@dataclass(frozen=True)
class FetchConfig:
    """Try URLs as the crawler would: robots.txt, pauses, redirects, limits. Nothing is stored.

    Prints one JSON object a line, in the order of the URLs: what was got, or the reason and detail why not. Exit status
    0 if each URL gave a page, else 1.
    """

    urls: tyro.conf.Positional[tuple[str, ...]]
    """URLs in any spelling."""
    settings: Annotated[FetchSettings, tyro.conf.arg(name="")]

    def __post_init__(self) -> None:
        """Refuse an empty question."""
        if not self.urls:
            raise ValueError("no URL to try: give one or more")


def run(config: FetchConfig) -> int:
    """Fetch each URL and print what came of it."""
    import uvloop

    return uvloop.run(_fetch(config))


async def _fetch(config: FetchConfig) -> int:
    from webtext.pipeline.pages.crawl.client import Client

    got = True
    async with Client(config.settings) as client:
        tasks = [asyncio.create_task(_fetch_one(client.fetch, url)) for url in config.urls]
        try:
            for task in tasks:
                line = await task
                got &= line["result"] == "page"
                say_json(line)
        finally:  # the reader of our output has had enough
            for task in tasks:
                task.cancel()
    return 0 if got else 1


async def _fetch_one(fetch: Any, url: str) -> dict[str, Any]:
    from webtext.pipeline.identity.urls import canonicalize
    from webtext.pipeline.pages.crawl.outcome import Outcome
    from webtext.schemas.records import Reason

    try:
        outcome = await fetch(canonicalize(url))
    except ValueError as error:
        outcome = Outcome(url, url, reason=Reason.BAD_URL, detail=str(error))
    return describe(url, outcome)


def describe(asked: str, outcome: "Outcome") -> dict[str, Any]:
    """The outcome as one flat JSON object; without the page itself."""
    headers = {name.lower(): value for name, value in reversed(outcome.headers)}
    return {
        "url": asked,
        "result": "page" if outcome.reason is None else str(outcome.reason),
        "detail": outcome.detail,
        "status": outcome.status,
        "final_url": outcome.final_url,
        "redirects": [{"url": hop.url, "status": hop.status} for hop in outcome.redirects],
        "robots": outcome.robots,
        "content_type": headers.get("content-type", ""),
        "content_encoding": headers.get("content-encoding", ""),
        "bytes": len(outcome.payload),
        "ip": outcome.ip,
        "seconds": round(outcome.elapsed, 3),
        "requests": outcome.requests,
    }
