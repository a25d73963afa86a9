import pytest

from webtext.pipeline.documents import frames
from webtext.pipeline.documents.decode import decode
from webtext.pipeline.documents.extract import text_of
from webtext.pipeline.documents.main_text import find_main_text
from webtext.pipeline.documents.parsing import parse
from webtext.pipeline.settings import ExtractSettings

SETTINGS = ExtractSettings()
TEXT = "The old harbour town has changed a good deal since the railway came to the valley, people say. "
ARTICLE = "<article>" + "".join(f"<p>{TEXT} {number} é</p>" for number in range(10)) + "</article>"
LINKS = "".join(f"<li><a href=/{number}>Part {number}</a></li>" for number in range(12))
CHROME = f"<div id=top><ul>{LINKS}</ul></div>{{}}<div id=foot>Copyright 2009</div>"


def extracted(html, **choices):
    return find_main_text(parse(html), **choices).text


def numbered(count, start=0):
    return [
        f"Sentence number {n} stands here, and it is about the harbour of the old town." for n in range(start, count)
    ]


def page(body, head=""):
    return f"<html><head><title>t</title>{head}</head><body>{CHROME.format(body)}</body></html>"


BETWEEN = ["<ul><li>{}</li><li>{}</li></ul>", "<ol><li>{}</li><li>{}</li></ol>", "<dl><dt>{}</dt><dd>{}</dd></dl>"]
BETWEEN += [f"<h{level}>{{}}</h{level}><p>{{}}</p>" for level in (2, 3, 4)]
BETWEEN += ["<div>{}</div><p>{}</p>", "<div><span>{}</span></div><section>{}</section>", "<center>{}</center><p>{}</p>"]
BETWEEN += ["<p>{}<div>{}</div>", "<table><tr><td>{}</td><td>{}</td></tr></table>", "{}<br><br>{}"]
AROUND = [
    "{}",
    "<div>{}</div>",
    "<div id=page><div class=col>{}</div></div>",
    "<article>{}</article>",
    "<main>{}</main>",
]
AROUND += [
    "<div class='post-body entry-content'>{}</div>",
    "<table><tr><td width=9><a>x</a></td><td>{}</td></tr></table>",
]
AROUND += ["<center><table><tr><td>{}</td></tr></table></center>", "<form action=/>{}</form>"]


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("between", BETWEEN)
def test_what_stands_between_paragraphs_is_text(between, around):
    sentences = numbered(18)
    parts = []
    for at in range(0, 18, 6):
        parts += [f"<p>{each} {TEXT}</p>" for each in sentences[at : at + 2]]
        parts += [between.format(*sentences[at + 2 : at + 4])]
        parts += [f"<p>{each} {TEXT}</p>" for each in sentences[at + 4 : at + 6]]
    text = extracted(page(around.format("".join(parts))))
    places = [text.find(each) for each in sentences]
    assert -1 not in places
    assert places == sorted(places)
    assert "Copyright" not in text
    assert "Part 3" not in text


@pytest.mark.parametrize(
    "chunk",
    ["<div class='body article__body'>{}</div>", "<div class=x><div class='post-content part-{n}'>{}</div></div>"],
)
def test_a_text_in_several_chunks_is_whole(chunk):
    chunks = [
        chunk.format("".join(f"<p>{each} {TEXT}</p>" for each in numbered(at + 4, at)), n=at)
        + "<div class=ad>Buy</div>"
        for at in range(0, 12, 4)
    ]
    text = extracted(page(f"<main><h1>t</h1>{''.join(chunks)}</main>"))
    assert [text.count(each) for each in numbered(12)] == [1] * 12
    assert "Buy" not in text


@pytest.mark.parametrize(
    "wrapper",
    [
        "<aside class=Popup-Overlay>{}</aside>",
        "<section class='commenting-on-x'>{}</section>",
        "<div class=comments-page>{}</div>",
        "<nav>{}</nav>",
        "<div id=menu>{}</div>",
        "<footer>{}</footer>",
        "<div class=sidebar>{}</div>",
    ],
)
def test_what_holds_the_text_is_no_boilerplate(wrapper):
    text = extracted(f"<html><body><p>Home</p>{wrapper.format(ARTICLE.replace('article', 'div'))}</body></html>")
    assert text.count("harbour") == 10


def test_a_service_has_its_text_all_over_the_page():
    cards = "".join(f"<section><h2>Offer {n}</h2><div>{TEXT}</div></section>" for n in range(8))
    text = extracted(page(f"<div class=entry-content><p>{TEXT}</p><p>{TEXT}</p></div>{cards}"))
    assert [f"Offer {n}" in text for n in range(8)] == [True] * 8


def test_an_article_does_not_become_the_whole_page():
    others = "".join(f"<div class=card><h3>Other {n}</h3><p>{TEXT}</p></div>" for n in range(12))
    head = "<meta property=og:type content=article>"
    assert "Other" not in extracted(page(ARTICLE + others, head))
    assert "Other" in extracted(page(ARTICLE + others, head), favor_recall=True)


def test_a_thread_is_its_posts():
    head = "<meta name=generator content='Discourse 3.0'>"
    thread = "".join(f"<div>user{n} joined 2009<div class=post-body><p>{TEXT} {n}</p></div></div>" for n in range(6))
    found = find_main_text(parse(page(thread, head)))
    assert found.kind.name == "forum"
    assert found.text.count("harbour") == 6
    assert "joined" not in found.text


def test_text_is_taken_from_json_where_the_page_has_none():
    body = " ".join(numbered(9))
    assert (
        extracted(f'<html><body><p>x</p><script type=\'application/ld+json\'>{{"articleBody": "{body}"}}</script>')
        == body
    )


def test_bylines_and_buttons_beside_paragraphs_are_no_text():
    text = extracted(page(ARTICLE.replace("<p>", "<div>By A. Person</div><div>Print</div><p>", 1)))
    assert text.startswith("The old harbour")


@pytest.mark.parametrize("start", [0, 5, 9])
def test_text_behind_the_end_of_the_page_is_read(start):
    paragraphs = [f"<p>{each} {TEXT}</p>" for each in numbered(10)]
    html = f"<html><body>{''.join(paragraphs[:start])}</body></html>{''.join(paragraphs[start:])}"
    text = text_of(html, parse(html), SETTINGS).text
    assert [each in text for each in numbered(10)] == [True] * 10 if start < 9 else "number 8" in text


def test_short_pages_are_whole():
    assert extracted("<html><body><div>Test 1</div><div>Test 2</div></body></html>") == "Test 1\nTest 2"
    assert extracted("<nav>only this</nav>") == "only this"


def test_chunks_are_of_one_name_and_depth():
    tree = parse(
        "<div class='a 1'><p>long enough</p></div><div class='a 2'>as long as</div>"
        "<div><div class='a 3'>deeper ones</div></div><div class='a 4'>x</div>"
    )
    first = tree.find(".//div")
    assert [element.get("class") for element in frames._further_chunks(tree, first)] == ["a 2"]


@pytest.mark.parametrize("depth", [100, 300, 1000, 1900])
def test_deep_pages_are_read_whole(depth):
    text = extracted(f"<html><body>{'<div>' * depth}{ARTICLE}{'</div>' * depth}</body></html>")
    assert text.count("harbour") == 10


@pytest.mark.parametrize(
    "start",
    [
        "<!doctype html><html>",
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">\n<html/>',
        "<!-- a comment --><!doctype html><html>",
        '<?xml version="1.0" encoding="latin-1"?>\n<html>',
        "",
        "\ufeff<html>",
        "\0\x01<html>",
        "<html/>",
    ],
)
def test_pages_that_start_oddly_have_title_and_text(start):
    page = f"{start}<head><title>Tü</title></head><body>{ARTICLE}</body></html>"
    tree = parse(page)
    assert tree.findtext(".//title") == "Tü"
    assert find_main_text(tree).text.count("é") == 10


def test_decoded_surrogates_do_no_harm():
    assert extracted(
        decode(f"<html><body>{f'<p>{TEXT}</p>' * 10}\ud83d</body></html>".encode("utf-8", "surrogatepass"))
    )
