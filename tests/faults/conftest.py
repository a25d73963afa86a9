import shutil
import tempfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def faults_wanted(request):
    """Skips unless the long form is asked for."""
    if not request.config.option.faults:
        pytest.skip("kills processes for minutes: `make test-faults`")


@pytest.fixture
def scratch():
    """A TMPDIR with a name that is short enough for the sockets of a launcher's folder in it."""
    folder = Path(tempfile.mkdtemp(prefix="wt-"))
    yield folder
    shutil.rmtree(folder)
