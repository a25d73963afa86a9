"""What a document is called, and the key that follows from it.

A page is called by its canonical URL. A text that has none is called `id:` and its id, or `text:` and the hash of the
text, which are no URLs of the web, so the three can't be taken for one another.
"""

from hashlib import blake2b
from typing import Final

from webtext.pipeline.identity import urls

MAX_ID: Final = 4096
"""Longest id in characters."""

_ID: Final = "id:"
_TEXT: Final = "text:"


def of_id(id: str) -> str:
    """The name of a text that is known by an id."""
    return _ID + id


def of_text(text: str) -> str:
    """The name of a text that is known by nothing but itself."""
    return _TEXT + blake2b(text.encode("utf-8", "replace"), digest_size=16, person=b"webtext text").hexdigest()


def key_of(name: str) -> bytes:
    """16 bytes that name the document. Hashes of ids and of URLs can't meet: they are personalised differently.

    Raises:
        ValueError: it is no name of a document.
    """
    if name.startswith(_ID):
        return blake2b(name.removeprefix(_ID).encode(), digest_size=16, person=b"webtext id").digest()
    if name.startswith(_TEXT):
        key = bytes.fromhex(name.removeprefix(_TEXT))
        if len(key) != 16:
            raise ValueError(f"{name[:80]!r} has no hash of 16 bytes")
        return key
    return urls.link_key(name)


def find_name(asked: str) -> str:
    """The name that is meant by what a person typed: a URL in any spelling, a name, or a bare id.

    Raises:
        ValueError: it is empty.
    """
    if not asked:
        raise ValueError("is empty")
    if asked.startswith((_ID, _TEXT)):
        return asked
    try:
        return urls.canonicalize(asked)
    except ValueError:
        return of_id(asked)
