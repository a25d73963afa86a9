"""Real pages made hostile, by seed: each structural fault and trick that is known to hurt parsers and extractors.

No module of tests alone: benchmarks/mutations.py takes its pages from here.
"""

import random
import re
from collections.abc import Callable, Sequence

CAP = 2_000_000  # bytes of a mutated page
_TAG = re.compile(rb"<(/?)([a-zA-Z][a-zA-Z0-9]*)[^<>]*>")
_BLOCKS = (b"div", b"p", b"li", b"ul", b"table", b"tr", b"td", b"span", b"a", b"section", b"blockquote", b"dl", b"pre")
_OTHERS = (b"form", b"select", b"font", b"x-y", b"svg", b"h1", b"br", b"article")
_ENTITIES = (b"&amp;", b"&#0;", b"&#xD800;", b"&#x110000;", b"&nosuch;", b"&nbsp;", b"&#8203;", b"&lt;p&gt;")
_CODECS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "cp1252", "cp1251", "shift_jis", "gb18030")
_LABELS = (b"utf-8", b"utf-16", b"gbk", b"iso-2022-jp", b"shift_jis", b"windows-1251", b"x-none", b"utf-7")
_TRICKS = (
    *(b"<!--", b"<![CDATA[", b"<script>", b"<style>", b"<textarea>", b"<title>", b"<noscript>", b"<svg>", b"<math>"),
    *(b"<template>", b"<plaintext>", b"<?php ", b"<!doctype ", b"<iframe>", b"<xmp>", b"<frameset>"),
)
_TEXT = b"The old harbour town has changed a good deal since the railway came to the valley. "

Mutation = Callable[[random.Random, bytes], bytes]

_UNITS = (b"a", b" ", b"\n", b"\xc2\xa0", b"=", b"0", "字".encode(), _TEXT, b"\t\x0b\x0c", "\U0001f600".encode())


def _place(rng: random.Random, page: bytes) -> int:
    """A place between two tags."""
    at = page.find(b">", rng.randrange(len(page) + 1)) + 1
    return at or len(page)


def _insert(rng: random.Random, page: bytes, what: bytes) -> bytes:
    at = _place(rng, page)
    return page[:at] + what + page[at:]


def _piece(rng: random.Random, page: bytes) -> bytes:
    start = _place(rng, page)
    return page[start : start + rng.choice((200, 2_000, 20_000))]


def _many(rng: random.Random) -> int:
    return int(10 ** rng.uniform(1, 5))


def truncate(rng: random.Random, page: bytes) -> bytes:
    return page[: rng.randrange(len(page) + 1)]


def repeat(rng: random.Random, page: bytes) -> bytes:
    piece = _piece(rng, page) or b"<p>x"
    return _insert(rng, page, piece * min(_many(rng), CAP // len(piece)))


def swap(rng: random.Random, page: bytes) -> bytes:
    a, b, c = sorted(_place(rng, page) for _ in range(3))
    return page[:a] + page[b:c] + page[a:b] + page[c:]


def nest(rng: random.Random, page: bytes) -> bytes:
    tag = rng.choice(_BLOCKS)
    depth = min(_many(rng), 40_000)
    at, end = sorted((_place(rng, page), _place(rng, page)))
    return page[:at] + b"<%b>" % tag * depth + page[at:end] + b"</%b>" % tag * rng.choice((0, depth)) + page[end:]


def nest_page(rng: random.Random, page: bytes) -> bytes:
    return _insert(rng, page, b"<div><table><tr><td>%b</td></tr></table></div>" % page)


def unclose(rng: random.Random, page: bytes) -> bytes:
    tag = rng.choice(_BLOCKS)
    return re.sub(rb"</%b\s*>" % tag, b"", page, flags=re.IGNORECASE)


def flood_attributes(rng: random.Random, page: bytes) -> bytes:
    form = rng.choice((b"a%d=1 ", b"a%d ", b"a%d='<p>' ", b'a%d="\xff&amp;" ', b"a=%d "))
    return _insert(rng, page, b"<div " + b"".join(form % n for n in range(_many(rng))) + rng.choice((b">", b"")))


def flood_entities(rng: random.Random, page: bytes) -> bytes:
    entity = rng.choice(
        (b"&amp;", b"&#0;", b"&#xD800;", b"&#x110000;", b"&nosuch;", b"&nbsp;", b"&#8203;", b"&lt;p&gt;")
    )
    return _insert(rng, page, b"<p>" + entity * (_many(rng) * 2))


def flood_text(rng: random.Random, page: bytes) -> bytes:
    unit = rng.choice(
        (b"a", b" ", b"\n", b"\xc2\xa0", b"=", b"0", "字".encode(), _TEXT, b"\t\x0b\x0c", "\U0001f600".encode())
    )
    return _insert(rng, page, b"<p>" + unit * min(_many(rng) * 20, CAP // len(unit)))


def flood_blocks(rng: random.Random, page: bytes) -> bytes:
    tag = rng.choice(_BLOCKS)
    forms = (
        b"<%b>%d</%b>",
        b"<%b>" + _TEXT + b"%d</%b>",
        b"<%b><a href=/>" + _TEXT[:20] + b"%d</a></%b>",
        b"<%b class=comment>%d<br>x</%b>",
        b"<%b><p>%d</p><ul><li>x</ul></%b>",
    )
    form = rng.choice(forms)
    return _insert(rng, page, b"".join(form % (tag, n, tag) for n in range(min(_many(rng), 24_000))))


def flood_breaks(rng: random.Random, page: bytes) -> bytes:
    return _insert(
        rng, page, b"<p>" + rng.choice((b"x<br>", b"<br/>", b"word <b>x</b> ", b"<hr>")) * min(_many(rng), 40_000)
    )


def break_bytes(rng: random.Random, page: bytes) -> bytes:
    broken = bytearray(page)
    for _ in range(min(_many(rng), len(broken))):
        broken[rng.randrange(len(broken))] = rng.randrange(256)
    return bytes(broken)


def flood_nul(rng: random.Random, page: bytes) -> bytes:
    return _insert(rng, page, b"\0" * _many(rng)) if rng.random() < 0.5 else page.replace(b" ", b"\0")


def recode(rng: random.Random, page: bytes) -> bytes:
    codec = rng.choice(
        ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "cp1252", "cp1251", "shift_jis", "gb18030")
    )
    return page.decode("utf-8", "replace").encode(codec, "replace")


def misdeclare(rng: random.Random, page: bytes) -> bytes:
    label = rng.choice(
        (b"utf-8", b"utf-16", b"gbk", b"iso-2022-jp", b"shift_jis", b"windows-1251", b"x-none", b"utf-7")
    )
    return b"<meta charset=%b>" % label + page


def hide(rng: random.Random, page: bytes) -> bytes:
    trick = rng.choice(_TRICKS)
    return _insert(rng, page, trick * rng.choice((1, 1, 10, 1000)))


def sprinkle(rng: random.Random, page: bytes) -> bytes:
    unit = rng.choice(("\u200b", "\u202e", "\u00ad", "\ufeff", "\ufffe", "\u0301" * 50, "\u2028"))
    text = page.decode("utf-8", "replace")
    return text.replace(rng.choice("aeo "), "a" + unit).encode("utf-8", "replace")


def surrogates(rng: random.Random, page: bytes) -> bytes:
    return _insert(rng, page, b"\xed\xa0\x80\xed\xb0\x80" * _many(rng))


def swap_tags(rng: random.Random, page: bytes) -> bytes:
    old, new = (
        rng.choice(_BLOCKS),
        rng.choice((*_BLOCKS, *_OTHERS)),
    )
    return re.sub(rb"<(/?)%b\b" % old, rb"<\1" + new, page, flags=re.IGNORECASE)


def only_tags(rng: random.Random, page: bytes) -> bytes:
    del rng
    return b"".join(match[0] for match in _TAG.finditer(page))


MUTATIONS: Sequence[Mutation] = (
    truncate, repeat, swap, nest, nest_page, unclose, flood_attributes, flood_entities, flood_text, flood_blocks,
    flood_breaks, break_bytes, flood_nul, recode, misdeclare, hide, sprinkle, surrogates, swap_tags, only_tags,
)  # fmt: skip


def mutate(pages: Sequence[bytes], seed: int) -> bytes:
    """Mutated page number `seed`: one to three mutations of one of the pages, at most CAP bytes."""
    rng = random.Random(seed)
    page = rng.choice(pages)
    for _ in range(rng.choice((1, 1, 2, 3))):
        page = rng.choice(MUTATIONS)(rng, page)[:CAP]
        if not page:
            break
    return page
