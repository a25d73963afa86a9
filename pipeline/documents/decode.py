"""A page's bytes to its characters.

By the WHATWG order, with the two deviations that old pages need: what is UTF-8 but for a few bytes is that whatever it
declares, and a declaration that the bytes disprove gives way to statistics. trafilatura begins with statistics, which
turns "déjà" into "déją" on many pages in latin-1.
"""

import codecs
import re
from typing import Final

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

# UTF-32, which browsers do not know, begins like UTF-16.
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# The smaller of two codecs of one name, as resiliparse has it in Python's names.
_CODECS: Final = {"gbk": "gb18030", "gb2312": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "euc-kr": "cp949"}
_META: Final = re.compile(
    rb"<(?:meta|\?xml)[^>]{0,500}?(?:charset|encoding)\s*+=\s*+[\"']?+\s*+([\w.:+-]{1,40})", re.IGNORECASE
)
_META_BYTES: Final = 4096  # browsers look at 1,024; old pages have long comments and scripts before
_SAMPLE: Final = 65_536  # bytes
_FEW: Final = 0.02  # share of characters outside ASCII that may be wrong in the encoding that a page declares
_STRAY: Final = 6  # bytes that are not UTF-8 in a page that declares it: pasted quotations, a cut character
_HALVES: Final = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")  # halves of surrogate pairs, as old Java wrote UTF-8
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
    header = _label(charset)
    wide = _wide(payload, header)
    if wide:
        return payload.decode(wide, "replace")
    # Neither the header nor, by HTML section 13.2.3.3, the markup makes UTF-16 of bytes that are not.
    declared = header if header and not _is_utf_16(header) else _declared(payload)
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
    if _is_utf_8(payload, text, declared):
        return text
    if declared and declared != "utf-8":
        text = _python(payload, declared)
        if _holds(text, declared):
            return text
    return _python(payload, detect_encoding(payload[:_SAMPLE]) or "cp1252")


def _is_utf_8(payload: bytes, text: str, declared: str | None) -> bool:
    """Whether the bytes are UTF-8 with faults; `text` is how they read then.

    Sequences of several bytes do not come about by chance: of the characters outside ASCII of 43 languages in other
    encodings, 28 % at most belong to one (Japanese; Chinese, Thai), and 1.5 % where a letter is one byte.
    """
    # U+FFFD itself is a character like others.
    own, halves = payload.count(b"\xef\xbf\xbd"), len(_HALVES.findall(payload))
    wrong = text.count("\ufffd") - own - 3 * halves
    right = len(_FOREIGN.findall(text)) - text.count("\ufffd") + own + halves
    if declared == "utf-8" and right:
        return wrong < max(right, _STRAY + 1)
    return wrong * (4 if declared else 1) < right


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
    """The first encoding that the markup declares and that there is; UTF-16 means UTF-8, for ASCII can be read."""
    labels = (_label(found[1].decode("ascii")) for found in _META.finditer(payload, 0, _META_BYTES))
    known = [label for label in labels if label]
    return next((label for label in known if not _is_utf_16(label)), "utf-8" if known else None)


def _label(label: str | None) -> str | None:
    """The encoding that browsers take a label for (windows-1252 for latin-1), in Python's name, or None."""
    if not label or not label.isascii():
        return None
    if label.strip().lower() == "x-user-defined":
        return "cp1252"  # as HTML section 13.2.3.2 has it for markup
    return map_encoding_to_html5(label, fallback_utf8=False)


def _is_utf_16(encoding: str) -> bool:
    return encoding.startswith("utf-16")


def _wide(payload: bytes, header: str | None) -> str | None:
    """UTF-16 without a byte-order mark: its tags have NULs, and so has every second byte where the text is ASCII."""
    if header and _is_utf_16(header) and "<".encode(header) in payload[:_SAMPLE]:
        return header
    start = payload[:512]
    if len(start) < 8 or start.count(0) < len(start) // 3:
        return None
    even, odd = start[::2].count(0), start[1::2].count(0)
    if min(even, odd) * 8 > max(even, odd):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"
