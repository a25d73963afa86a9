import copy
import gzip
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import etree

from pipeline import main_text, main_text_paths
from pipeline.decode import decode
from pipeline.settings import ExtractSettings

DATA = Path("../shared/data/html")
SETTINGS = ExtractSettings()
TEXT = "The old harbour town has changed a good deal since the railway came to the valley, people say. "
ARTICLE = "<article>" + "".join(f"<p>{TEXT} {number} é</p>" for number in range(10)) + "</article>"
PLAIN = """
import gzip, hashlib, sys, trafilatura
for path in sys.argv[1:]:
    html = gzip.open(path).read().decode("utf-8", "replace")
    text = trafilatura.extract(html, include_comments=False) or ""
    print(hashlib.sha256(text.encode()).hexdigest())
"""


def extracted(html):
    return main_text.find(main_text.parse(html), SETTINGS)


def paths():
    found = sorted(DATA.glob("*/html/*.gz"))[::12]
    if not found:
        pytest.skip("../shared/data/html is absent")
    return found


def test_the_text_is_that_of_trafilatura_untouched():
    # In a process of its own, which can't have our functions in trafilatura.
    names = [str(path) for path in paths()]
    plain = subprocess.run([sys.executable, "-c", PLAIN, *names], capture_output=True, text=True, check=True)
    ours = []
    for name in names:
        html = gzip.decompress(Path(name).read_bytes()).decode("utf-8", "replace")
        ours.append(hashlib.sha256(extracted(html).encode()).hexdigest())
    differ = [name for name, a, b in zip(names, ours, plain.stdout.split(), strict=True) if a != b]
    assert differ == []


def test_quick_paths_select_what_the_slow_ones_do():
    slow = [
        ".//*[self::div or self::p][re:test(@id|@class, 'cookie') or re:test(@class, '^nav|bar', 'i')]",
        "(.//*[@role='x' or re:test(@id, 'a(?:b|c)')])[1]",
    ]
    page = "".join(
        f"<div {a}><p {b}>x</p></div>"
        for a in ("", "id=cookie", "class=NAV", "id=ac", "role=x", "id=no class=cookie", "class=''")
        for b in ("", "class=sidebar", "id=ab class=cookies", f"class='{'z ' * 200}bar'")
    )
    tree = main_text.parse(f"<html><body>{page}</body></html>")
    for path in slow:
        expected = etree.XPath(path, namespaces={"re": "http://exslt.org/regular-expressions"})(tree)
        assert expected
        assert main_text_paths.faster(path)(tree) == expected


def test_every_test_of_trafilatura_is_replaced_and_only_during_a_call():
    for module, name, ours in main_text_paths.REPLACEMENTS:
        assert "re:test" not in "".join(path.path for path in (ours if isinstance(ours, list) else [ours]))
        assert getattr(module, name) is not ours
    with pytest.raises(ValueError, match="empty string"):
        main_text_paths.faster(".//*[re:test(@id, 'a*')]")


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
    tree = main_text.parse(page)
    assert tree.findtext(".//title") == "Tü"
    assert main_text.find(tree, SETTINGS).count("é") == 10


@pytest.mark.parametrize("html", ["", " ", "\0", "<!-- -->", "\ufffe\uffff"])
def test_nothing_gives_nothing(html):
    tree = main_text.parse(html)
    assert tree is None or extracted(html) == ""


def test_the_tree_is_left_as_it_is():
    tree = main_text.parse(f"<html><body><nav>x</nav><article>{f'<p>{TEXT}</p>' * 10}</article></body></html>")
    before = etree.tostring(copy.copy(tree))
    main_text.find(tree, SETTINGS)
    assert etree.tostring(tree) == before


def test_decoded_surrogates_do_no_harm():
    assert extracted(
        decode(f"<html><body>{f'<p>{TEXT}</p>' * 10}\ud83d</body></html>".encode("utf-8", "surrogatepass"))
    )
