import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.files import json_lines

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_VALUES)
def test_what_python_writes_is_read_back(value):
    assert json_lines.decode(json.dumps(value).encode()) == json_lines.lenient(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (rb'{"a": "cut \ud83d", "b": "\ude00"}', {"a": "cut \ud83d", "b": "\ude00"}),
        (b'["\xff", "\xe2\x98"]', ["\udcff", "\udce2\udc98"]),
        (b'"a\tb\x01"', "a\tb\x01"),
        (b"[Infinity, -Infinity, 1e999, -1e999]", [math.inf, -math.inf] * 2),
        (b"-" + b"9" * 5000, -math.inf),
        (b"9" * 40, 10**40 - 1),
    ],
    ids=["half pairs", "octets", "controls", "infinities", "minus no end", "forty digits"],
)
def test_what_is_no_json_by_the_standard(line, value):
    assert json_lines.decode(line) == value
    assert math.isnan(json_lines.decode(b"NaN"))


@pytest.mark.parametrize("line", [b"", b"{", b"{} {}", b"{'a': 1}", b'{"a": 1,}', b'"\\x41"', b"01", b"undefined"])
def test_what_is_none_either_way(line):
    with pytest.raises(ValueError, match=r".+"):
        json_lines.decode(line)


def test_nesting_without_end():
    with pytest.raises(RecursionError):
        json_lines.decode(b"[" * 100_000)
