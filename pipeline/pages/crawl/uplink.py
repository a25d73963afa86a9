"""Does this machine still reach the hosts of a crawl? Without a network every host looks dead, and none is.

Before a host is given up, a sample of the crawl's hosts is held against it: those that were asked for the first time
since it fell silent, or, where these are few or silent too, twenty hosts that are asked for their robots.txt.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from itertools import chain, islice, zip_longest
from typing import Final, Protocol

from webtext.pipeline.engine.stage import StageError
from webtext.pipeline.files import tabular
from webtext.pipeline.identity import urls

_SAMPLE: Final = 20  # hosts
_ROWS: Final = 10 * _SAMPLE  # of a links table, for so many hosts


class Asker(Protocol):
    """Who asks a host whether it is there: pipeline.pages.crawl.client.Client."""

    async def answers(self, url: str) -> bool:
        """Whether the host of `url` answers."""


class Uplink:
    """What is known of the network of this machine; for one event loop."""

    def __init__(self, share: float, links: Sequence[str]) -> None:
        """At least this share of the hosts in the links tables has to answer; 0 does not ask."""
        self._share = share
        self._links = links
        self._firsts: deque[tuple[float, bool]] = deque(maxlen=_SAMPLE)
        self._look = asyncio.Lock()
        self._proved = -float("inf")  # when hosts were last asked and have answered

    def first(self, answered: bool) -> None:
        """A host was asked for the first time."""
        self._firsts.append((time.monotonic(), answered))

    async def check(self, asker: Asker, since: float) -> None:
        """Return where the network was there at some time after `since`, by time.monotonic.

        Raises:
            StageError: nearly all hosts of the crawl are silent.
        """
        async with self._look:
            if not self._share or self._proved >= since:
                return
            found = [answered for at, answered in self._firsts if at >= since]
            if len(found) == _SAMPLE and not self._silent(found):
                return
            # Dead hosts may be the fastest to fail. So nothing is judged before all of a sample had their time.
            begun = time.monotonic()
            sample = await asyncio.to_thread(sample_of, self._links)
            found = await asyncio.gather(*map(asker.answers, sample))
            if self._silent(found):
                raise StageError(
                    f"{sum(found)} of {len(found)} hosts of the crawl answer: is the network of this machine up? "
                    "No URL is given up. If these hosts are gone for good, --fetch.answering 0 gives them up"
                )
            self._proved = begun

    def _silent(self, answered: Sequence[bool]) -> bool:
        return sum(answered) < self._share * len(answered)


def sample_of(links: Sequence[str]) -> list[str]:
    """URLs of up to 20 hosts out of all links tables, the same for each part. Links lie in the order of a hash."""
    by_host: dict[str, str] = {}
    for url in filter(None, chain.from_iterable(zip_longest(*map(_some_of, links)))):
        by_host.setdefault(urls.host_of(url), url)
    return list(islice(by_host.values(), _SAMPLE))


def _some_of(links: str) -> list[str]:
    first = islice(tabular.batches(links, ["url"], _ROWS), 1)
    return [str(url) for batch in first for url in batch["url"].to_pylist()]
