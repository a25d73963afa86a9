"""A licence document of Really Simple Licensing: whether it lets models be trained on a path.

A licence refuses where it prohibits training, lists permits without it, or permits it for money: nobody here pays. Of
several licences of a content one that permits is enough; one that says nothing of use neither permits nor refuses.

Source: RSL 1.0, sections 3.3 to 3.7 and 4.9. Not done: licence servers, user and geo terms, RSL in feeds and pages.
"""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from lxml import etree  # type: ignore[import-untyped]

from webtext.pipeline.opt_outs.paths import PathOptOuts
from webtext.pipeline.opt_outs.signals import RSL

_TRAINING: Final = frozenset({"ai-train", "train-ai", "ai-all", "all"})
_FREE: Final = frozenset({"", "free", "attribution"})


def parse(document: bytes, host: str, line: str) -> PathOptOuts:
    """What the document says of paths on a host; nothing where it is no such document.

    Args:
        document: XML.
        host: with its port, as in the URLs of pages.
        line: what named the document, as it is told.
    """
    # Entities stay as they are: neither do they grow, nor is anything fetched.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True)
    try:
        root = etree.fromstring(document, parser)
    except (etree.XMLSyntaxError, ValueError):
        root = None
    return PathOptOuts(RSL, () if root is None else _statements(root, host, line))


def _statements(root: Any, host: str, line: str) -> Iterator[tuple[str, str]]:
    for content in root.iter("{*}content"):
        path = _path(content.get("url") or "", host)
        if path is None:
            continue
        verdicts = [_refusal(licence) for licence in content.iterchildren("{*}license")]
        refusals = [verdict for verdict in verdicts if verdict]
        refuses = refusals and None not in verdicts
        yield path, f"{line}, which {refusals[0]} for {path[:100] or '/'}" if refuses else ""


def _path(url: str, host: str) -> str | None:
    """The pattern of paths that a content is about; None where it is about another host."""
    url = url.strip()
    if not url.lower().startswith(("http://", "https://")):
        return url
    try:
        where = urlsplit(url)
    except ValueError:
        return None
    if where.netloc.lower().removeprefix("www.") != host.lower().removeprefix("www."):
        return None
    return where.path + (f"?{where.query}" if where.query else "")


def _refusal(licence: Any) -> str | None:
    """Why a licence does not let models be trained; "" where it says nothing of that, None where it does let them."""
    permits, prohibits = (_usages(licence, kind) for kind in ("permits", "prohibits"))
    if prohibits is not None and (found := sorted(prohibits & _TRAINING)):
        return f"prohibits {found[0]}"
    if permits is None:
        return ""
    if not permits & _TRAINING:
        return f"permits {' '.join(sorted(permits))[:80] or 'nothing'} only"
    payment = licence.find("{*}payment")
    kind = "" if payment is None else (payment.get("type") or "").strip().lower()
    return None if kind in _FREE else f"permits training for a payment ({kind[:20]})"


def _usages(licence: Any, kind: str) -> frozenset[str] | None:
    """The uses that a licence permits or prohibits; None where it lists none."""
    found = [each for each in licence.iterchildren(f"{{*}}{kind}") if each.get("type", "usage") == "usage"]
    words = (word.strip().lower() for each in found for word in (each.text or "").replace(",", " ").split())
    return frozenset(words) if found else None
