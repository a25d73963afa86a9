"""What a text becomes: the document that its page, or whatever it is from, yields."""

import msgspec


class Document(msgspec.Struct, array_like=True):
    """A text that was judged, and all that is said of it."""

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
    page_kind: str = ""  # one of page_kind.KINDS; "" for a text that is from no page
    page_kind_certainty: float = 0.0  # 0 to 1

    def __repr__(self) -> str:
        size = f"{len(self.tokens) // 2:,} tokens, English {self.language_probability:.2f}"
        return f"Document({self.title!r}, {size}, {self.text[:60]!r})"
