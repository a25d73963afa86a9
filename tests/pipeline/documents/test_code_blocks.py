import pytest

from webtext.pipeline.documents.code_blocks import code_to_pre
from webtext.pipeline.documents.frames import renamed
from webtext.pipeline.documents.parsing import parse
from webtext.pipeline.documents.rendering import joined, render

LINES = ("while tide:", "    tide -= 1", "", "    log(tide)")
CODE = "\n".join(LINES)
NUMBERS = "\n".join(str(number) for number in range(1, 5))
NBSP = [line.replace("  ", "&nbsp; ") for line in LINES]


def shown(markup):
    tree = parse(f"<html><body><p>Before.</p>{markup}<p>After.</p></body></html>")
    code_to_pre(tree)
    return joined(render(renamed(tree)))


def rows(cell, numbers="<td>{}</td>"):
    return "".join(f"<tr>{numbers.format(n + 1)}{cell.format(line)}</tr>" for n, line in enumerate(LINES))


@pytest.mark.parametrize(
    "markup",
    [
        f"<pre>{CODE}</pre>",
        f"<pre><code>{CODE}</code></pre>",
        f"<figure class=code><pre>{CODE}</pre></figure>",
        f"<table class=highlighttable><tr><td><pre>{NUMBERS}</pre><td class=code><pre>{CODE}</pre></table>",
        f"<figure><table><tr><td class=gutter><pre>{NUMBERS}</pre><td><pre><code>{CODE}</code></pre></table></figure>",
        f"<table><tr><td><pre>{CODE}</pre></td></tr></table>",
        f"<table class='js-line highlight'>{rows('<td class=blob-code>{}</td>', '<td data-n={}></td>')}</table>",
        f"<table>{rows('<td><pre>{}</pre></td>')}</table>",
        f"<table class=crayon><tr><td>{''.join(f'<div>{n}</div>' for n in range(1, 5))}</td><td class=crayon-code>"
        + "".join(f"<div><span>{line}</span></div>" for line in LINES)
        + "</td></tr></table>",
        "<div class=syntax>" + "".join(f"<div class=line><code>{line}</code></div>" for line in LINES) + "</div>",
        "<ol class=dp-py>" + "".join(f"<li><span>{line}</span></li>" for line in LINES) + "</ol>",
        f"<pre>{'<br>'.join(LINES)}</pre>",
        f"<p><code>{'<br>'.join(NBSP)}</code></p>",
        "<code>\n" + "<br>\n".join(NBSP) + "\n</code>",
    ],
)
def test_code_keeps_its_lines_and_their_indentation(markup):
    text = shown(markup)
    assert text.startswith("Before.\n")
    assert text.endswith("\nAfter.")
    assert [line for line in text.split("\n")[1:-1] if line] == [line for line in LINES if line]


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<table><tr><td>1<td>one<tr><td>2<td>two</table>", "1 | one\n2 | two"),
        ("<ul><li><code>ls</code><li><code>cd</code></ul>", "- ls\n- cd"),
        ("<ul class=code><li><a>a</a><li>b</ul>", "- a\n- b"),
        ("<p>Type <code>ls</code> there.</p>", "Type ls there."),
        ("<div><p><code>a</code> is a letter.</p><p><code>b</code> too.</p></div>", "a is a letter.\nb too."),
    ],
)
def test_what_is_no_code_stays(markup, text):
    assert shown(markup) == f"Before.\n{text}\nAfter."
