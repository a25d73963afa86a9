"""Which posts make a link, and how the posts of one URL become one link. Pure: the order of the input never matters."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Final, Self

from webtext.pipeline.flow import LINKS, POSTS
from webtext.pipeline.identity.urls import canonicalize, host_of, link_key, path_of
from webtext.pipeline.links import wikipedia
from webtext.pipeline.links.blocklists import DomainList, FileTypeList
from webtext.pipeline.links.dumps import Post
from webtext.pipeline.settings import LinkSettings
from webtext.schemas.records import Link, Loss, Reason, Rejected, Submission

_NAMELESS: Final = "line without an id"
_REDDIT: Final = DomainList(frozenset({"reddit.com"}))


@dataclass(frozen=True, slots=True)
class Lists:
    """The blocklists that the settings name, loaded once per process."""

    domains: DomainList
    file_types: FileTypeList

    @classmethod
    def load(cls, settings: LinkSettings) -> Self:
        """Read the data files. Raises ValueError for an unknown name."""
        return cls(DomainList.load(settings.blocked_domains), FileTypeList.load(settings.blocked_file_types))


def select_post(post: Post, settings: LinkSettings, lists: Lists) -> tuple[bytes, str] | Rejected:
    """(link key, canonical URL) of a post that may make a link, or the first of these reasons that holds.

    1. SELF_POST: marked so, or the URL is the comments page of a post, be it this or another.
    2. OVER_18: marked so, unless the settings keep those.
    3. BAD_URL: not an absolute http or https URL, or one of a host without a dot that is no address (localhost).
    4. AFTER_CUTOFF: created after the last day (UTC) that counts. What has no date stays, as lines of URL lists.
    5. WIKIPEDIA, its mirrors and archived pages included, under any list of domains but "none".
    6. BLOCKED_DOMAIN.
    7. BLOCKED_FILE_TYPE.

    The score is not looked at here: under the rule "summed" it needs all posts of the URL.

    Raises:
        ValueError: `settings.until` is not a day.
    """
    try:
        url, problem = canonicalize(post.url), ""
    except ValueError as error:
        url, problem = "", str(error)
    loss = _refusal(post, url, problem, settings, lists)
    if loss is None:
        return link_key(url), url
    who = f"post {post.id}" if post.id else _NAMELESS
    return Rejected(POSTS, loss.reason, link_key(url) if url else b"", url or post.url, f"{who}: {loss.detail}")


def _refusal(post: Post, url: str, problem: str, settings: LinkSettings, lists: Lists) -> Loss | None:
    """`url` is the canonical one, or "" where there is none because of `problem`."""
    if post.is_self:
        return Loss(Reason.SELF_POST, "text on Reddit")
    if _is_comments_page(post.url, url):
        return Loss(Reason.SELF_POST, "leads to comments on Reddit")
    if post.over_18 and not settings.over_18:
        return Loss(Reason.OVER_18, "not safe for work")
    if problem:
        return Loss(Reason.BAD_URL, problem)
    host = host_of(url)
    if "." not in host and not host.startswith("["):  # an IPv6 address has brackets
        return Loss(Reason.BAD_URL, f"has the host {host!r} without a dot, which no public site has")
    if post.created_utc >= end_of(settings.until):
        day = datetime.fromtimestamp(post.created_utc, UTC).date()
        return Loss(Reason.AFTER_CUTOFF, f"posted on {day}, the last day is {settings.until}")
    if settings.blocked_domains != "none" and (place := wikipedia.address(url)):
        return Loss(Reason.WIKIPEDIA, place)
    if domain := lists.domains.match(host):
        return Loss(Reason.BLOCKED_DOMAIN, f"{domain} is on the list {settings.blocked_domains}")
    if ending := lists.file_types.match(path_of(url)):
        return Loss(Reason.BLOCKED_FILE_TYPE, f"{ending} is on the list {settings.blocked_file_types}")
    return None


def _is_comments_page(posted: str, url: str) -> bool:
    if "/comments/" not in posted:
        return False
    if not url:  # cross-posts carry the path alone
        return posted.startswith(("/r/", "/u/", "/user/"))
    return _REDDIT.match(host_of(url)) is not None


@cache
def end_of(until: str) -> float:
    """First second (since 1970-01-01 UTC) after the day; infinity for no day.

    Raises:
        ValueError: not a day.
    """
    if not until:
        return float("inf")
    try:
        day = date.fromisoformat(until)
    except ValueError as error:
        raise ValueError(f"until is {until!r}, expected a day as YYYY-MM-DD, or nothing for no limit") from error
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() + timedelta(days=1).total_seconds()


def merge_posts(
    posts: Iterable[tuple[str, Submission]], settings: LinkSettings
) -> tuple[Link | Rejected, list[Rejected]]:
    """One link, or its rejection, from all posts of one link key; and the posts that are there twice.

    Posts with the same id are one post, seen in dumps of different dates. The one that stays is the first by (highest
    score, earliest created_utc, URL, title, subreddit); the others become DUPLICATE_POST. Lines of URL lists and of
    some tables have no id: there the canonical URL stands for it. The posts that stay are ordered by (created_utc, id,
    URL), and the canonical URL of the first is the link's. The link's date is that of the earliest post that has one.

    BELOW_SCORE is held against the best score ("per-post") or against the sum ("summed").

    Args:
        posts: (canonical URL, post), at least one, in any order.
        settings: score and score_rule count.
    """
    ranked = sorted(posts, key=_by_rank)
    kept: dict[tuple[str, str], tuple[str, Submission]] = {}
    duplicates = []
    for url, post in ranked:
        identity = (post.id, "" if post.id else url)
        if identity not in kept:
            kept[identity] = (url, post)
            continue
        who = f"post {post.id}" if post.id else _NAMELESS
        detail = f"{who} with score {post.score}, kept with score {kept[identity][1].score}"
        duplicates.append(Rejected(LINKS, Reason.DUPLICATE_POST, link_key(url), url, detail))
    ordered = sorted(kept.values(), key=lambda entry: (entry[1].created_utc, entry[1].id, entry[0]))
    url = ordered[0][0]
    scores = [post.score for _, post in ordered]
    summed = settings.score_rule == "summed"
    score = sum(scores) if summed else max(scores)
    if score < settings.score:
        detail = f"{'sum' if summed else 'best'} {score} of {len(scores)} posts, needs {settings.score}"
        return Rejected(LINKS, Reason.BELOW_SCORE, link_key(url), url, detail), duplicates
    created = min((post.created_utc for _, post in ordered if post.created_utc), default=0)
    return Link(link_key(url), url, score, created, tuple(post for _, post in ordered)), duplicates


def _by_rank(entry: tuple[str, Submission]) -> tuple[int, int, str, str, str, str, str]:
    """The published order, and behind it what makes the order of different ids, and so of their rows, total too."""
    url, post = entry
    return -post.score, post.created_utc, url, post.title, post.subreddit, post.id, post.url
