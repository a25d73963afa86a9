"""One spelling for each URL, and one key for each page.

The canonical URL is what is fetched, so it only loses what no server needs. The key also equates what is the same page
in practice (http and https, with and without www or a last slash), so it can name a page but not fetch it.
tests/pipeline/url_vectors.tsv lists what both do.
"""

import re
from hashlib import blake2b
from importlib import resources
from typing import Final

import can_ada

MAX_CHARACTERS: Final = 4096
"""Longest URL, before and after. Browsers and servers stop between 2,000 and 8,192."""

_SCHEMES: Final = ("http:", "https:")
_AMPERSAND: Final = re.compile("&(?:amp;)+")

# RFC 3986 section 6.2.2: an escaped unreserved character equals the character, and hex digits are upper case.
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_NORMAL: Final = {
    f"%{high}{low}": chr(byte) if (byte := int(high + low, 16)) in _UNRESERVED else f"%{high}{low}".upper()
    for high in "0123456789abcdefABCDEF"
    for low in "0123456789abcdefABCDEF"
}
# The first branch is a stray percent sign with escapes that could turn it into an escape when they are decoded:
# %%34%31 must not become %41, and then A in the next round. It is in no table, so it stays as it is.
_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})[0-9A-Fa-f]?(?:%[0-9A-Fa-f]{2}){1,2}|%[0-9A-Fa-f]{2}")


def _tracking_parameters() -> tuple[frozenset[str], tuple[str, ...]]:
    """(names, prefixes) in lower case."""
    text = resources.files("pipeline").joinpath("data/tracking-parameters.tsv").read_text("utf-8")
    entries = [line.split("\t")[0].lower() for line in text.splitlines() if line and not line.startswith("#")]
    names = frozenset(entry for entry in entries if not entry.endswith("*"))
    return names, tuple(entry[:-1] for entry in entries if entry.endswith("*"))


_TRACKING_NAMES, _TRACKING_PREFIXES = _tracking_parameters()


def canonicalize(url: str) -> str:
    """The canonical spelling of an absolute http or https URL, in ASCII. Takes 1 to 3 microseconds.

    On top of the WHATWG URL standard (host in lower case and punycode, no default port, dot segments resolved, blanks
    and non-ASCII escaped): HTML's &amp; is unescaped however often it was escaped, the fragment and user information
    go, the host loses the dot of the DNS root, escapes are normalised, empty and tracking parameters are dropped. The
    order, names and values of all other parameters stay. Idempotent: a canonical URL is its own canonical spelling.

    Raises:
        ValueError: it is not such a URL; the message says why.

    Source: https://url.spec.whatwg.org/ as implemented by Ada; RFC 3986 section 6.2.2. Not done: sorting parameters,
        decoding "+", resolving redirects or shortened URLs, m. and amp. hosts, session ids in the path.
    """
    url = url.strip()
    if len(url) > MAX_CHARACTERS:
        raise ValueError(f"has {len(url)} characters, at most {MAX_CHARACTERS} are read")
    try:
        parsed = can_ada.parse(url)
    except TypeError as error:  # how the binding refuses what has no UTF-8 form
        raise ValueError("has a lone surrogate") from error
    except ValueError as error:
        raise ValueError("is not an absolute URL by the WHATWG standard" if url else "is empty") from error
    scheme = parsed.protocol
    if scheme not in _SCHEMES:
        raise ValueError(f"has the scheme {scheme[:20]!r}, not http or https")
    host = parsed.hostname.removesuffix(".")
    if ".." in f".{host}.":
        raise ValueError(f"has an empty label in its host {parsed.hostname!r}")
    port = parsed.port
    authority = f"{host}:{port}" if port else host
    canonical = f"{scheme}//{authority}{_normalize(parsed.pathname)}{_clean_query(parsed.search)}"
    if len(canonical) > MAX_CHARACTERS:
        raise ValueError(f"has {len(canonical)} characters once escaped, at most {MAX_CHARACTERS} are read")
    return canonical


def _normalize(text: str) -> str:
    if "%" in text:
        text = _ESCAPE.sub(lambda match: _NORMAL.get(match[0], match[0]), text)
    # Last, because normal escapes and the parser's removal of tabs can lay &amp; bare.
    return unescape_ampersands(text)


def unescape_ampersands(text: str) -> str:
    """Undo the HTML escaping of `&`, also where it was done more than once. 5 % of Reddit's links carry it."""
    return _AMPERSAND.sub("&", text) if "&amp;" in text else text


def _clean_query(search: str) -> str:
    """`search` is empty or begins with "?", and so is the result; a query without parameters vanishes."""
    if not search:
        return ""
    parameters = _normalize(search[1:]).split("&")
    kept = "&".join([parameter for parameter in parameters if parameter and not _is_tracking(parameter)])
    return f"?{kept}" if kept else ""


def _is_tracking(parameter: str) -> bool:
    name = parameter.partition("=")[0].lower()
    return name in _TRACKING_NAMES or name.startswith(_TRACKING_PREFIXES)


def link_key(canonical: str) -> bytes:
    """16 bytes that name the page: equal for canonical URLs that differ in scheme, leading www. or last slash only.

    The BLAKE2b hash (RFC 7693) of what is left without them. Two of 10^9 different pages share a key with probability
    10^-21.
    """
    rest = canonical.partition("://")[2]
    # www.com is a site of that name, without a www. in front of it.
    if rest.startswith("www.") and rest.find(".", 4, rest.index("/")) > 0:
        rest = rest[4:]
    path, mark, query = rest.partition("?")
    return blake2b(f"{path.removesuffix('/')}{mark}{query}".encode(), digest_size=16).digest()


def host_of(canonical: str) -> str:
    """The host of a canonical URL, without the port; an IPv6 address keeps its brackets."""
    authority = canonical.split("/", 3)[2]
    if authority[0] == "[":
        return authority[: authority.index("]") + 1]
    return authority.partition(":")[0]


def path_of(canonical: str) -> str:
    """The path of a canonical URL; begins with a slash."""
    return "/" + canonical.split("/", 3)[3].partition("?")[0]


def is_wikipedia(host: str) -> bool:
    """Whether the host is Wikipedia in any language, mobile or not, or the .com that leads to it."""
    return f".{host}".endswith((".wikipedia.org", ".wikipedia.com"))
