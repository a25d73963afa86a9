import gzip
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.documents.decode import decode
from webtext.pipeline.documents.extract import extract_page
from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text.wikipedia import copied
from webtext.schemas.records import Loss, Reason

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "html"


FILLER = "<p>" + "A sentence of no interest to anyone. " * 40 + "</p>"
WIKI = '<h1 id="firstHeading">A</h1><div id="mw-content-text" class="mw-parser-output">'
CITED = '<sup id="cite_ref-1"><a href="#cite_note-1">[1]</a></sup>'
TAGLINE = "From Wikipedia, the free encyclopedia"
POLICY = (
    '<a href="http://example.org/wiki/Wikipedia:Citation_needed" title="Wikipedia:Citation needed">citation needed</a>'
)
LICENSE = 'released under the <a href="http://creativecommons.org/licenses/by-sa/3.0/">Creative Commons licence</a>.'

COPIES = {
    "saved from Wikipedia": '<link rel="canonical" href="https://en.wikipedia.org/wiki/A">' + FILLER,
    "configuration": '<script>RLCONF={"wgSiteName":"Wikipedia"}</script>' + FILLER,
    "server": '<script>var wgServer = "http://en.wikipedia.org";</script>' + FILLER,
    "print footer": FILLER
    + '<div class="printfooter">Retrieved from "<a href="http://en.wikipedia.org/wiki/A">x</a>"</div>',
    "tagline": f'<h1>A</h1><div id="siteSub">{TAGLINE}</div>' + FILLER,
    "edit links": '<a href="http://en.wikipedia.org/w/index.php?title=A&amp;action=edit&amp;section=1">edit</a>' * 2,
    "notice": f'This article uses material from the <a href="http://x/">Wikipedia article "A"</a>, {LICENSE}',
    "old notice": "<p>It is licensed under the GNU Free Documentation License. It uses material from the\n"
    '<a href="x">Wikipedia article "A"</a>, under the GNU Free Documentation License.</p>',
    "Kiwix": f'This article is issued from <a href="http://x/">Wikipedia</a>. The text is {LICENSE}',
    "WikiMili": "This page is based on a <i>Wikipedia article written by</i> contributors. Text under CC BY-SA 4.0",
    "MediaWiki and tagline": f"{WIKI}<p>{TAGLINE}</p>{CITED}" + FILLER,
    "MediaWiki and project pages": f"{WIKI}{POLICY}{CITED}" + FILLER,
    "title and trademark": "<title>A - Wikipedia, the free encyclopedia</title>Wikipedia® is a registered trademark",
}
OTHERS = {
    "another wiki": f'{WIKI}{CITED}<div class="printfooter">Retrieved from "<a href="http://wiki.example.org/A">x</a>"</div>'
    "See also Wikipedia.",
    "another wiki that links": f'{WIKI}{CITED}<a href="https://en.wikipedia.org/wiki/A">A at Wikipedia</a>' * 20,
    "another wiki's tagline": f'{WIKI}<div id="siteSub">From ExampleWiki, the free manual</div>See Wikipedia.{CITED}',
    "a quotation": f"<blockquote>{TAGLINE}: a page [1] is a page.</blockquote>" + FILLER,
    "a reference": "<p>Wikipedia. Retrieved from https://en.wikipedia.org/w/index.php?title=A&oldid=3</p>" + FILLER,
    "about its licence": "<p>Whoever uses material from the Wikipedia article must name it.</p>" + FILLER,
    "about notices": f"<p>This uses material from the archive. Wikipedia is {LICENSE}</p>",
    "about Wikipedia": "<title>Who edits - Wikipedia</title><p>Wikipedia is an encyclopedia.</p>" + FILLER,
    "one edit link": '<a href="http://en.wikipedia.org/w/index.php?title=A&amp;action=edit&amp;section=1">fix it</a>',
    "citation needed": "<p>Trees are tall.[citation needed] So says Wikipedia.</p>" + FILLER,
    "references of its own": "".join(f"<p>Fact [{number}]</p>" for number in range(1, 20)) + "As Wikipedia says.",
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_found(name):
    found = copied(COPIES[name], "")
    assert found is not None
    assert found.reason is Reason.WIKIPEDIA_COPY
    assert found.detail


@pytest.mark.parametrize("name", OTHERS)
def test_others_stay(name):
    assert copied(OTHERS[name], OTHERS[name]) is None


def test_a_pasted_article_is_found_by_its_references():
    text = TAGLINE + "".join(f" Fact.[{number}]" for number in range(1, 9))
    found = copied(f"<p>{text}</p>", text)
    assert found is not None
    assert found.detail == f'"{TAGLINE}", numbered references'


@pytest.mark.parametrize(("notice", "dropped"), [(COPIES["Kiwix"], True), (OTHERS["a quotation"], False)])
def test_a_build_drops_copies(notice, dropped):
    story = "".join(
        f"<p>In {year} the people of the town built a bridge over the river.</p>" for year in range(1700, 1730)
    )
    html = f"<html><head><title>A town</title></head><body><article>{story}</article><footer>{notice}</footer></body>"
    found = extract_page(html.encode(), ExtractSettings())
    assert isinstance(found, Loss) is dropped
    assert not dropped or found.reason is Reason.WIKIPEDIA_COPY


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_no_page_of_the_marked_sets_is_taken_for_a_copy():
    """504 pages, 24 of which name Wikipedia and 4 of which are of other wikis. None is a copy."""
    taken = []
    for path in sorted(SHARED.glob("*/html/*.gz")):
        html = decode(gzip.decompress(path.read_bytes()))
        if found := copied(html, html):
            taken.append((path.name, found.detail))
    assert not taken


@given(st.lists(st.sampled_from([*COPIES.values(), *OTHERS.values(), "<a ", "<title", "wgServer", '"', "ikipedia"])))
def test_any_mixture_is_judged(parts):
    copied("".join(parts), "")


@pytest.mark.parametrize(
    "piece",
    [
        "uses material from the ",
        "uses material from the <",
        '<link rel="canonical" rel="canonical" //a.b',
        '"//en.wikipedia.org/w/index.php?title=action=edit',
        'class="printfooter"<a ',
        'href="/wiki/Wikipedia',
        "<title>a - ",
    ],
)
def test_time_is_linear_in_hostile_markup(piece):
    html = "Wikipedia: action=edit " + piece * (1_000_000 // len(piece))
    started = time.process_time()
    copied(html, html)
    assert time.process_time() - started < 15  # hours, if it were not
