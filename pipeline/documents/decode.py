"""A page's bytes to its characters.

By the WHATWG order, with the two deviations that old pages need: what is valid UTF-8 is that whatever it declares, and
a declaration that the bytes disprove gives way to statistics. trafilatura begins with statistics, which turns
"déjà" into "déją" on many pages in latin-1.
"""

import codecs
import re
from typing import Final

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

_BOMS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# The smaller of two codecs of one name, as resiliparse has it in Python's names.
_CODECS: Final = {"gbk": "gb18030", "gb2312": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "euc-kr": "cp949"}
_META: Final = re.compile(
    rb"<(?:meta|\?xml)[^>]{0,500}?(?:charset|encoding)\s*+=\s*+[\"']?+\s*+([\w.:+-]{1,40})", re.IGNORECASE
)
_META_BYTES: Final = 4096  # browsers look at 1,024; old pages have long comments and scripts before
_SAMPLE: Final = 65_536  # bytes
_FEW: Final = 0.02  # share of characters outside ASCII that may be wrong: one cut character, one pasted quotation
# Letters outside ASCII stand alone or in pairs in the languages of these alphabets.
_LATIN: Final = frozenset({"cp1252", "iso8859-15", "mac-roman", "cp1254"})
_RUN: Final = re.compile("[\u00a1-\u024f]{3,}")
_FOREIGN: Final = re.compile("[\u0080-\U0010ffff]")
_ESCAPES: Final = (b"\x1b$", b"\x1b(")


def decode(payload: bytes, charset: str | None = None) -> str:
    """The page's characters; what can't be decoded is U+FFFD.

    Args:
        payload: the page.
        charset: what the HTTP header declares.

    Source: WHATWG Encoding section 4.2 (labels), HTML section 13.2.3.2 (order).
    """
    for bom, encoding in _BOMS:
        if payload.startswith(bom):
            return payload[len(bom) :].decode(encoding, "replace")
    wide = _wide(payload)
    if wide:
        return payload.decode(wide, "replace")
    declared = _label(charset) or _label(_declared(payload))
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return _decode_legacy(payload, declared)
    # The one encoding of the web that is all ASCII bytes without being ASCII.
    if declared == "iso2022_jp" and any(escape in payload for escape in _ESCAPES):
        return payload.decode("iso2022_jp", "replace")
    return text


def _decode_legacy(payload: bytes, declared: str | None) -> str:
    text = payload.decode("utf-8", "replace")
    if text.count("\ufffd") <= _FEW * len(_FOREIGN.findall(text)):
        return text
    if declared and declared != "utf-8":
        text = _python(payload, declared)
        if _holds(text, declared):
            return text
    return _python(payload, detect_encoding(payload[:_SAMPLE]) or "cp1252")


def _holds(text: str, encoding: str) -> bool:
    """Whether text decoded by its declaration looks like text."""
    foreign = len(_FOREIGN.findall(text))
    if text.count("\ufffd") > max(_FEW * foreign, 1):
        return False
    # Cyrillic, Greek and the like read as latin-1 are whole words of accented letters.
    return encoding not in _LATIN or 2 * sum(map(len, _RUN.findall(text))) <= foreign


def _python(payload: bytes, encoding: str) -> str:
    try:
        return payload.decode(_CODECS.get(encoding, encoding), "replace")
    except (LookupError, UnicodeError):
        return payload.decode("cp1252", "replace")


def _declared(payload: bytes) -> str | None:
    found = _META.search(payload, 0, _META_BYTES)
    return found[1].decode("ascii") if found else None


def _label(label: str | None) -> str | None:
    """The encoding that browsers take a label for (windows-1252 for latin-1), in Python's name, or None."""
    return map_encoding_to_html5(label, fallback_utf8=False) if label and label.isascii() else None


def _wide(payload: bytes) -> str | None:
    """UTF-16 without a byte-order mark: every second byte of markup is NUL."""
    start = payload[:512]
    if len(start) < 8 or start.count(0) < len(start) // 3:
        return None
    even, odd = start[::2].count(0), start[1::2].count(0)
    if min(even, odd) * 8 > max(even, odd):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"
