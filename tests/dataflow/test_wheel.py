"""Our code on its way to the workers: the wheel, what is in it, and that a job brings it along."""

import os
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
import toy_stages
from processes import finished

from webtext.pipeline.engine.beam_stage import run_stage

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("schemas", "pipeline", "model", "jobs")
USES_ITS_DATA = """
import pathlib, sys
import beam_runner, webtext
from webtext.jobs.build import BuildConfig
from webtext.jobs.config import parse
from webtext.pipeline import preload
from webtext.pipeline.account import changes_page
from webtext.pipeline.links.blocklists import DomainList
from webtext.schemas import vocabulary

for module in (beam_runner, webtext, preload, vocabulary):
    assert pathlib.Path(module.__file__).is_relative_to(sys.argv[1]), module.__file__
parse(BuildConfig, "build", ["--config", "webtext", "--work", "w", "--urls", "u"], "webtext")
DomainList.load("webtext")
vocabulary.load()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("needs uv, which `make install` brings")
    # A copy, because setuptools builds inside the source tree.
    source = tmp_path_factory.mktemp("source")
    for name in (*PACKAGES, "webtext"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "beam_runner.py"):
        shutil.copy(ROOT / name, source)
    command = [str(uv), "build", "--wheel", "--out-dir", str(source / "dist"), str(source)]
    done = finished(command, text=True)
    if "Failed to fetch" in done.stderr or "error sending request" in done.stderr:
        pytest.skip("the package index, which setuptools comes from, is out of reach")
    assert done.returncode == 0, done.stderr
    [built] = (source / "dist").glob("*.whl")
    return built


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        f"webtext/{path.relative_to(ROOT)}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert len([name for name in wanted if not name.endswith(".py")]) > 15
    assert wanted - inside == set()
    assert {"beam_runner.py", "webtext/__init__.py", "webtext/py.typed"} <= inside
    # Nothing else that a folder of packages would get: `model` or `jobs` would hide, or destroy, those of others.
    assert {name.split("/")[0] for name in inside if ".dist-info/" not in name} == {"beam_runner.py", "webtext"}


def test_code_and_data_are_found_where_the_wheel_is_installed(wheel, tmp_path):
    uv = Path(sys.executable).with_name("uv")
    install = [str(uv), "pip", "install", "--offline", "--no-deps", "--python", sys.executable]
    done = finished([*install, "--target", str(tmp_path / "site"), str(wheel)], text=True)
    assert done.returncode == 0, done.stderr
    landed = {path.name for path in (tmp_path / "site").iterdir() if not path.name.endswith(".dist-info")}
    assert landed - {"bin", ".lock", "__pycache__"} == {"beam_runner.py", "webtext"}
    # Not isolated from this environment, which has the dependencies; but ahead of the source tree.
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-c", USES_ITS_DATA, str(tmp_path / "site")]
    done = finished(command, cwd=tmp_path, env=environment, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("hurry")
def test_a_job_brings_the_wheel_along(service, wheel, tmp_path):
    run_stage(toy_stages.even_stage(tmp_path), (*service.flags, f"--extra_package={wheel}"), 2)
    assert (service.staging / wheel.name).read_bytes() == wheel.read_bytes()
    [pool] = service.requests("POST")[-1]["body"]["environment"]["workerPools"]
    packages = {package["name"]: package["location"] for package in pool["packages"]}
    assert packages[wheel.name] == str(service.staging / wheel.name)
    # The list by which a worker installs what came along.
    assert (service.staging / "extra_packages.txt").read_text().split() == [wheel.name]
