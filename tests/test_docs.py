"""What the documents say is so: every file is listed, every command parses, every link leads somewhere."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from webtext.jobs.cli import COMMANDS
from webtext.jobs.config import parse

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    "README.md",
    "ARCHITECTURE.md",
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


def test_every_file_is_in_the_architecture():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    folders = ("schemas", "pipeline", "model", "jobs", "benchmarks")
    wanted = [path for folder in folders for path in (ROOT / folder).rglob("*.py") if path.name != "__init__.py"]
    assert len(wanted) > 40
    missing = [path.name for path in wanted if f"`{path.name}`" not in text]
    assert missing == []


@pytest.mark.parametrize("name", [*DOCUMENTS, "CHANGELOG.md"])
def test_links_between_files_lead_somewhere(name):
    text = (ROOT / name).read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / name).parent / target).exists(), target


def test_files_stay_small():
    """One idea per file."""
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("schemas", "pipeline", "model", "jobs", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert long == {}
