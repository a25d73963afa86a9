"""The check of licences: which expressions pass, and what the list has to have."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".ci" / "licences.py"


@pytest.fixture(scope="module")
def licences():
    spec = importlib.util.spec_from_file_location("licences", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("expression", "passes"),
    [
        ("MIT", True),
        ("MPL-1.1 OR GPL-2.0-only OR LGPL-2.1-or-later", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("Apache-2.0 AND Apache-2.0 WITH LLVM-exception", True),
        ("GPL-3.0-or-later", False),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-2.0-only OR LGPL-2.1-or-later", False),
        ("GNU General Public License v3 (GPLv3)", False),
        ("see the file", False),
        ("", False),
    ],
)
def test_which_expressions_are_allowed(licences, expression, passes):
    assert licences.allowed(expression) is passes


def test_what_the_list_does_not_have_is_told(licences):
    listed = "| a | MIT |\n| b | MIT |\n\n## In development only\n\n| c | MIT |\n"
    assert licences.problems({"b": "MIT"}, {"c": "MIT"}, listed) == []
    found = licences.problems({"b": "ISC", "c": "MIT", "x": "GPL-3.0-only", "y": ""}, {}, listed)
    assert [line.partition(":")[0] for line in found] == ["b", "c", "x", "y"]
    assert "not allowed" in found[2]
    assert "unknown" in found[3]
