import shutil
import sys
from pathlib import Path

import pytest
from processes import finished

EXAMPLES = Path(__file__).parents[2] / "examples" / "miniweb"


@pytest.fixture(scope="session")
def miniweb_build(tmp_path_factory):
    """Work directory of the shipped mini web, built once with the preset demo. Not to be changed by a test."""
    work = tmp_path_factory.mktemp("miniweb")
    flags = [
        "--config=demo",
        "--submissions",
        str(EXAMPLES / "submissions.ndjson.zst"),
        "--warcs",
        str(EXAMPLES / "*.warc.gz"),
        f"--work={work}",
        "--workers=2",
    ]
    # In a process of its own: a build starts a fork server, which a test process should not have.
    done = finished([sys.executable, "-m", "webtext.jobs.cli", "build", *flags], text=True)
    assert done.returncode == 0, done.stderr
    return work


@pytest.fixture
def corpus(miniweb_build, tmp_path):
    """A copy of its corpus, to damage."""
    return shutil.copytree(miniweb_build / "corpus", tmp_path / "corpus")
