"""Where the Python of an engine runs: each type of environment, on a small stage."""

import os
import sys
from pathlib import Path

import engine_services as services
import pytest
import toy_stages
from engine_parts import BOOT, SPARK_ITSELF, SPARK_JOB_SERVER

from webtext.pipeline.engine.beam_stage import run_stage

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("engines_wanted")]

# Workers import the test's stages, and find the `python` that has webtext.
PATHS = {
    "PYTHONPATH": os.path.dirname(toy_stages.__file__),
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}


@pytest.fixture(scope="module")
def engine(engines_wanted, tmp_path_factory):
    services.need(SPARK_JOB_SERVER, SPARK_ITSELF)
    with services.spark(tmp_path_factory.mktemp("spark")) as found:
        yield found


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """`boot` writes the options of its pipeline into the current directory."""
    monkeypatch.chdir(tmp_path)


def check(tmp_path, flags):
    for make in (toy_stages.even_stage, toy_stages.shuffle_stage):
        stage = make(tmp_path / "engine" / make.__name__)
        run_stage(stage, flags, 2)
        run_stage(make(tmp_path / "local" / make.__name__), (), 2)
    assert toy_stages.contents(tmp_path / "engine") == toy_stages.contents(tmp_path / "local")


@pytest.mark.parametrize("ours", [True, False], ids=["webtext workers", "Beam's pool"])
def test_external(ours, tmp_path, engine):
    with services.worker_pool(tmp_path, PATHS, ours) as pool:
        check(tmp_path, (*engine.flags, *pool.flags))


def test_process(tmp_path, engine):
    services.need(BOOT)
    # Without the first, boot makes a virtual environment for each worker, which has no webtext.
    variables = {"RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT": "1", **PATHS}
    flags = (
        "--environment_type=PROCESS",
        f"--environment_option=process_command={BOOT.folder / 'container'}",
        f"--environment_option=process_variables={','.join(f'{k}={v}' for k, v in variables.items())}",
    )
    check(tmp_path, (*engine.flags, *flags))


def test_loopback_is_what_a_local_master_takes_by_itself(tmp_path, engine):
    check(tmp_path, engine.flags)
