"""What the documents say is so: every file is listed, every command parses, every link leads somewhere."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from webtext.jobs.cli import COMMANDS
from webtext.jobs.config import parse

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("schemas", "pipeline", "model", "jobs")
DOCUMENTS = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "examples/miniweb/README.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
]


def code_blocks(name):
    text = (ROOT / name).read_text()
    return "\n".join(re.findall(r"```sh\n(.*?)```", text, re.S)).replace("\\\n", " ")


def commands():
    for name in DOCUMENTS:
        for line in code_blocks(name).splitlines():
            if line.startswith("webtext "):
                yield pytest.param(shlex.split(line, comments=True), id=line[:60])


@pytest.mark.parametrize("words", commands())
def test_commands_in_the_documents_parse(words):
    _, command, *args = words
    assert command in COMMANDS
    module = importlib.import_module(f"webtext.jobs.{command}")
    parse(getattr(module, f"{command.capitalize()}Config"), command, args, "webtext")


def test_the_readme_shows_the_two_commands_of_the_makefile():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    shown = re.findall(r"^make (\w+)", code_blocks("README.md"), re.M)
    assert shown == ["demo", "test"]
    assert set(shown) <= set(targets)


def test_every_room_is_in_the_architecture_with_the_file_to_read_first():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    rooms = dict(re.findall(r"^\| `([\w/]+/)` \| .* \| (.*) \|$", text, re.M))
    packages = {f"{path.parent.relative_to(ROOT)}/" for path in sources() if path.name == "__init__.py"}
    assert packages - rooms.keys() == {"pipeline/"}  # which has a drawing of its own
    for room, first in rooms.items():
        for name in re.findall(r"`([\w.]+\.py)`", first):
            assert (ROOT / room / name).is_file(), f"{room}{name}"


def sources(*folders):
    found = [path for folder in folders or SOURCES for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(found) > 20
    return found


def test_every_file_says_what_it_is():
    silent = [path for path in sources(*SOURCES, "benchmarks") if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_a_room_imports_nothing_so_that_help_stays_cheap():
    busy = [path for path in sources() if path.name == "__init__.py" and len(ast.parse(path.read_text()).body) > 1]
    assert busy == []


@pytest.mark.parametrize("name", [*DOCUMENTS, "CHANGELOG.md"])
def test_links_between_files_lead_somewhere(name):
    text = (ROOT / name).read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / name).parent / target).exists(), target


def test_files_and_functions_stay_small():
    """One idea per file, one step per function."""
    long = {}
    for path in sources(*SOURCES, "benchmarks", "tests", "examples"):
        text, name = path.read_text(), str(path.relative_to(ROOT))
        if (lines := len(text.splitlines())) > 400:
            long[name] = lines
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                if lines > 80:
                    long[f"{name}, {node.name}"] = lines
    assert long == {}
