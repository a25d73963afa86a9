"""What came of one URL, and the judgements on an answer: each is a pure function from what was seen to a Reason.

`pipeline/pages/crawl/client.py` makes the requests.
"""

import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
from aiohttp.client_reqrep import ClientResponse

from webtext.pipeline.archives.codings import codings
from webtext.pipeline.archives.http_payload import HttpMessage, decode_body, is_blank, is_html, join_fields, media_type
from webtext.pipeline.opt_outs.page import of_page
from webtext.pipeline.opt_outs.signals import OptOut
from webtext.pipeline.pages.crawl.addresses import ForbiddenAddressError
from webtext.pipeline.pages.crawl.settings import FetchSettings
from webtext.schemas.records import Reason

_TRANSIENT: Final = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Redirect:
    """One answer that pointed elsewhere."""

    url: str
    status: int
    location: str  # absolute
    ip: str
    started: float  # seconds since 1970-01-01 UTC
    request: bytes  # head as sent
    response_head: bytes


@dataclass(slots=True)
class Outcome:
    """What became of one URL. A page was got where `reason` is None.

    The fields from `status` to `elapsed` speak of the last request; its redirects are in `redirects`.
    """

    url: str  # as asked
    final_url: str  # of the last request that was made or refused
    status: int = 0  # 0: no HTTP answer
    reason: Reason | None = None
    detail: str = ""
    signal: str = ""  # of the opt-out that `reason` and `detail` tell of
    headers: list[tuple[str, str]] = field(default_factory=list)  # as sent, decoded as Latin-1
    request: bytes = b""  # head as sent
    response_head: bytes = b""  # as received, but for what says that the body is chunked (see response_head)
    payload: bytes = b""  # body without chunks, still with its content coding; empty unless it was read to its end
    page: bytes = b""  # `payload` decoded, at most max_page_bytes + 1 of it; empty where no page was judged
    truncated: str = ""  # "length" where `payload` stops at the size limit, else ""; a value of WARC-Truncated
    ip: str = ""  # of the server
    started: float = 0.0  # seconds since 1970-01-01 UTC
    elapsed: float = 0.0  # seconds
    robots: str = ""  # what robots.txt says
    redirects: list[Redirect] = field(default_factory=list)
    retry_after: float | None = None  # seconds the server asks to wait
    requests: int = 0  # made for this URL, robots.txt not counted
    location: str = ""  # where a redirect points to
    transient: bool = False  # worth another try at once
    outage: bool = False  # the host did not answer, which may pass: worth another try later

    def message(self) -> HttpMessage:
        """The last answer, with those fields that say how its payload is to be read."""
        fields = join_fields((name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers)
        read = {
            b"content-type": fields.get(b"content-type", b""),
            b"content-encoding": fields.get(b"content-encoding", b""),
            b"transfer-encoding": _without_chunks(fields.get(b"transfer-encoding", b"")),
        }
        return HttpMessage(self.status, {name: value for name, value in read.items() if value}, self.payload)


class BlockedSocketError(OSError):
    """A ForbiddenAddressError in a form that aiohttp passes on."""


def refuse_mining(outcome: Outcome, found: Iterable[OptOut], settings: FetchSettings) -> bool:
    """Whether one of these opt-outs is obeyed."""
    obeyed = settings.obeyed
    for opt_out in found:
        if opt_out.signal in obeyed:
            outcome.reason, outcome.detail, outcome.signal = Reason.MINING_REFUSED, opt_out.line, opt_out.signal
            return True
    return False


def refuse_status(outcome: Outcome, response: ClientResponse) -> None:
    """The answer has a status that no page has."""
    status = response.status
    outcome.reason, outcome.detail = Reason.HTTP_STATUS, f"status {status}"
    outcome.transient = status in _TRANSIENT
    if outcome.transient:
        outcome.retry_after = _retry_after(response.headers.get("Retry-After", ""))
    if status == 429 or (status == 503 and outcome.retry_after is not None):
        outcome.reason = Reason.RATE_LIMITED
        if outcome.retry_after is not None:
            outcome.detail += f", Retry-After {outcome.retry_after:.0f} s"


def refuse_head(outcome: Outcome, response: ClientResponse, settings: FetchSettings) -> bool:
    """Whether the header fields alone disqualify the page, so that its body need not be read."""
    length = response.headers.get("Content-Length", "")
    kind = media_type(outcome.message().fields.get(b"content-type", b""))
    if refuse_mining(outcome, of_page(outcome.headers, b""), settings):
        return True
    if kind not in settings.accept and not is_html(kind, b"<html>"):
        outcome.reason, outcome.detail = Reason.NOT_HTML, kind[:100]
    elif length.isdecimal() and int(length[:18]) > settings.max_wire_bytes:
        detail = f"announces {length[:18]} bytes, at most {settings.max_wire_bytes} are taken"
        outcome.reason, outcome.detail = Reason.PAGE_TOO_LARGE, detail
    return outcome.reason is not None


def accept_page(outcome: Outcome, settings: FetchSettings) -> None:
    """Whether what was read is a page."""
    if outcome.truncated:
        outcome.reason, outcome.detail = Reason.PAGE_TOO_LARGE, f"more than {settings.max_wire_bytes} bytes"
        return
    message = outcome.message()
    page = decode_body(message, settings.max_page_bytes + 1)
    outcome.page = page
    kind = media_type(message.fields.get(b"content-type", b""))
    if len(page) > settings.max_page_bytes:
        detail = f"more than {settings.max_page_bytes} bytes, decoded from {len(outcome.payload)}"
        outcome.reason, outcome.detail = Reason.PAGE_TOO_LARGE, detail
    elif is_blank(page):
        outcome.reason = Reason.EMPTY_PAGE
    elif not is_html("text/html" if kind in settings.accept else kind, page):
        outcome.reason, outcome.detail = Reason.NOT_HTML, f"{kind[:100]} of other content"
    else:
        refuse_mining(outcome, of_page((), page), settings)


def explain(outcome: Outcome, error: Exception, settings: FetchSettings) -> None:
    """Put the Reason for an exception into `outcome`."""
    detail = " ".join(str(error).split())[:300] or type(error).__name__
    reason, transient, outage = Reason.BAD_HTTP, False, False
    cause = getattr(error, "os_error", None)
    if isinstance(error, ForbiddenAddressError) or isinstance(cause, BlockedSocketError):
        reason = Reason.FORBIDDEN_ADDRESS
        detail = str(cause or error)
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        reason = Reason.DNS_FAILED
        detail = getattr(cause, "strerror", None) or detail
        transient = isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN
    elif isinstance(error, aiohttp.ClientSSLError | ssl.SSLError) or isinstance(cause, ssl.SSLError):
        reason = Reason.TLS_FAILED
    elif isinstance(error, aiohttp.ConnectionTimeoutError):
        reason, outage = Reason.CONNECT_FAILED, True
        detail = f"no connection in {settings.connect_seconds:g} s"
    elif isinstance(error, aiohttp.ClientConnectorError):
        reason, transient = Reason.CONNECT_FAILED, True
        detail = str(cause)[:300]
    elif isinstance(error, aiohttp.SocketTimeoutError):
        reason, outage = Reason.FETCH_TIMEOUT, True
        detail = f"silent for {settings.read_seconds:g} s"
    elif isinstance(error, TimeoutError):
        reason, outage = Reason.FETCH_TIMEOUT, True
        detail = f"not done in {settings.total_seconds:g} s"
    elif isinstance(error, aiohttp.InvalidURL):
        reason = Reason.BAD_URL
    elif isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError | ConnectionError):
        transient = True  # it broke off; the next answer may be whole
    outcome.reason, outcome.detail, outcome.transient = reason, detail, transient
    outcome.outage = transient or outage


def first_field(response: ClientResponse, wanted: bytes) -> bytes:
    """Value of the first field of this name (lower case), as sent; empty where there is none."""
    return next((value for name, value in response.raw_headers if name.lower() == wanted), b"")


def _retry_after(value: str) -> float | None:
    """Seconds from now, from a number or a date. RFC 9110 section 10.2.3."""
    value = value.strip()
    if value.isdecimal():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def request_head(response: ClientResponse) -> bytes:
    """The head of the request that `response` answers."""
    asked = response.request_info
    lines = [f"{asked.method} {asked.url.raw_path_qs} HTTP/1.1", *(f"{n}: {v}" for n, v in asked.headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def response_head(response: ClientResponse, size: int) -> bytes:
    """The head as received, but for two fields that would misread a stored body of `size` bytes without chunks.

    Like Common Crawl, Transfer-Encoding and a different Content-Length are kept under X-Crawler-, with the true length.
    Transfer codings that the payload still has are told.
    """
    version = response.version or aiohttp.HttpVersion11
    reason = (response.reason or "").encode("utf-8", "surrogateescape")
    lines = [b"HTTP/%d.%d %d %s" % (version.major, version.minor, response.status, reason)]
    exact = b"%d" % size
    told = False
    for name, value in response.raw_headers:
        lowered = name.lower()
        if lowered == b"content-length" and value.strip() == exact:
            told = True
        prefix = lowered == b"transfer-encoding" or (lowered == b"content-length" and value.strip() != exact)
        lines.append((b"X-Crawler-" if prefix else b"") + name + b": " + value)
    if not told:
        lines.append(b"Content-Length: " + exact)
    transfer = join_fields(response.raw_headers).get(b"transfer-encoding", b"")
    if kept := _without_chunks(transfer):
        lines.append(b"Transfer-Encoding: " + kept)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _without_chunks(transfer_encoding: bytes) -> bytes:
    """The transfer codings but the chunks, which aiohttp undoes."""
    return b", ".join(coding for coding in codings(transfer_encoding) if coding != b"chunked")
