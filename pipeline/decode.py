"""A page's bytes to its characters."""

from resiliparse.parse.encoding import detect_encoding


def decode(payload: bytes, charset: str | None = None) -> str:
    """The page's characters. UTF-8 if it is that, else as declared in the markup, else by statistics.

    A declaration of UTF-8 that does not hold is ignored: pages in latin-1 often carry one.
    """
    del charset
    try:
        return payload.decode("utf-8-sig")
    except UnicodeDecodeError:
        encoding = detect_encoding(payload, from_html_meta=True)
    if encoding == "utf-8":
        encoding = detect_encoding(payload)
    return payload.decode(encoding or "utf-8", "replace")
