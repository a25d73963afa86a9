import pytest

from webtext.pipeline.opt_outs.signals import OptOut, first, of_fields, signal_refuses, usage_refuses
from webtext.pipeline.settings import OPT_OUTS, ExtractSettings, obeyed


# draft-ietf-aipref-vocab-08 sections 6.2 to 6.5, RFC 9651 section 4.2.2.
@pytest.mark.parametrize(
    ("value", "refuses"),
    [
        ("train-ai=n", True),
        ("search=y, train-ai=n", True),
        ("search=y,train-ai=n", True),
        ("train-genai=n", True),
        ("train-ai=n;exceptions", True),
        ('train-ai=n; why="none, at all"; until=@1700000000', True),
        ('other="a, train-ai=y", train-ai=n', True),
        ("other=(a b), train-ai=n", True),
        ("train-ai=y, train-ai=n", True),  # of equal keys the last holds
        ("train-ai=n, train-ai=y", False),
        ("train-ai=y", False),
        ("train-ai", False),
        ('train-ai="n"', False),
        ("train-ai=no", False),
        ("train-ai=N", False),
        ("Train-AI=n", False),  # no key: then it is no dictionary
        ("train-ai;train-ai=n", False),
        ('other="train-ai=n"', False),
        ("search=n", False),
        ("ai-use=n", False),
        ("bots=n", False),
        ("train-ai=n,", False),
        ("train-ai=n search=y", False),
        ("train-ai = n", False),
        ("", False),
        ("\xfc=n", False),
    ],
)
def test_usage(value, refuses):
    assert usage_refuses(value) is refuses


@pytest.mark.parametrize(
    ("value", "refuses"),
    [
        ("ai-train=no", True),
        ("search=yes,ai-train=no,use=reference", True),
        ("search=yes, ai-input=yes, AI-Train = No", True),
        ("ai-train=yes, ai-train=no", True),  # the strictest
        ("ai-train=yes", False),
        ("ai-train", False),
        ("search=no, ai-input=no", False),
        ("ai-trained=no", False),
        ("no-ai-train=no", False),
        ("", False),
    ],
)
def test_content_signal(value, refuses):
    assert signal_refuses(value) is refuses


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ([], []),
        ([("X-Robots-Tag", "noai")], ["noai: X-Robots-Tag: noai"]),
        (
            [("x-robots-tag", "noindex, NoAI, noimageai")],
            [f"{signal}: x-robots-tag: noindex, NoAI, noimageai" for signal in ("noai", "noimageai")],
        ),
        ([("X-Robots-Tag", "webtext: noai")], ["noai: X-Robots-Tag: webtext: noai"]),
        ([("X-Robots-Tag", "WebText/1.0: noai")], ["noai: X-Robots-Tag: WebText/1.0: noai"]),
        ([("X-Robots-Tag", "web: noai")], []),
        ([("X-Robots-Tag", "otherbot: noai")], []),
        ([("X-Robots-Tag", "otherbot: noindex, noai")], []),
        (
            [("X-Robots-Tag", "unavailable_after: 25 Jun 2010 15:00:00 PST, noai")],
            ["noai: X-Robots-Tag: unavailable_after: 25 Jun 2010 15:00:00 PST, noai"],
        ),
        ([("X-Robots-Tag", "noimageai, nofollow")], ["noimageai: X-Robots-Tag: noimageai, nofollow"]),
        ([("X-Robots-Tag", "noindex"), ("X-Robots-Tag", "noml")], ["noai: X-Robots-Tag: noml"]),
        ([("tdm-reservation", "1")], ["tdmrep: tdm-reservation: 1"]),
        ([("TDM-Reservation", " 1 ")], ["tdmrep: TDM-Reservation: 1"]),
        ([("tdm-reservation", "0")], []),
        ([("Content-Usage", "train-ai=n")], ["content-usage: Content-Usage: train-ai=n"]),
        (
            [("Content-Usage", "search=y"), ("Content-Usage", "train-ai=n")],
            ["content-usage: Content-Usage: search=y, train-ai=n"],
        ),
        ([("Content-Usage", "train-ai=n"), ("Content-Usage", "train-ai=y")], []),
        ([("Content-Signal", "ai-train=no")], ["content-signal: Content-Signal: ai-train=no"]),
        ([("Content-Signal", "ai-train=no" + " x" * 999)], []),
        ([("X-Content-Usage", "train-ai=n")], []),
    ],
)
def test_fields(fields, found):
    assert [str(opt_out) for opt_out in of_fields(fields)] == found


def test_the_first_that_is_obeyed_is_told_and_else_the_first():
    found = [OptOut("noai", "a"), OptOut("tdmrep", "b"), OptOut("noai", "c")]
    assert first(found, frozenset({"tdmrep"})) == found[1]
    assert first(found, frozenset({"noai", "tdmrep"})) == found[0]
    assert first(found, frozenset()) == found[0]
    assert first([], frozenset({"noai"})) is None


def test_the_setting():
    assert obeyed("all") == set(OPT_OUTS)
    assert obeyed("none") == set()
    assert obeyed("noai, tdmrep") == {"noai", "tdmrep"}
    with pytest.raises(ValueError, match=r"'robots' is none of them"):
        ExtractSettings(opt_outs="noai,robots")
