"""Fixtures of the engine tests, and the table of what each engine took."""

import engine_services as services
import pytest
import webs
from engine_builds import Built, Cost, Web, build, local, outcome
from engine_parts import SPARK_ITSELF, SPARK_JOB_SERVER

_COSTS = pytest.StashKey[list[Cost]]()


def pytest_addoption(parser):
    parser.addoption("--engines", action="store_true", help="run the tests that start real engines, for minutes")
    parser.addoption("--web-share", type=int, default=5, help="engines build one page in so many of the mini web")


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
    """A share of the shipped mini web, and what the local engine makes of it."""
    folder = tmp_path_factory.mktemp("reference")
    web = Web(str(folder / "posts" / "*"), str(folder / "archives" / "*"))
    webs.write_posts(folder / "posts" / "all.ndjson.zst", webs.posts_of())
    webs.write_archives(folder / "archives", webs.records_of(request.config.getoption("--web-share")), 3)
    costs.append(build(folder / "FnApiRunner.log", web, str(folder / "work"), ("--runner=FnApiRunner",)))
    return web, outcome(local(folder / "work"))


@pytest.fixture(scope="session")
def cluster(engines_wanted, tmp_path_factory):
    """A standalone Spark cluster with two workers, and its job server."""
    if reason := services.missing(SPARK_JOB_SERVER, SPARK_ITSELF):
        pytest.skip(reason)
    with services.spark_cluster(tmp_path_factory.mktemp("cluster")) as engine:
        yield engine


def pytest_terminal_summary(terminalreporter, config):
    if rows := config.stash[_COSTS]:
        terminalreporter.section("builds of the mini web")
        terminalreporter.line("| engine | wall, s | peak memory, MiB | load |")
        terminalreporter.line("|---|---|---|---|")
        for cost in rows:
            terminalreporter.line(f"| {cost.name} | {cost.wall:.0f} | {cost.memory:.0f} | {cost.load:.1f} |")
