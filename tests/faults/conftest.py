import shutil
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def scratch():
    """A TMPDIR with a name that is short enough for the sockets of a launcher's folder in it."""
    folder = Path(tempfile.mkdtemp(prefix="wt-"))
    yield folder
    shutil.rmtree(folder)
