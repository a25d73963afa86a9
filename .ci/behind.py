"""Tells which direct dependencies are behind: constraints.txt beside the newest versions that the index has.

`python .ci/behind.py [FOLDER]`, a folder with pyproject.toml and constraints.txt. It never fails: where there is no
index it says that it can't tell.
"""

import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterable
from importlib.metadata import distributions
from itertools import chain
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

_TIMEOUT: Final = 60  # seconds for the index


def asked(pyproject: str) -> dict[str, SpecifierSet]:
    """The bounds of each direct dependency, those of extras included."""
    project = tomllib.loads(pyproject)["project"]
    bounds: dict[str, SpecifierSet] = {}
    for line in chain(project["dependencies"], *project["optional-dependencies"].values()):
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        bounds[name] = bounds.get(name, SpecifierSet()) & requirement.specifier
    return bounds


def reasons(pyproject: str) -> dict[str, str]:
    """The comment behind each dependency that has one and a line of its own."""
    lines = re.findall(r'^ *"([\w.-]+)[^"]*", *# *(.+)$', pyproject, re.MULTILINE)
    return {canonicalize_name(name): comment for name, comment in lines}


def pinned(constraints: str) -> dict[str, Version]:
    """The version that constraints.txt names for this Python."""
    lines = (Requirement(line) for line in constraints.splitlines() if line and not line.startswith("#"))
    return {
        canonicalize_name(line.name): Version(next(iter(line.specifier)).version)
        for line in lines
        if line.marker is None or line.marker.evaluate()
    }


def newest(names: Iterable[str]) -> dict[str, Version]:
    """The newest version for this Python, whatever the others ask for.

    Raises:
        OSError: there is no uv beside this Python.
        subprocess.SubprocessError: uv failed, or was not ready in time.
    """
    uv = Path(sys.executable).with_name("uv")
    options = ("--quiet", "--no-deps", "--no-header", "--no-annotate")
    done = subprocess.run(
        [uv, "pip", "compile", *options, "--python", sys.executable, "-"],
        input="\n".join(names),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=True,
    )
    return pinned(done.stdout)


def holders(name: str, version: Version) -> list[str]:
    """The installed libraries that refuse this version, with what they ask for."""
    found = set()
    for library in distributions():
        for line in map(Requirement, library.requires or ()):
            applies = line.marker is None or line.marker.evaluate({"extra": ""})
            if applies and canonicalize_name(line.name) == name and version not in line.specifier:
                found.add(f"{canonicalize_name(library.name)} ({line.specifier})")
    return sorted(found)


def report(folder: Path) -> list[str]:
    """What is held back, a line each; what can be renewed; what is the newest. Raises as `newest`."""
    pyproject = (folder / "pyproject.toml").read_text()
    bounds, why, have = asked(pyproject), reasons(pyproject), pinned((folder / "constraints.txt").read_text())
    lines, behind, same = [], [], []
    for name, last in sorted(newest(bounds).items()):
        mine = have.get(name, "without a pin")
        if mine == last:
            same.append(f"{name} {mine}")
        elif last not in bounds[name]:
            reason = why.get(name, "without a reason")
            lines.append(f"{name} {mine}, newest {last}: held by pyproject.toml ({bounds[name]}): {reason}")
        elif others := holders(name, last):
            lines.append(f"{name} {mine}, newest {last}: held by {', '.join(others)}")
        else:
            behind.append(f"{name} {mine} -> {last}")
    for title, names in (("behind, `make constraints` renews them", behind), ("newest", same)):
        if names:
            lines += textwrap.wrap(f"{title}: {', '.join(names)}", 120, break_long_words=False, break_on_hyphens=False)
    return lines


def main() -> None:
    """Print the report, or why there is none."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]
    try:
        print("\n".join(report(folder)))
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", None) or error).strip().splitlines()
        print(f"can't tell which libraries are behind: {said[-1].strip(' ╰─▶')[:200]}")


if __name__ == "__main__":
    main()
