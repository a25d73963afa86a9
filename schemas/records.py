"""The records that flow through a build, and every reason for which one may leave it.

Flow: Submission -> Link -> Page -> Document -> (cluster decision) -> TokenShard. A record that leaves becomes Rejected.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Every way to lose a record. A value is part of the stored tables: never rename one, only add."""

    # posts: one submission (one line of a dump) is refused
    BAD_LINE = "bad_line"  # not JSON, or a field has a type that no Reddit dump ever had; a text that is none
    BAD_URL = "bad_url"  # not an absolute http(s) URL by the WHATWG URL standard
    SELF_POST = "self_post"
    OVER_18 = "over_18"
    AFTER_CUTOFF = "after_cutoff"
    WIKIPEDIA = "wikipedia"
    BLOCKED_DOMAIN = "blocked_domain"
    BLOCKED_FILE_TYPE = "blocked_file_type"
    DUPLICATE_POST = "duplicate_post"  # the same post id again, for example from two overlapping dumps
    # links: one URL with all its posts is refused
    BELOW_SCORE = "below_score"
    # documents: of texts that are given with an id or URL of their own
    DUPLICATE_ID = "duplicate_id"  # another text of the same id or URL is kept
    # captures: one record of a web archive can't be a page of any link
    BAD_RECORD = "bad_record"
    NOT_A_RESPONSE = "not_a_response"  # warcinfo, request, metadata, dns:, ...
    # pages: a link has no usable capture
    NO_PAGE = "no_page"
    HTTP_STATUS = "http_status"
    NOT_HTML = "not_html"
    EMPTY_PAGE = "empty_page"
    REVISIT = "revisit"  # a record that repeats one that is not there
    # fetch: the live web does not give the page of a link
    DNS_FAILED = "dns_failed"
    CONNECT_FAILED = "connect_failed"
    TLS_FAILED = "tls_failed"
    FETCH_TIMEOUT = "fetch_timeout"
    BAD_HTTP = "bad_http"  # the answer breaks off, or is not HTTP
    TOO_MANY_REDIRECTS = "too_many_redirects"
    ROBOTS_DISALLOWED = "robots_disallowed"
    MINING_REFUSED = "mining_refused"  # noai, tdm-reservation
    FORBIDDEN_ADDRESS = "forbidden_address"  # not on the public internet, or not a port or scheme of web pages
    RATE_LIMITED = "rate_limited"
    HOST_DOWN = "host_down"  # not asked any more, after many failures of its host
    SOFT_404 = "soft_404"  # "not found" in words, or a front page instead
    MODIFIED_LATER = "modified_later"  # the live web gives what was written years after the post
    # extract: a page yields no document
    PAGE_TOO_LARGE = "page_too_large"
    TOO_MANY_TAGS = "too_many_tags"
    TAG_TOO_LONG = "tag_too_long"
    TOO_MANY_ATTRIBUTES = "too_many_attributes"  # in one tag, or in many
    TOO_DEEP = "too_deep"
    PAGE_UNREADABLE = "page_unreadable"
    EXTRACT_TIMEOUT = "extract_timeout"
    EXTRACT_MEMORY = "extract_memory"
    EXTRACT_CRASH = "extract_crash"
    NOT_PROMISING = "not_promising"  # the pre-filter, a cheaper extractor, expects no document
    NO_TEXT = "no_text"
    NEEDS_JAVASCRIPT = "needs_javascript"
    PARKED_DOMAIN = "parked_domain"
    LOGIN_WALL = "login_wall"
    COOKIE_WALL = "cookie_wall"
    BOT_CHECK = "bot_check"  # a captcha or "checking your browser"
    WIKIPEDIA_COPY = "wikipedia_copy"
    NOT_ENGLISH = "not_english"
    TOO_SHORT = "too_short"
    FILTER_GOPHER = "filter_gopher"
    FILTER_C4 = "filter_c4"
    FILTER_FINEWEB = "filter_fineweb"
    # paragraphs: without the lines that other documents of its domain have, a document is none any more
    REPEATED_PARAGRAPHS = "repeated_paragraphs"
    # dedup: a document is a copy of one that is kept
    EXACT_DUPLICATE = "exact_duplicate"
    NEAR_DUPLICATE = "near_duplicate"

    @property
    def words(self) -> str:
        """A phrase for people, as in the middle of a sentence."""
        return _WORDS[self]


_WORDS: Final[Mapping[Reason, str]] = {
    Reason.BAD_LINE: "not a record: no JSON, or a field is missing or of a wrong type",
    Reason.BAD_URL: "not an absolute http or https URL",
    Reason.SELF_POST: "a text post, or a link to comments on Reddit",
    Reason.OVER_18: "marked as not safe for work",
    Reason.AFTER_CUTOFF: "posted after the last day that counts",
    Reason.WIKIPEDIA: "Wikipedia, which is left out because test sets are made of it",
    Reason.BLOCKED_DOMAIN: "domain on the block list",
    Reason.BLOCKED_FILE_TYPE: "the path ends like a file that is no page of text",
    Reason.DUPLICATE_POST: "the same post a second time",
    Reason.DUPLICATE_ID: "another text has the same id or URL",
    Reason.BELOW_SCORE: "too little karma",
    Reason.BAD_RECORD: "damaged or malformed archive record",
    Reason.NOT_A_RESPONSE: "archive record that is no HTTP response",
    Reason.NO_PAGE: "no archive has this URL",
    Reason.HTTP_STATUS: "the server did not answer with a page (HTTP status)",
    Reason.NOT_HTML: "not HTML",
    Reason.EMPTY_PAGE: "the page is empty",
    Reason.REVISIT: "the archives only say that the page was the same as one that they do not have",
    Reason.DNS_FAILED: "the host has no address",
    Reason.CONNECT_FAILED: "the host can't be connected to",
    Reason.TLS_FAILED: "no secure connection: the certificate or handshake is bad",
    Reason.FETCH_TIMEOUT: "the server took too long",
    Reason.BAD_HTTP: "the server's answer breaks off or is not HTTP",
    Reason.TOO_MANY_REDIRECTS: "redirects without end",
    Reason.ROBOTS_DISALLOWED: "robots.txt does not allow it",
    Reason.MINING_REFUSED: "the site refuses text and data mining",
    Reason.FORBIDDEN_ADDRESS: "not on the public web: a private address, or an odd port or scheme",
    Reason.RATE_LIMITED: "the server asks for fewer requests",
    Reason.HOST_DOWN: "the host failed too often and was given up",
    Reason.SOFT_404: "the page is gone, whatever its status says",
    Reason.MODIFIED_LATER: "the page was changed years after the post",
    Reason.PAGE_TOO_LARGE: "the page has too many bytes",
    Reason.TOO_MANY_TAGS: "the page has too many tags",
    Reason.TAG_TOO_LONG: "a tag of the page is too long",
    Reason.TOO_MANY_ATTRIBUTES: "the page's tags have too many attributes",
    Reason.TOO_DEEP: "the page's tags are nested too deep",
    Reason.PAGE_UNREADABLE: "the page can't be read back from its archive",
    Reason.EXTRACT_TIMEOUT: "extraction took too much CPU time",
    Reason.EXTRACT_MEMORY: "extraction took too much memory",
    Reason.EXTRACT_CRASH: "extraction crashed",
    Reason.NOT_PROMISING: "the pre-filter expects no document",
    Reason.NO_TEXT: "no main text on the page",
    Reason.NEEDS_JAVASCRIPT: "the page shows nothing without JavaScript",
    Reason.PARKED_DOMAIN: "a parked domain that is for sale",
    Reason.LOGIN_WALL: "the page asks to log in",
    Reason.COOKIE_WALL: "the page asks for consent to cookies",
    Reason.BOT_CHECK: "the page asks whether the visitor is a person",
    Reason.WIKIPEDIA_COPY: "a copy of a Wikipedia article",
    Reason.NOT_ENGLISH: "not English",
    Reason.TOO_SHORT: "too few tokens",
    Reason.FILTER_GOPHER: "refused by a rule of Gopher",
    Reason.FILTER_C4: "refused by a rule of C4",
    Reason.FILTER_FINEWEB: "refused by a rule of FineWeb",
    Reason.REPEATED_PARAGRAPHS: "too little text without the lines that repeat over its domain",
    Reason.EXACT_DUPLICATE: "the same text as a document that is kept",
    Reason.NEAR_DUPLICATE: "nearly the same text as a document that is kept",
}


@dataclass(frozen=True, slots=True)
class Submission:
    """One Reddit post that links out, or one line of a plain URL list (then id and subreddit are empty)."""

    id: str  # base 36, without the "t3_" prefix
    url: str  # as posted, with &amp; already unescaped
    score: int  # karma: ups - downs, at the time the dump was made
    created_utc: int  # seconds since 1970-01-01 UTC
    subreddit: str
    title: str


@dataclass(frozen=True, slots=True)
class Link:
    """One canonical URL with all its posts."""

    key: bytes  # 16 bytes: pipeline.identity.urls.link_key(url)
    url: str
    score: int  # what the threshold was held against: the best post's score, or the sum over all posts
    created_utc: int  # of the earliest post
    posts: tuple[Submission, ...]  # ordered by (created_utc, id)


@dataclass(frozen=True, slots=True)
class Source:
    """What a document is from: a link, or a text that was given."""

    key: bytes
    url: str
    score: int
    created_utc: int  # of the earliest post
    captured_utc: int  # seconds since 1970-01-01 UTC; 0 for a text that was given


@dataclass(frozen=True, slots=True)
class Page(Source):
    """One link with the capture chosen for it. The bytes stay in the archive."""

    archive: str  # path of the WARC or ARC file
    offset: int  # bytes: where the record (or its gzip member) starts
    digest: int  # first 8 bytes of the XXH3 of its payload, as it was when the archive was indexed


@dataclass(frozen=True, slots=True)
class Loss:
    """Why a record does not go on."""

    reason: Reason
    detail: str

    def at(self, stage: str, key: bytes, url: str) -> "Rejected":
        """The loss with its place: the record that is stored of it."""
        return Rejected(stage, self.reason, key, url, self.detail)


@dataclass(frozen=True, slots=True)
class Rejected:
    """One record that left the flow, with the reason. `key` is empty where no URL could be read."""

    stage: str
    reason: Reason
    key: bytes
    url: str
    detail: str


@dataclass(frozen=True, slots=True)
class TokenShard:
    """One file of tokens, as the corpus manifest lists it."""

    name: str  # file name inside the corpus folder
    split: str  # "train" or "val"
    documents: int
    tokens: int  # end-of-text tokens included
    bytes: int
    sha256: str
