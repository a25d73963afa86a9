"""Is a page that the live web gives today still the page that was linked to? Judged from what the server said."""

from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from webtext.pipeline.pages.crawl.outcome import Outcome
from webtext.pipeline.text import walls
from webtext.schemas.records import Loss, Reason

_YEAR = 365.25 * 86_400  # seconds
_HEAD = 65_536  # bytes of a page in which a soft 404 is looked for: those are small


def no_longer_the_page(outcome: Outcome, created_utc: int, years: float) -> Loss | None:
    """Why a fetched page is not what the post linked to, or None.

    1. SOFT_404: an address inside a site led to a front page, which is what many sites do with pages that are gone; or
       the page says in its title and in few words that it isn't there.
    2. MODIFIED_LATER: Last-Modified is more than `years` after the first post; 0 does not ask. A server that gives the
       time of the request says nothing about the page, so a difference of a day to now does not count.

    Args:
        outcome: what was got; a failure is not judged again.
        created_utc: of the earliest post, in seconds; 0 where it is not known.
        years: how long after the first post a page may have been changed.
    """
    if outcome.reason is not None:
        return None
    asked, final = urlsplit(outcome.url), urlsplit(outcome.final_url)
    if outcome.redirects and final.path in ("", "/") and not final.query and asked.path not in ("", "/"):
        return Loss(Reason.SOFT_404, f"led to the front page {outcome.final_url}")
    # In UTF-8 or not: the signs are ASCII.
    if len(outcome.page) <= _HEAD and (signs := walls.gone(outcome.page.decode("utf-8", "replace"))):
        return Loss(Reason.SOFT_404, signs)
    modified = _last_modified(outcome)
    if not years or not created_utc or modified is None or outcome.started - modified < 86_400:
        return None
    late = (modified - created_utc) / _YEAR
    if late > years:
        detail = f"changed {late:.1f} years after the first post, at most {years:g} are taken"
        return Loss(Reason.MODIFIED_LATER, detail)
    return None


def _last_modified(outcome: Outcome) -> float | None:
    """Seconds since 1970-01-01 UTC (RFC 9110 section 8.8.2); None where it is missing or malformed."""
    for name, value in outcome.headers:
        if name.lower() == "last-modified":
            try:
                return parsedate_to_datetime(value).timestamp()
            except (ValueError, OverflowError):
                return None
    return None
