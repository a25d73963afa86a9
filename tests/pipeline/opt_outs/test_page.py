import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from webtext.pipeline.opt_outs.page import of_page
from webtext.pipeline.opt_outs.signals import of_meta


def found(page):
    return [opt_out.line for opt_out in of_page((), page)]


@pytest.mark.parametrize(
    ("page", "lines"),
    [
        (b"", []),
        (b'<head><meta name="robots" content="noai, noimageai">', ["meta robots: noai, noimageai"] * 2),
        (b"<HEAD><META CONTENT=noai NAME=Robots>", ["meta robots: noai"]),
        (b"<head><meta\nname='webtext'\ncontent='noai'/>", ["meta webtext: noai"]),
        (b'<head><meta name="googlebot" content="noai">', []),
        (b'<head><meta name="tdm-reservation" content="1">', ["meta tdm-reservation: 1"]),
        (b'<head><meta name="tdm-reservation" content="0">', []),
        (b'<head><meta http-equiv="Content-Usage" content="train-ai=n">', ["meta content-usage: train-ai=n"]),
        (b'<head><meta name="content-signal" content="search=yes, ai-train=no">',
         ["meta content-signal: search=yes, ai-train=no"]),
        (b'<head><meta http-equiv="X-Robots-Tag" content="noai">', ["meta x-robots-tag: noai"]),
        (b'<head><!-- <meta name="robots" content="noai"> -->', []),
        (b'<head><!-- a --><meta name="robots" content="noai"><!-- b', ["meta robots: noai"]),
        (b'<head><!-- <meta name="robots" content="noai">', []),
        (b'<head></head><body><meta name="robots" content="noai">', []),
        (b"<body><p>noai", []),
        (b'<head><meta name="description" content="noai">', []),
        (b"""<head><script>document.write('<meta name="robots" content="noai">')</script>""", []),
        (b'<head><title>How to write <meta name="robots" content="noai"></title>', []),
        (b'<head><STYLE>p{}</style><meta name="robots" content="noai">', ["meta robots: noai"]),
        (b'<head><template><meta name="robots" content="noai"></template>', []),
        (b'<head><noscript><meta name="robots" content="noai"></noscript>', ["meta robots: noai"]),
        (b"\xff\xfe" + '<head><meta name="robots" content="noai">'.encode("utf-16-le"), ["meta robots: noai"]),
        (b"<head>" + b" " * 70_000 + b'<meta name="robots" content="noai">', ["meta robots: noai"]),
        (b"<head>" + b" " * 300_000 + b'<meta name="robots" content="noai">', []),
        (b"noai" + b"<meta " * 40_000, []),
        (b"noai" + b"<!--" * 60_000, []),
        (b"noai" + b"<script>" * 30_000, []),
        (b"noai" + b"</head " * 30_000, []),
    ],
)  # fmt: skip
def test_heads(page, lines):
    assert found(page) == lines


_TOKENS = re.compile(
    rb"<!--?->|<!--.*?-->|<!--.*|<(script|style|title|template)[\s/>](?:.*?</\1|.*)|(?P<end></head[\s>]|<body[\s>])|.",
    re.IGNORECASE | re.DOTALL,
)


def in_full(page):
    """What is found where every head is read, also one without a word that opts out."""
    page = page.replace(b"\0", b"")
    kept = b""
    for token in _TOKENS.finditer(page):
        if token["end"]:
            break
        kept += token[0] if len(token[0]) == 1 else b" "
    lines = []
    for meta in re.findall(rb"(?i)<meta[\s/]([^>]{1,2000}+)>", kept):
        pairs = re.findall(rb"(?i)([a-z][a-z-]*)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", meta)
        value = {name.lower(): (a or b or c).decode("latin-1").strip() for name, a, b, c in pairs}
        name = value.get(b"name") or value.get(b"http-equiv", "")
        lines += [opt_out.line for opt_out in of_meta(name, value.get(b"content", ""))]
    return lines


PIECES = st.sampled_from(
    [
        *(b"<head>", b"</head>", b"</HEAD>", b"</head >", b"<body>", b"<BODY ", b"<!--", b"-->", b"->", b"<!", b"<"),
        *(b"<meta ", b"<META\n", b"name=", b"NAME = ", b"content=", b'"', b"'", b" ", b"\0", b",", b":", b"/>", b">"),
        *(b"robots", b"Robots", b"webtext", b"tdm-reservation", b"TDM-Reservation", b"1", b"noai", b"NoAI", b"NOML"),
        *(b"no", b"ai", b"ml", b"tdm-", b"reservation", b"otherbot", b"<!-- x -->", b"\xc4\xb0", b"\xff\xfe", b"--"),
        *(b'<meta name="robots" content="noai">', b"<meta name=robots content=noml>", b" " * 2100),
        *(b'<meta name="tdm-reservation" content="1">', b"<meta name='webtext' content='index, noai'>"),
        *(b"<script>", b"</script>", b"<SCRIPT ", b"<title>", b"</title>", b"<style", b"</style"),
        *(b"<meta http-equiv=content-usage content=train-ai=n>", b"content-signal", b"ai-train=no", b"http-equiv="),
    ]
)


@given(page=st.lists(PIECES, max_size=30).map(b"".join))
@example(page=b'<meta name="robots" content="no<!-- -->ai">')
@example(page=b'<meta name="robots" content="n\0oai">')
@example(page=b'<meta name="robots" content="a</head>noai">')
@example(page=b'<!-- </head> --><meta name="robots" content="noai">')
@example(page=b'<!--><meta name="robots" content="noai">')
@settings(max_examples=500, deadline=None)
def test_a_head_that_is_not_read_opts_out_of_nothing(page):
    assert found(page) == in_full(page)
