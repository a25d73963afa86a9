import pytest

from webtext.pipeline.opt_outs.licence import parse

LINE = "robots.txt line 1: License: /license.xml"


def refused(licences, target="/a", url="/"):
    document = (
        f'<?xml version="1.0"?><rsl xmlns="https://rslstandard.org/rsl"><content url="{url}">{licences}</content></rsl>'
    )
    return [opt_out.line for opt_out in parse(document.encode(), "a.example:8080", LINE).of(target)]


def usage(kind, uses):
    return f'<{kind} type="usage">{uses}</{kind}>'


@pytest.mark.parametrize(
    ("licences", "why"),
    [
        ("<license>" + usage("prohibits", "ai-train") + "</license>", "prohibits ai-train"),
        ("<license>" + usage("prohibits", "ai-all") + "</license>", "prohibits ai-all"),
        ("<license>" + usage("prohibits", "all") + "</license>", "prohibits all"),
        (
            "<license>" + usage("permits", "ai-all") + usage("prohibits", "ai-train") + "</license>",
            "prohibits ai-train",
        ),
        ("<license>" + usage("permits", "search") + "</license>", "permits search only"),
        ("<license>" + usage("permits", "ai-input search") + "</license>", "permits ai-input search only"),
        ("<license>" + usage("permits", "") + "</license>", "permits nothing only"),
        (
            "<license>" + usage("permits", "ai-train") + '<payment type="crawl"><amount>1</amount></payment></license>',
            "permits training for a payment (crawl)",
        ),
        ("<license>" + usage("permits", "train-ai") + "</license>", ""),
        ("<license>" + usage("permits", "ai-all") + '<payment type="free"/></license>', ""),
        ("<license>" + usage("permits", "all") + '<payment type="attribution"/></license>', ""),
        ("<license>" + usage("prohibits", "ai-input") + "</license>", ""),
        ('<license><prohibits type="geo">EU</prohibits></license>', ""),
        ("<license/>", ""),
        ("", ""),
        (  # licences are offers
            f"<license>{usage('prohibits', 'ai-train')}</license><license>{usage('permits', 'ai-train')}</license>",
            "",
        ),
    ],
)
def test_licences(licences, why):
    assert refused(licences) == ([f"{LINE}, which {why} for /"] if why else [])


@pytest.mark.parametrize(
    ("url", "target", "covered"),
    [
        ("/", "/a/b", True),
        ("/*", "/a/b", True),
        ("", "/a/b", True),
        ("/news/", "/news/1", True),
        ("/news/", "/sport/1", False),
        ("/*.pdf$", "/a.pdf", True),
        ("http://a.example:8080/news/*", "/news/1", True),
        ("https://WWW.a.example:8080", "/news/1", True),
        ("https://b.example/", "/news/1", False),
        ("http://[", "/news/1", False),
    ],
)
def test_paths(url, target, covered):
    assert bool(refused("<license>" + usage("prohibits", "all") + "</license>", target, url)) is covered


def test_the_longest_path_decides():
    licence = "<license><permits>{}</permits></license>".format
    document = f'<rsl><content url="/">{licence("search")}</content><content url="/a/">{licence("all")}</content></rsl>'
    found = parse(document.encode(), "a.example", LINE)
    assert [list(found.of(target)) != [] for target in ("/", "/a", "/a/b")] == [True, True, False]


BOMB = b'<!DOCTYPE r [<!ENTITY a "' + b"x" * 1000 + b'">' + b"".join(
    b'<!ENTITY a%d "%s">' % (n, b"&a%s;" % (str(n - 1).encode() if n else b"") * 50) for n in range(12)
) + b"]><rsl><content url='/'><license><prohibits>&a11; all</prohibits></license></content></rsl>"  # fmt: skip


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html><p>Not found",
        b"<rsl><content",
        b"\0\xff" * 1000,
        b"<content>" * 50_000,
        b"<rsl>" + b"<content url='/'>" * 20_000,
        b"<!DOCTYPE r SYSTEM 'http://127.0.0.1:1/x'><rsl/>",
        b"<!DOCTYPE r [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><rsl><content url='&a;'/></rsl>",
        BOMB,
    ],
)
def test_what_is_no_licence_says_nothing(document):
    assert list(parse(document, "a.example", LINE).of("/")) == []


def test_a_document_that_is_cut_says_what_is_there():
    cut = b'<rsl><content url="/"><license><prohibits type="usage">all</prohibits></license></content><content url="/b"'
    assert [opt_out.signal for opt_out in parse(cut, "a.example", LINE).of("/")] == ["rsl"]
