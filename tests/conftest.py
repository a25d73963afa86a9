from pathlib import Path

import pytest
from hypothesis import settings

# A time limit per example fails on a busy machine, and tells nothing on a quiet one.
settings.register_profile("webtext", deadline=None)
settings.load_profile("webtext")

FLOOR = Path(__file__).with_name("floor.txt")  # how many tests pass at least, where all are run


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden", action="store_true", help="write what is measured into golden files; review their diff"
    )
    parser.addoption("--slow", action="store_true", help="also run the tests that wait for half a minute and more")
    parser.addoption("--notebook", action="store_true", help="run the notebook in a kernel of its own, for minutes")
    parser.addoption("--faults", action="store_true", help="kill processes of builds, and starve them, for minutes")
    parser.addoption("--flips", type=int, default=3, help="bits to flip in the files of each kind of build")
    parser.addoption("--kills", type=int, default=3, help="with --faults, processes of each role to kill in each kind")
    parser.addoption("--fault-seed", type=int, default=0, help="what is flipped and killed, and when")
    parser.addoption(
        "--floor", action="store_true", help=f"fail if fewer tests passed than the number in tests/{FLOOR.name}"
    )


def pytest_make_parametrize_id(val, argname):
    """Bytes are no name: compressed ones hold the clock, and two processes would collect different tests."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(config, items):
    if not config.option.slow:
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes long: `make test-slow`"))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus or reporter is None or not session.config.option.floor:
        return  # already a failure, or a worker of pytest-xdist, which saw only its share
    passed, floor = len(reporter.stats.get("passed", ())), int(FLOOR.read_text())
    if passed < floor:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line(f"{passed} tests passed, tests/{FLOOR.name} asks for {floor}: were some not run?", red=True)
