import pytest

from webtext.pipeline.opt_outs.tdmrep import parse

SITE = """[
  {"location": "/", "tdm-reservation": 1, "tdm-policy": "https://a.example/policy.json"},
  {"location": "/open/*", "tdm-reservation": 0},
  {"location": "/open/*.pdf$", "tdm-reservation": 1}
]"""


@pytest.mark.parametrize(
    ("text", "target", "line"),
    [
        (SITE, "/a", "/.well-known/tdmrep.json rule 1: location /, tdm-reservation 1"),
        (SITE, "/open/a?b", ""),
        (SITE, "/open/a.pdf", "/.well-known/tdmrep.json rule 3: location /open/*.pdf$, tdm-reservation 1"),
        ('{"location": "*", "tdm-reservation": "1"}', "/a", "/.well-known/tdmrep.json rule 1: location *, "),
        ('[{"location": "/a", "tdm-reservation": 1}]', "/b", ""),
        ('[{"location": "/a", "tdm-reservation": 0}]', "/a", ""),
        ('[{"location": "/a", "tdm-reservation": 0}, {"location": "/a", "tdm-reservation": 1}]', "/a", "/.well-known"),
        ('[{"location": "/a"}, {"tdm-reservation": 1}, 5, null, {"location": 1, "tdm-reservation": 1}]', "/a", ""),
        ('[{"location": "/a", "tdm-reservation": [1]}]', "/a", ""),
        ("<!doctype html>", "/a", ""),
        ("", "/a", ""),
        ("1", "/a", ""),
        ("[" * 400_000, "/a", ""),
        ('{"a":' * 100_000, "/a", ""),
        ('"\udcff"', "/a", ""),
    ],
)
def test_locations(text, target, line):
    found = [opt_out.line for opt_out in parse(text).of(target)]
    assert found == [] if not line else found[0].startswith(line)
