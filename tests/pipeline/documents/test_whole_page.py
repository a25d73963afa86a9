from webtext.pipeline.documents.parsing import parse
from webtext.pipeline.documents.whole_page import whole_page

TEXT = "We repair clocks of every age in our workshop by the old harbour."


def found(markup, farms=True):
    return [block.text for block in whole_page(parse(f"<html><body>{markup}</body></html>"), farms)]


def test_chrome_leaves_and_small_pieces_stay():
    assert found(
        "<nav>Home</nav><header>Logo</header><header><h1>Clocks</h1></header><aside>Ad</aside>"
        f"<div class='row'><div>Repair</div><div>{TEXT}</div></div><div class='site-menu'>Menu</div>"
        "<div role=search>Search</div><div style='display: none'>secret</div><form>Mail</form><footer>2017</footer>"
    ) == ["Clocks", "Repair", TEXT]


def test_what_has_most_of_the_text_is_no_chrome():
    assert found(f"<aside>{TEXT}</aside><p>x</p>") == [TEXT, "x"]
    assert found(f"<div class=menu>{TEXT}</div><p>x</p>") == [TEXT, "x"]


def test_farms_of_links_go_where_they_are_not_wanted():
    links = "".join(f"<li><a href=/{n}>A clock of the year {1700 + n}, oak</a></li>" for n in range(20))
    page = f"<p>{TEXT}</p><div><ul>{links}</ul></div>"
    assert found(page, farms=False) == [TEXT]
    assert found("<p>x</p>" + page)[:2] == ["x", TEXT]


def test_the_tree_stays_as_it_is():
    tree = parse(f"<nav>Home</nav><p>{TEXT}<a>b</a></p>")
    whole_page(tree, farms=True)
    assert [element.tag for element in tree.iter()] == ["html", "body", "nav", "p", "a"]
