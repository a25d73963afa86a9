"""What extraction says of one page: a document, or the first reason against it."""

import msgspec

from webtext.schemas.records import Reason


class Extracted(msgspec.Struct, tag=True):
    """What a page yields."""

    title: str
    published: str  # ISO 8601 date; "" where the page does not say
    html_lang: str  # as declared, lower case; "" where it is not
    text: str
    language_probability: float
    tokens: bytes  # little-endian uint16
    text_hash: bytes
    signature: bytes  # little-endian uint32
    masked_emails: int = 0
    masked_addresses: int = 0


class Dropped(msgspec.Struct, tag=True):
    """Why a page yields nothing."""

    reason: Reason
    detail: str
