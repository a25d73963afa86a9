"""What holds for every file of the tests."""

import ast
from pathlib import Path

TESTS = Path(__file__).resolve().parent
STARTER = TESTS / "support" / "processes.py"
WAITING = {"run", "call", "check_call", "check_output"}


def endless(path):
    """Where a file may wait for a process without an end: Popen, or a call that waits and has no timeout."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "subprocess":
            names = {alias.name for alias in node.names} & {"Popen", *WAITING}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("subprocess."):
            name = ast.unparse(node.func).removeprefix("subprocess.")
            limited = any(keyword.arg == "timeout" for keyword in node.keywords)
            names = {name} & {"Popen"} or ({name} & WAITING if not limited else set())
        else:
            continue
        for name in sorted(names):
            yield f"{path.relative_to(TESTS)}:{node.lineno} {name}"


def test_no_test_waits_for_a_process_without_an_end():
    """Processes are started by tests/support/processes.py: it kills them at their limit and at the end of the block."""
    found = [place for path in sorted(TESTS.rglob("*.py")) if path != STARTER for place in endless(path)]
    assert found == []
    assert list(endless(STARTER))  # else the search is blind
