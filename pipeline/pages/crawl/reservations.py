"""What a live site says in files beside robots.txt: /.well-known/tdmrep.json, and the licence documents it names.

A file that can't be had or read says nothing: unlike robots.txt, most sites have none.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final
from urllib.parse import urljoin

import can_ada

from webtext.pipeline.archives.codings import undo_whole
from webtext.pipeline.opt_outs import licence, tdmrep
from webtext.pipeline.opt_outs.paths import PathOptOuts
from webtext.pipeline.opt_outs.robots_rules import MAX_BYTES, Line, decode_text
from webtext.pipeline.opt_outs.signals import RSL, TDMREP, OptOut, line_of
from webtext.pipeline.pages.crawl.robots import MATCH_INLINE, RobotsReply, target_of
from webtext.pipeline.pages.crawl.site_cache import DAY, FAILURE, Kept, SiteCache

_MOST: Final = 3  # licence documents of a site
_SPACE: Final = " "  # between the parts of a cache's key; no URL has one


class Reservations:
    """The files of the hosts asked lately, each fetched once a day."""

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[RobotsReply]],
        obeyed: frozenset[str],
        clock: Callable[[], float] = time.monotonic,
        keep_failure: float = FAILURE,
    ) -> None:
        """`fetch` gets the URL of a file, follows its redirects and reads at most MAX_BYTES; `obeyed` are signals.

        One that a host does not give is asked for again after `keep_failure` seconds.
        """
        self._keep_failure = keep_failure
        self._fetch = fetch
        self._obeyed = obeyed
        self._tdmrep = SiteCache(self._read_tdmrep, clock)
        self._licences = SiteCache(self._read_licence, clock)

    async def of(self, url: str, licences: Sequence[Line] = ()) -> list[OptOut]:
        """What the files of a site refuse for `url`; `licences` are the lines of its robots.txt that name some."""
        parsed = can_ada.parse(url)
        target = target_of(parsed.href)
        files = []
        if TDMREP in self._obeyed:
            files.append(await self._tdmrep.get(parsed.origin + tdmrep.WELL_KNOWN))
        if RSL in self._obeyed:
            for key in _licence_keys(parsed, licences)[:_MOST]:
                files.append(await self._licences.get(key))
        if sum(file.cost(target) for file in files) <= MATCH_INLINE:
            return _found(files, target)
        return await asyncio.to_thread(_found, files, target)

    async def _read_tdmrep(self, url: str) -> Kept[PathOptOuts]:
        return await self._read(url, lambda body: tdmrep.parse(decode_text(body)))

    async def _read_licence(self, key: str) -> Kept[PathOptOuts]:
        url, host, line = key.split(_SPACE, 2)
        return await self._read(url, partial(licence.parse, host=host, line=line))

    async def _read(self, url: str, parse: Callable[[bytes], PathOptOuts]) -> Kept[PathOptOuts]:
        reply = await self._fetch(url)
        body = reply.body[:MAX_BYTES] if 200 <= reply.status < 300 else b""
        try:
            body = undo_whole(body, reply.coding, MAX_BYTES)
        except ValueError:  # a coding that can't be undone
            body = b""
        found = await asyncio.to_thread(parse, body)
        given = 200 <= reply.status < 500 and reply.status != 429
        return Kept(found, found.size, DAY if given else self._keep_failure)


def _found(files: Sequence[PathOptOuts], target: str) -> list[OptOut]:
    return [found for file in files for found in file.of(target)]


def _licence_keys(page: can_ada.URL, lines: Sequence[Line]) -> list[str]:
    """What the licence documents of a site are cached by: the document, the site's host, and the line that names it."""
    keys: dict[str, str] = {}
    for line in lines:
        if not line.value:
            continue
        try:
            url = can_ada.parse(urljoin(page.origin, line.value))
        except (TypeError, ValueError):
            continue
        if url.protocol in ("http:", "https:"):
            told = f"robots.txt line {line.number}: {line_of('License', line.value)}"
            keys.setdefault(url.href, _SPACE.join((url.href, page.host, told)))
    return list(keys.values())
