"""Fixtures of the engine tests, and the table of what each engine took."""

import time
from pathlib import Path

import engine_services as services
import pytest
import toy_webs
from engine_builds import Built, Cost, Web, build, local, outcome
from engine_parts import SPARK_ITSELF, SPARK_JOB_SERVER

_COSTS = pytest.StashKey[list[Cost]]()
_STARTED = time.monotonic()


def pytest_addoption(parser):
    parser.addoption("--engines", action="store_true", help="run the tests that start real engines, for minutes")
    parser.addoption("--engines-minutes", type=float, default=60, help="no test of an engine begins after so many")
    parser.addoption("--web", type=Path, default=toy_webs.MINIWEB, help="folder of the mini web that engines build")
    parser.addoption(
        "--web-share", type=int, default=5, help="engines build one page in so many of it; 1 for its files"
    )


@pytest.fixture(autouse=True)
def time_left(request):
    """Skips a test of an engine, with the reason, where CI has no time left for it."""
    minutes = request.config.getoption("--engines-minutes", default=60)
    if request.config.getoption("--engines", default=False) and time.monotonic() - _STARTED > 60 * minutes:
        pytest.skip(f"the {minutes:g} minutes of --engines-minutes are over")


def pytest_configure(config):
    config.stash[_COSTS] = []


@pytest.fixture(scope="session")
def costs(request):
    """What builds took, for the table at the end."""
    return request.config.stash[_COSTS]


@pytest.fixture(scope="session")
def engines_wanted(request):
    """Skips unless engines are to be started: they take minutes, so a plain `pytest` does not."""
    if not request.config.getoption("--engines", default=False):
        pytest.skip("starts real engines: `make test-engines`")


@pytest.fixture(scope="session")
def reference(request, engines_wanted, tmp_path_factory, costs) -> tuple[Web, Built]:
    """A share of a mini web, and what the local engine makes of it."""
    folder = tmp_path_factory.mktemp("reference")
    source, share = request.config.getoption("--web").resolve(), request.config.getoption("--web-share")
    web = Web(str(source / "submissions.ndjson.zst"), str(source / "*.warc.gz"))
    if share > 1:
        web = Web(web.submissions, str(folder / "archives" / "*"))
        toy_webs.write_archives(folder / "archives", toy_webs.records_of(share, source), 3)
    costs.append(build(folder / "FnApiRunner.log", web, str(folder / "work"), ("--runner=FnApiRunner",)))
    return web, outcome(local(folder / "work"))


@pytest.fixture(scope="session")
def cluster(engines_wanted, tmp_path_factory):
    """A standalone Spark cluster with two workers, and its job server."""
    services.need(SPARK_JOB_SERVER, SPARK_ITSELF)
    with services.spark_cluster(tmp_path_factory.mktemp("cluster")) as engine:
        yield engine


def pytest_terminal_summary(terminalreporter, config):
    if rows := config.stash[_COSTS]:
        terminalreporter.section("builds of the mini web")
        terminalreporter.line("| engine | wall, s | peak memory, MiB | load |")
        terminalreporter.line("|---|---|---|---|")
        for cost in rows:
            terminalreporter.line(f"| {cost.name} | {cost.wall:.0f} | {cost.memory:.0f} | {cost.load:.1f} |")
