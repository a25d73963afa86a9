"""Reddit's own listings, page by page, into dump files: how a collection of dumps is kept up to date.

Knows nothing of the network: it asks through a function, which jobs/posts.py makes of PRAW.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

import zstandard

from webtext.pipeline.files import storage
from webtext.schemas.manifest import canonical_json, read_object

STATE: Final = "cursors.json"
PAGE: Final = 100  # posts of one request; Reddit gives no more
REACH: Final = 1000
"""Posts that Reddit shows of a listing, about: what is further down can't be had from the API at all."""

OVERLAP: Final = 14 * 86_400
"""Seconds for which posts are looked for again: moderators approve some late, at their old place in a listing."""

_MOST_PAGES = 2 * REACH // PAGE  # against a server that never ends
_REMEMBERED = _MOST_PAGES * PAGE  # posts of a listing of new ones, more than it can show
_FULLNAME = re.compile(r"t3_[0-9a-z]{1,13}")
_NAMES: Final = {
    "r": re.compile(r"[A-Za-z0-9_]{2,21}(?:\+[A-Za-z0-9_]{2,21})*"),
    "domain": re.compile(r"(?:[a-z0-9-]{1,63}\.)+[a-z0-9-]{2,63}"),
}

Ask = Callable[[str, Mapping[str, str]], Any]
"""(path, parameters) -> the API's answer as it stands."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The posts of a subreddit, or those that link to a domain."""

    kind: Literal["r", "domain"]
    name: str
    sort: Literal["new", "top"]
    time: str = "all"  # of "top": hour, day, week, month, year, all

    def __post_init__(self) -> None:
        """Refuse what is no name: it becomes part of a path."""
        if not _NAMES[self.kind].fullmatch(self.name):
            what = "subreddit" if self.kind == "r" else "domain"
            raise ValueError(f"{self.name!r} is no name of a {what}")

    @property
    def path(self) -> str:
        """What to ask Reddit for; also its name among the cursors."""
        return f"{self.kind}/{self.name}/{self.sort}"

    @property
    def stem(self) -> str:
        """The beginning of the names of its files."""
        return self.path.replace("/", "-") + (f"-{self.time}" if self.sort == "top" else "")


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a listing was read."""

    newest: str = ""  # fullnames of the newest and oldest post that were written
    oldest: str = ""
    posts: int = 0
    files: int = 0
    seen: tuple[str, ...] = ()  # fullnames that were written: all of a top list, the newest of one of new posts

    def floor(self, listing: Listing) -> int:
        """The number up to which `seen` may lack posts that were written; 0 where it has all."""
        if listing.sort == "top" or self.posts == len(self.seen):
            return 0
        return min(map(_number, self.seen), default=_number(self.newest))  # cursors of old have none of new posts


@dataclass(frozen=True, slots=True)
class Haul:
    """What one reading of a listing brought."""

    posts: tuple[dict[str, Any], ...] = ()
    cursor: Cursor = field(default_factory=Cursor)
    young: int = 0  # posts left for another time
    gap: bool = False  # Reddit's listing ended before it came to what was read the last time


def read_listing(ask: Ask, listing: Listing, cursor: Cursor, now: int, min_age: int) -> Haul:
    """All posts of a listing that are not yet written and old enough.

    What was written is known by name, so a post that comes late is taken wherever it stands: on a page with a new post,
    or one of less than OVERLAP. A listing of new posts ends with the first other page.

    Args:
        ask: one request to the API.
        listing: what to read.
        cursor: how far it was read before.
        now: seconds since 1970-01-01 UTC; becomes retrieved_utc of each post.
        min_age: seconds; the score of a younger post still moves.

    Raises:
        ValueError: an answer is no listing.
    """
    seen, floor = set(cursor.seen), cursor.floor(listing)
    found: dict[str, dict[str, Any]] = {}
    young, met = 0, not cursor.newest
    for page in _pages(ask, listing):
        for post in page:
            fullname = post["name"]
            if fullname in found:  # a new post pushed it to the next page meanwhile
                continue
            if fullname in seen or _number(fullname) <= floor:
                met = True
            elif now - post["created_utc"] < min_age:
                young += 1
            else:
                found[fullname] = {**post, "retrieved_utc": now}
        known = (post["name"] in seen or _number(post["name"]) <= floor for post in page)
        if listing.sort == "new" and page and all(known) and all(now - post["created_utc"] >= OVERLAP for post in page):
            break
    names = sorted(found, key=_number)
    written = sorted(seen.union(names), key=_number)
    after = replace(
        cursor,
        newest=max([cursor.newest, *names], key=_number),
        oldest=min([name for name in (cursor.oldest, *names) if name], key=_number, default=""),
        posts=cursor.posts + len(names),
        seen=tuple(written if listing.sort == "top" else written[-_REMEMBERED:]),
    )
    gap = listing.sort == "new" and not met and bool(found or young)
    return Haul(tuple(found[name] for name in names), after, young, gap)


def _pages(ask: Ask, listing: Listing) -> Iterator[list[dict[str, Any]]]:
    parameters = {"limit": str(PAGE)} | ({"t": listing.time} if listing.sort == "top" else {})
    for _ in range(_MOST_PAGES):
        answer = ask(listing.path, parameters)
        data = answer.get("data") if isinstance(answer, dict) and answer.get("kind") == "Listing" else None
        if not isinstance(data, dict) or not isinstance(data.get("children"), list):
            raise ValueError(f"{listing.path}: the answer is no listing: {str(answer)[:80]!r}")
        children = [child for child in data["children"] if isinstance(child, dict) and child.get("kind") == "t3"]
        yield [_checked(child.get("data"), listing) for child in children]
        after = data.get("after")
        if not after or after == parameters.get("after"):
            return
        parameters = {**parameters, "after": str(after)}


def _checked(post: Any, listing: Listing) -> dict[str, Any]:
    fields = post if isinstance(post, dict) else {}
    name, created = fields.get("name"), fields.get("created_utc")
    if not isinstance(name, str) or not _FULLNAME.fullmatch(name) or not isinstance(created, int | float):
        raise ValueError(f"{listing.path}: a post without name or created_utc: {str(post)[:80]!r}")
    return fields


def _number(fullname: str) -> int:
    """Fullnames in the order in which Reddit gave them away; 0 for none."""
    return int(fullname.removeprefix("t3_"), 36) if fullname else 0


class Collection:
    """A folder of dump files, and in one file beside them how far each listing was read.

    A file of posts is written before the cursor that tells of it, under a name that depends on the cursor before. So a
    run that is killed at any moment leaves either nothing of a listing, or a file that the next run writes again.
    """

    def __init__(self, folder: str) -> None:
        """Read the cursors. Raises ValueError where they are damaged."""
        self._folder = folder
        self._path = storage.join(folder, STATE)
        self._cursors: dict[str, Cursor] = {}
        if storage.exists(self._path):
            try:
                entries = read_object(storage.read_bytes(self._path))
                self._cursors = {name: _cursor(entry) for name, entry in entries.items()}
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(
                    f"{self._path}: {error}; restore it, or delete it to read all listings again"
                ) from error

    def cursor(self, listing: Listing) -> Cursor:
        """How far a listing was read."""
        return self._cursors.get(listing.stem, Cursor())

    def add(self, listing: Listing, haul: Haul) -> str:
        """Write the posts and the cursor. Returns the path of the file, "" where there is nothing to write."""
        if not haul.posts:
            return ""
        number = self.cursor(listing).files + 1
        path = storage.join(self._folder, f"{listing.stem}.{number:05d}.ndjson.zst")
        lines = b"".join(json.dumps(post, ensure_ascii=True).encode() + b"\n" for post in haul.posts)
        storage.publish_bytes(path, zstandard.ZstdCompressor(level=9, write_checksum=True).compress(lines))
        self._cursors[listing.stem] = replace(haul.cursor, files=number)
        state = {name: asdict(cursor) for name, cursor in self._cursors.items()}
        storage.publish_bytes(self._path, canonical_json(state))
        return path


def _cursor(entry: Any) -> Cursor:
    cursor = Cursor(**{**entry, "seen": tuple(entry["seen"])})
    names = [name for name in (cursor.newest, cursor.oldest, *cursor.seen) if name]
    if not all(isinstance(name, str) and _FULLNAME.fullmatch(name) for name in names):
        raise ValueError("a cursor is no fullname of a post")
    if not isinstance(cursor.posts, int) or not isinstance(cursor.files, int) or cursor.files < 0:
        raise ValueError("a cursor has no number of files")
    return cursor
