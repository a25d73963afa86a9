"""A clock that jumps by years between two looks at it, in every process of a build."""

import os
from pathlib import Path

import fault_builds
import pytest
from processes import finished

pytestmark = pytest.mark.usefixtures("faults_wanted")
JUMPING = Path(fault_builds.__file__).parent / "jumping_clock"


@pytest.mark.parametrize("kind", fault_builds.KINDS)
def test_no_byte_depends_on_the_clock(kind, tmp_path):
    fault_builds.write_inputs(tmp_path, kind)
    fault_builds.build_here(tmp_path, kind, tmp_path / "calm")
    command = fault_builds.command(tmp_path, kind, tmp_path / "work")
    done = finished(command, text=True, env=os.environ | {"PYTHONPATH": str(JUMPING)})
    assert done.returncode == 0, done.stderr[-3000:]
    assert fault_builds.digests(tmp_path / "work") == fault_builds.digests(tmp_path / "calm")
