import importlib
import sys

from processes import finished

# As a worker of an engine that unpickles a part of stage `documents`: it imports no recipe.
WORKER = """
import sys
from webtext.pipeline.documents import stage
from webtext.pipeline.engine import pool
assert "webtext.pipeline.corpus" not in sys.modules
print(pool.preload)
"""


def test_whoever_extracts_pages_has_the_fork_server_load_the_models():
    done = finished([sys.executable, "-c", WORKER], text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert importlib.import_module(done.stdout.strip()).__name__ == "webtext.pipeline.preload"
