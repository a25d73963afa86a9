"""The tests of what changed: prints the folders and files of tests for `make check`, those of rooms that differ.

A change in ROOM/file.py asks for tests/ROOM; in tests/support, or in what all rooms build on, for tests/pipeline's own.
What differs is told against the branch that the work began on (BASE, else main), uncommitted files included.
"""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("schemas", "pipeline", "model", "jobs")
_ALWAYS = "tests/test_docs.py"


def tests_of(changed: Iterable[str], exists: frozenset[str]) -> list[str]:
    """Folders and files of tests for the files that changed.

    Args:
        changed: paths from the root.
        exists: all folders and test files of tests/, as paths from the root.
    """
    wanted = {_ALWAYS}
    for path in changed:
        top, *_ = parts = path.split("/")
        if top in _PACKAGES:
            room = "/".join(["tests", *parts[:-1]])
            while room not in exists:
                room = room.rpartition("/")[0]
            # A file at the root of pipeline/ concerns the tests at the root there, not every room.
            if room == "tests/pipeline":
                wanted |= {test for test in exists if test.startswith("tests/pipeline/test_")}
            else:
                wanted.add(room)
        elif top == "tests" and path in exists:
            wanted.add(path)
        elif top in ("benchmarks", "examples") and f"tests/{top}" in exists:
            wanted.add(f"tests/{top}")
    return sorted(test for test in wanted if not any(test.startswith(f"{other}/") for other in wanted))


def main() -> int:
    """Print them on one line."""
    base = os.environ.get("BASE", "main")
    commands = (["git", "diff", "--name-only", base], ["git", "ls-files", "--others", "--exclude-standard"])
    changed: list[str] = []
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            print(f"{' '.join(command)}: {done.stderr.strip()}; set BASE to a commit that is here", file=sys.stderr)
            return 1
        changed += done.stdout.split("\n")
    tests = ROOT / "tests"
    exists = [path for path in tests.rglob("*") if path.is_dir() or path.name.startswith("test_")]
    print(*tests_of(filter(None, changed), frozenset(str(path.relative_to(ROOT)) for path in exists)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
