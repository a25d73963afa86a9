import pytest

from webtext.pipeline.documents.frames import renamed
from webtext.pipeline.documents.parsing import parse
from webtext.pipeline.documents.posts import posts


def found(markup):
    return [block.text for block in posts(renamed(parse(f"<html><body>{markup}</body></html>")))]


@pytest.mark.parametrize(
    "name",
    [
        "class='post-body'",
        "class='message-body js-1'",
        "class=postmsg",
        "class=cooked",
        "itemprop=text",
        "class='comment_content'",
    ],
)
def test_the_posts_are_found_without_what_stands_around_them(name):
    thread = "".join(
        f"<div id=p{number}><span>Member since 2009</span><div {name}><p>Post {number} says this.</p></div></div>"
        for number in range(3)
    )
    assert found(f"<p>Log in to reply.</p>{thread}<div>Powered by a program</div>") == [
        f"Post {number} says this." for number in range(3)
    ]


def test_a_quotation_in_a_post_is_there_once():
    inner = "<div class=post-body>quoted</div>"
    assert found(f"<div class=post-body>one {inner}</div><div class=post-body>two</div>") == ["one", "quoted", "two"]


def test_one_post_is_no_thread():
    assert found("<div class=post-body>one</div><p>other</p>") == []
