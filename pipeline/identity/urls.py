"""One spelling for each URL, and one key for each page.

The canonical URL is what is fetched, so it only loses what no server needs. The key also equates what is the same page
in practice (http and https, with and without www, m. or a last slash), so it can name a page but not fetch it.
tests/pipeline/identity/url_vectors.tsv and key_vectors.tsv list what both do; docs/url-merges.md shows real merges.
"""

import re
from hashlib import blake2b
from importlib import resources
from typing import Final
from urllib.parse import urljoin

import can_ada

MAX_CHARACTERS: Final = 4096
"""Longest URL, before and after. Browsers and servers stop between 2,000 and 8,192."""

_SCHEMES: Final = ("http:", "https:")
_ROBOTS_TXT: Final = re.compile(r"https?://[^/?#]++/robots\.txt", re.IGNORECASE)
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


# Sites of about 2009 to 2015 name their pages in the fragment; without it, all pages of such a site would be one. What
# crawlers asked for instead of #!page, by Google's scheme, is ?_escaped_fragment_=page. Other sites don't mind it.
_ROUTE: Final = re.compile(r"#(?:!(.+)|((?:/\w|[A-Za-z]!.).*))", re.ASCII)
_IN_QUERY: Final = str.maketrans({character: f"%{ord(character):02X}" for character in "&#+'"})


def _tracking_parameters() -> tuple[frozenset[str], tuple[str, ...]]:
    """(names, prefixes) in lower case."""
    text = resources.files("webtext.pipeline.identity").joinpath("data/tracking-parameters.tsv").read_text("utf-8")
    entries = [line.split("\t")[0].lower() for line in text.splitlines() if line and not line.startswith("#")]
    names = frozenset(entry for entry in entries if not entry.endswith("*"))
    return names, tuple(entry[:-1] for entry in entries if entry.endswith("*"))


_TRACKING_NAMES, _TRACKING_PREFIXES = _tracking_parameters()


def canonicalize(url: str) -> str:
    """The canonical spelling of an absolute http or https URL, in ASCII. Takes 1 to 3 microseconds.

    On top of the WHATWG URL standard (host in lower case and punycode, no default port, dot segments resolved, blanks
    and non-ASCII escaped): HTML's &amp; is unescaped however often it was escaped, user information goes and so does
    the fragment, but for one that names a page (#!page, #/page), which becomes a parameter; the host loses the dot of
    the DNS root, escapes are normalised, empty and tracking parameters are dropped. The order, names and values of all
    other parameters stay. Idempotent: a canonical URL is its own canonical spelling.

    Raises:
        ValueError: it is not such a URL; the message says why.

    Source: https://url.spec.whatwg.org/ as implemented by Ada; RFC 3986 section 6.2.2;
        Google's AJAX crawling scheme of 2009 for fragments. Not done: sorting parameters, decoding "+", resolving
        redirects or shortened URLs, session ids in the path.
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
    query = _clean_query(parsed.search)
    if route := _ROUTE.match(parsed.hash):
        query += f"{'&' if query else '?'}_escaped_fragment_={_normalize(route[1] or route[2]).translate(_IN_QUERY)}"
    canonical = f"{scheme}//{authority}{_normalize(parsed.pathname)}{query}"
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


# A site in the clothes of another device. Only a host of two labels and more can be left: mobile.de is a site.
_DEVICE: Final = re.compile(r"(?:m|mobile|amp)\.(?=[^.]+\.)|(?P<language>[a-z]{2,3}\.)m\.(?=[^.]+\.)")
_BLOGGER: Final = re.compile(r"\.blogspot\.(?:com?\.)?[a-z]{2}\Z")  # one blog under each country's domain
# What a server sends for a folder. IIS, whose pages are the default ones, does not look at the case; others do.
_FOLDER_PAGE: Final = re.compile(r"/(?:index\.(?:html?|php)|(?i:default\.(?:aspx?|html?)))\Z")
_AMP_MARK: Final = "/amp"
_LONG_NUMBER: Final = re.compile("[0-9]{5}")
_AMP_PARAMETERS: Final = frozenset({"amp", "amp=", "amp=1", "amp=true", "outputType=amp", "outputType=amp-type"})
_BLOGGER_PARAMETERS: Final = _AMP_PARAMETERS | {"m=0", "m=1"}


def link_key(canonical: str) -> bytes:
    """16 bytes that name the page: equal for canonical URLs with one `page_name`.

    The BLAKE2b hash (RFC 7693) of that name. Two of 10^9 different pages share a key with probability 10^-21.
    """
    return blake2b(page_name(canonical).encode(), digest_size=16).digest()


def page_name(canonical: str) -> str:
    """What the canonical URLs of one page have in common. It can't be fetched.

    Left out are the scheme, a leading www., the last slash, and:

    - the file that a server sends for a folder: index.html, index.htm, index.php, default.asp and their kin;
    - a leading m., mobile. or amp. of the host, also behind a language (en.m.), except for the first page of a host:
      mobile.example.com/ may be a site about telephones;
    - the marks of AMP: /amp behind an article, and the parameters amp, amp=1 and outputType=amp;
    - the country of a blog at Blogger, and its m=0 or m=1.

    All other parameters count, with their order: ?id=1 is not ?id=2.

    Raises:
        ValueError: the URL has no path, so it is not canonical.
    """
    host, slash, rest = canonical.partition("://")[2].partition("/")
    if not slash:
        raise ValueError(f"is not canonical: {canonical[:80]!r} has no path")
    path, mark, query = rest.partition("?")
    path = (slash + path).removesuffix("/")
    # www.com is a site of that name, without a www. in front of it.
    if host.startswith("www.") and host.find(".", 4) > 0:
        host = host[4:]
    if "/index." in path or "/default." in path.lower():
        path = _FOLDER_PAGE.sub("", path)
    if path.endswith(_AMP_MARK) and _is_article(path.removesuffix(_AMP_MARK).rpartition(slash)[2]):
        path = path.removesuffix(_AMP_MARK)
    blogger = False
    if ".blogspot." in host:
        host = _BLOGGER.sub(".blogspot.com", host)
        blogger = host.endswith(".blogspot.com")
    if query and ("amp" in query or blogger):
        marks = _BLOGGER_PARAMETERS if blogger else _AMP_PARAMETERS
        query = "&".join([parameter for parameter in query.split("&") if parameter not in marks])
        mark = query and mark
    if (path or query) and (device := _DEVICE.match(host)):
        host = (device["language"] or "") + host[device.end() :]
    return f"{host}{path}{mark}{query}"


def _is_article(segment: str) -> bool:
    """Whether a segment in front of /amp names an article: three words, a file name or a long number.

    github.com/user/amp is not github.com/user.
    """
    first = segment.find("-", 1)  # each word has a character, which may be a hyphen itself
    if first > 0 and 0 < segment.find("-", first + 2) < len(segment) - 1:
        return True
    name, dot, ending = segment.rpartition(".")
    return (name != "" and dot + ending in (".htm", ".html")) or _LONG_NUMBER.search(segment) is not None


def is_robots_txt(url: str) -> bool:
    """Whether a URL of any spelling is that of a robots.txt."""
    return _ROBOTS_TXT.fullmatch(url) is not None


def resolve(base: str, location: bytes) -> str:
    """The absolute URL that a Location means, without its fragment; "" where it is none. RFC 9110 section 10.2.2."""
    try:
        text = location.decode("utf-8")
    except UnicodeDecodeError:
        text = location.decode("latin-1")
    try:
        return str(can_ada.parse(urljoin(base, text.strip())).href).partition("#")[0]
    except (TypeError, ValueError):
        return ""


def host_of(canonical: str) -> str:
    """The host of a canonical URL, without the port; an IPv6 address keeps its brackets."""
    authority = canonical.split("/", 3)[2]
    if authority[0] == "[":
        return authority[: authority.index("]") + 1]
    return authority.partition(":")[0]


def path_of(canonical: str) -> str:
    """The path of a canonical URL; begins with a slash."""
    return "/" + canonical.split("/", 3)[3].partition("?")[0]
