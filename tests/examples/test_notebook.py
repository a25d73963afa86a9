"""examples/notebook.ipynb runs from its first cell to its last, and what is stored of it is what it shows.

After a change that is meant to alter it: `pytest tests/examples/test_notebook.py --update-golden`, which runs it with
its own number of steps and stores the outputs; then look at the pictures.
"""

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest
from processes import LIMIT

pytest.importorskip("ipykernel", reason="no ipykernel: install the extra `notebook`")
nbclient = pytest.importorskip("nbclient", reason="no nbclient: install the extra `notebook`")
nbformat = pytest.importorskip("nbformat", reason="no nbformat: install the extra `notebook`")

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "notebook.ipynb"
REFRESH = "pytest tests/examples/test_notebook.py --update-golden"
TRAINING = "run-train"  # from this cell on, outputs depend on the number of steps and on the machine
LARGEST = 400_000  # bytes


def cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def pictures(notebook):
    return [output for cell in cells(notebook) for output in cell.outputs if "image/png" in output.get("data", {})]


def run(notebook, folder, limit):
    """Execute it with a kernel of this Python, started in `folder`, which is killed at the end or after `limit` s."""
    client = nbclient.NotebookClient(
        notebook, timeout=limit - 20, kernel_name="python3", resources={"metadata": {"path": str(folder)}},
        record_timing=False, coalesce_streams=True, shutdown_kernel="immediate",
    )  # fmt: skip
    asyncio.run(asyncio.wait_for(client.async_execute(), limit))


@pytest.fixture
def copy(request, tmp_path, monkeypatch):
    """The notebook and the mini web in a source tree of their own; the kernel writes nothing into the home folder."""
    if not (request.config.option.notebook or request.config.option.update_golden):
        pytest.skip("builds the mini web and trains, in a kernel: `make test-notebook`")
    shutil.copytree(ROOT / "examples" / "miniweb", tmp_path / "examples" / "miniweb")
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # else waiting threads take the core from other tests
    for name in ("COLUMNS", "WEBTEXT_NOTEBOOK_STEPS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "examples"


def assert_it_was_run(notebook):
    counts = [cell.execution_count for cell in cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), f"run `{REFRESH}`"
    # An error in drawing is an output that stops nothing.
    assert [output for cell in cells(notebook) for output in cell.outputs if output.output_type == "error"] == []
    assert len(pictures(notebook)) >= 3


@pytest.mark.timeout(1000)  # for --update-golden
def test_it_runs_and_shows_what_is_stored(copy, monkeypatch, request):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    stored = {cell.id: printed(cell) for cell in cells(notebook)}
    update = request.config.getoption("--update-golden")
    if not update:
        monkeypatch.setenv("WEBTEXT_NOTEBOOK_STEPS", "3")
    run(notebook, copy, 900 if update else LIMIT)
    assert_it_was_run(notebook)
    if update:
        del notebook.metadata["language_info"]  # which names the version of Python
        nbformat.write(notebook, NOTEBOOK)
        return
    same_for_all = cells(notebook)[: list(stored).index(TRAINING)]
    assert len(same_for_all) > 5
    for cell in same_for_all:
        assert printed(cell) == stored[cell.id], f"cell {cell.id} shows something else than is stored: run `{REFRESH}`"
    assert (copy.parent / "demo" / "notebook" / "run-3" / "log.jsonl").read_text().count("\n") == 3


def test_what_is_stored_was_run_from_top_to_bottom():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert_it_was_run(notebook)


def test_what_is_stored_is_small_and_of_no_machine():
    assert NOTEBOOK.stat().st_size < LARGEST
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for picture in pictures(notebook):
        del picture.data["image/png"]
    shown = json.dumps([notebook.metadata, [cell.metadata | {"outputs": cell.outputs} for cell in cells(notebook)]])
    assert "sha256 of content" in shown
    assert re.findall(r"/(?:home|root|tmp|work|mnt|private|var|Users)/[^\s\"]*", shown) == []
    assert r"\u001b" not in shown  # progress and colours of a terminal
