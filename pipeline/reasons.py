"""Why a record may leave, in words for people."""

from collections.abc import Mapping
from typing import Final

from schemas.records import Reason

WORDS: Final[Mapping[Reason, str]] = {
    Reason.BAD_LINE: "not a post: no JSON, or a field of a type that no dump has",
    Reason.BAD_URL: "not an absolute http or https URL",
    Reason.SELF_POST: "a text post, or a link to comments on Reddit",
    Reason.OVER_18: "marked as not safe for work",
    Reason.AFTER_CUTOFF: "posted after the last day that counts",
    Reason.WIKIPEDIA: "Wikipedia, which is left out because test sets are made of it",
    Reason.BLOCKED_DOMAIN: "domain on the block list",
    Reason.BLOCKED_FILE_TYPE: "the path ends like a file that is no page of text",
    Reason.DUPLICATE_POST: "the same post a second time",
    Reason.BELOW_SCORE: "too little karma",
    Reason.BAD_RECORD: "damaged or malformed archive record",
    Reason.NOT_A_RESPONSE: "archive record that is no HTTP response",
    Reason.NO_PAGE: "no archive has this URL",
    Reason.HTTP_STATUS: "the server did not answer with a page (HTTP status)",
    Reason.NOT_HTML: "not HTML",
    Reason.EMPTY_PAGE: "the page is empty",
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
    Reason.SOFT_404: "the page is gone: its address leads to a front page",
    Reason.MODIFIED_LATER: "the page was changed years after the post",
    Reason.PAGE_TOO_LARGE: "the page has too many bytes",
    Reason.PAGE_TOO_COMPLEX: "the page has too many tags, or a giant one",
    Reason.PAGE_UNREADABLE: "the page can't be read back from its archive",
    Reason.EXTRACT_TIMEOUT: "extraction took too much CPU time",
    Reason.EXTRACT_MEMORY: "extraction took too much memory",
    Reason.EXTRACT_CRASH: "extraction crashed",
    Reason.NO_TEXT: "no main text on the page",
    Reason.NOT_ENGLISH: "not English",
    Reason.TOO_SHORT: "too few tokens",
    Reason.EXACT_DUPLICATE: "the same text as a document that is kept",
    Reason.NEAR_DUPLICATE: "nearly the same text as a document that is kept",
}
"""A phrase for every Reason, in the middle of a sentence."""
