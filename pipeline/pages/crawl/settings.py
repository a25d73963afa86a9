"""How pages are fetched from the live web. Standard library only, so that `--help` costs nothing."""

import importlib.metadata
import re
from dataclasses import dataclass, fields
from functools import cache
from typing import Final

from webtext.pipeline.opt_outs.signals import PRODUCT
from webtext.pipeline.settings import obeyed

_ANY: Final = "[!-'*-~]"  # no (), no blanks
_DOTTED: Final = rf"{_ANY}[!-'*-\-/-~]*+\.{_ANY}+"
_CONTACT: Final = re.compile(rf"https?://{_DOTTED}|{_ANY}[!-'*-?A-~]*+@{_DOTTED}")


@dataclass(frozen=True)
class FetchSettings:
    """Whom we say we are, how politely and how patiently we ask, and how much we take.

    Raises:
        ValueError: no usable contact, or a number out of its range; the message shows both.
    """

    contact: str
    """E-mail address or URL at which the owner of a site can reach you. Sent with every request."""
    obey_robots: bool = True
    """Fetch nothing that robots.txt disallows (RFC 9309), and nothing while it can't be read or decoded."""
    opt_outs: str = "all"
    """Opt-outs that are obeyed (docs/opt-outs.md): all, none, or some of content-signal, content-usage, rsl, tdmrep,
    noai, noimageai, with commas. Those in robots.txt are known where it is obeyed."""
    concurrency: int = 200
    """Requests under way at a time."""
    per_host: int = 1
    """Requests under way at a time to one host."""
    delay: float = 1.0
    """Pause between two requests to one host, in seconds. A longer Crawl-delay wins."""
    max_delay: float = 60.0
    """Longest Crawl-delay or Retry-After that is waited for, in seconds. A host that asks for more is left alone."""
    retries: int = 2
    """How often a request is repeated after a refused or broken connection, or an answer 429, 500, 502, 503, 504."""
    backoff: float = 1.0
    """Wait before the first repetition, in seconds; doubles with each. Retry-After wins."""
    revisits: int = 4
    """How often a host that does not answer is set aside and tried again later, before its URLs are given up."""
    revisit_delay: float = 30.0
    """Seconds that such a host is set aside for the first time; each further time is twice as long as the one before.
    With 4 revisits it is given up after 450 seconds."""
    answering: float = 0.1
    """Share of the crawl's hosts that must answer before those that do not are given up. Where fewer do, this machine
    has no network, and the crawl stops and gives up nothing. 0 does not ask."""
    dns_seconds: float = 10.0
    """Time for a look-up, in seconds."""
    connect_seconds: float = 15.0
    """Time for a connection with its TLS handshake, in seconds."""
    read_seconds: float = 20.0
    """Longest silence of a server, in seconds."""
    total_seconds: float = 60.0
    """Time for one request as a whole, look-up to last byte, in seconds; each redirect and repetition has its own."""
    max_redirects: int = 5
    """Redirects that are followed for one URL."""
    max_wire_bytes: int = 10_000_000
    """Largest page in bytes as sent, before its content coding is undone."""
    max_page_bytes: int = 10_000_000
    """Largest page in bytes after its content coding is undone."""
    accept: tuple[str, ...] = ("text/html", "application/xhtml+xml")
    """Media types of a page. An answer without a type is judged by its first bytes."""
    ports: tuple[int, ...] = (80, 443, 8080, 8443)
    """TCP ports that may be connected to; none listed allows all."""
    years: float = 0.0
    """Years after the first post that a page may have been changed by its Last-Modified; 0 does not ask. Pages that
    were changed later are lost to the live web, and Common Crawl may still have them."""
    allow_private: bool = False
    """Connect to loopback, private and other addresses that are not on the public internet. For tests of your own."""

    def __post_init__(self) -> None:
        """Refuse what would make an impolite or endless crawler."""
        if not _CONTACT.fullmatch(self.contact):
            raise ValueError(
                f"contact is {self.contact!r}; give an e-mail address or URL at which a site's owner can reach you, "
                "such as you@example.org"
            )
        least = {"concurrency": 1, "per_host": 1, "max_wire_bytes": 1, "max_page_bytes": 1}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if not least.get(field.name, 0) <= value < float("inf"):  # also refuses not-a-number
                raise ValueError(f"{field.name} is {value}, at least {least.get(field.name, 0)} is needed")
            if field.name.endswith("_seconds") and value == 0:
                raise ValueError(f"{field.name} is 0, which leaves no time for an answer")
        obeyed(self.opt_outs)
        if self.answering > 1:
            raise ValueError(f"answering is {self.answering}, a share is from 0 to 1")
        if not self.accept:
            raise ValueError("accept lists no media type, so no page would be taken")

    @property
    def obeyed(self) -> frozenset[str]:
        """The signals of `opt_outs`."""
        return obeyed(self.opt_outs)

    @property
    def user_agent(self) -> str:
        """What the header User-Agent says, for example `webtext/0.1.0 (+you@example.org)`."""
        return f"{PRODUCT}/{_version()} (+{self.contact})"


@cache
def _version() -> str:
    return importlib.metadata.version("webtext")  # reads files: half a millisecond
