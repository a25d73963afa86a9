"""`webtext posts`: Reddit posts from Reddit's API, as dump files for `webtext build --submissions`."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from webtext.jobs.terminal import complain, say

LIMITS: Final = (
    "Reddit's API shows about 1,000 posts of a listing and nothing older: it can top up dumps, it can't backfill years."
)
_CREDENTIALS: Final = (
    "Make an app of the type script at https://www.reddit.com/prefs/apps and put client_id, client_secret and "
    "user_agent into ~/.config/praw.ini under [DEFAULT] (or another section: --site), or into the environment as "
    "praw_client_id, praw_client_secret and praw_user_agent."
)
_TRIES = 5  # of a request that Reddit answers with 429
_LONGEST_WAIT = 600  # seconds: Reddit counts requests in windows of so many


@dataclass(frozen=True)
class PostsConfig:
    """Read posts from Reddit's API (PRAW) into dump files for `webtext build --submissions 'OUT/*.ndjson.zst'`.

    Reddit's API shows about 1,000 posts of a listing and nothing older: it can top up dumps, it can't backfill years.
    A busy subreddit has to be read before 1,000 newer posts have come. The same command continues where the last run
    ended, and says so when posts were missed in between. It looks again at 14 days, for posts that moderators approved
    late. Reddit's rate limit is obeyed.

    Credentials come from praw.ini or the environment (praw_client_id, praw_client_secret, praw_user_agent).
    """

    out: str
    """Folder of the dump files and of the cursors. One collection: give the same one each time."""
    praw: bool = False
    """Ask Reddit's API with PRAW, today the only source here; `webtext build` reads files."""
    subreddits: tuple[str, ...] = ()
    """Subreddits whose posts to read, without r/."""
    domains: tuple[str, ...] = ()
    """Domains to whose pages the posts link, for example example.com."""
    sort: Literal["new", "top"] = "new"
    """The newest posts, or those with the highest score."""
    time: Literal["hour", "day", "week", "month", "year", "all"] = "all"
    """With --sort=top: of which time."""
    min_age: float = 48.0
    """Hours. Younger posts wait for a later run, for their score still moves."""
    site: str = "DEFAULT"
    """Section of praw.ini."""
    user_agent: str = ""
    """Who is asking, with a way to contact you; empty for that of praw.ini or the environment."""

    def __post_init__(self) -> None:
        """Refuse what can't be read."""
        if not self.praw:
            raise ValueError("no source: give --praw. Dumps, CSV files and lists go to `webtext build` as they are")
        if not self.subreddits and not self.domains:
            raise ValueError("nothing to read: give --subreddits or --domains")
        if not self.min_age >= 0:
            raise ValueError(f"--min-age is {self.min_age}, expected hours, 0 or more")


def run(config: PostsConfig) -> int:
    """Read every listing once. Returns 1 if Reddit refused one of them."""
    from webtext.pipeline.files import storage
    from webtext.pipeline.links.reddit_api import Collection, Listing, read_listing

    listings = [Listing("r", name, config.sort, config.time) for name in config.subreddits]
    listings += [Listing("domain", name.lower(), config.sort, config.time) for name in config.domains]
    ask = _connect(config)
    print(LIMITS)
    refused = 0
    with storage.lock(config.out):
        storage.clean_up(config.out)
        collection = Collection(config.out)
        for listing in listings:
            try:
                haul = read_listing(
                    ask, listing, collection.cursor(listing), int(time.time()), int(config.min_age * 3600)
                )
            except _RefusedError as error:
                complain(f"{listing.path}: {error}")
                refused += 1
                continue
            path = collection.add(listing, haul)
            young = f", {haul.young:,} too young" if haul.young else ""
            say(f"{listing.path}: {len(haul.posts):,} new posts{young}" + (f" -> {path}" if path else ""))
            if haul.gap:
                complain(
                    f"{listing.path}: the listing ended before the newest post of the last run: posts in between are "
                    "missed and only dumps have them; run this more often"
                )
    return 1 if refused else 0


class _RefusedError(Exception):
    """Reddit does not show this listing: it is private, banned, or there is none."""


def _connect(config: PostsConfig) -> Callable[[str, Mapping[str, str]], Any]:
    """One request to Reddit's API with PRAW, which waits as the X-Ratelimit headers say.

    Raises:
        ValueError: no credentials, or Reddit does not take them.
        OSError: Reddit can't be reached.
    """
    import configparser

    import praw
    import prawcore

    connect = partial(praw.Reddit, config.site, check_for_updates=False)
    try:
        reddit = connect(user_agent=config.user_agent) if config.user_agent else connect()
    except configparser.NoSectionError as error:
        raise ValueError(f"praw.ini has no section [{config.site}]. {_CREDENTIALS}") from error
    except praw.exceptions.MissingRequiredAttributeException as error:
        raise ValueError(f"no credentials for Reddit's API: {error} {_CREDENTIALS}") from error
    reddit.read_only = True

    def ask(path: str, parameters: Mapping[str, str]) -> Any:
        for left in reversed(range(_TRIES)):
            try:
                return reddit.request(method="GET", path=path, params=dict(parameters))
            except prawcore.exceptions.TooManyRequests as error:
                if not left:
                    raise OSError(f"{path}: Reddit asks for fewer requests, {_TRIES} times; come back later") from error
                time.sleep(min(float(error.retry_after or 60), _LONGEST_WAIT))
            except (prawcore.exceptions.Forbidden, prawcore.exceptions.NotFound, prawcore.exceptions.Redirect) as error:
                raise _RefusedError(f"Reddit does not show it ({error})") from error
            except (prawcore.exceptions.OAuthException, prawcore.exceptions.InvalidToken) as error:
                raise ValueError(f"Reddit does not take the credentials: {error}. {_CREDENTIALS}") from error
            except prawcore.exceptions.ResponseException as error:
                if error.response.status_code == 401:
                    raise ValueError(f"Reddit does not take the credentials: {error}. {_CREDENTIALS}") from error
                raise OSError(f"{path}: {error}") from error
            except prawcore.exceptions.PrawcoreException as error:
                raise OSError(f"Reddit can't be reached: {error}") from error
        raise AssertionError("unreachable")

    return ask
