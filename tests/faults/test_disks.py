"""A disk that fills up in each stage: an error that names the cause, and with more room the same corpus.

The disk is a tmpfs of its own, which only root can mount.
"""

import os
from contextlib import contextmanager

import fault_builds
import pytest
from processes import finished

from webtext.pipeline.engine.stage import StageError


@contextmanager
def mounted(folder):
    """A tmpfs at this folder; gives a function that sets its size in bytes."""
    folder.mkdir()
    made = finished(["mount", "-t", "tmpfs", "-o", "size=64m", "webtext-test", folder])
    if made.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {made.stderr.decode().strip()}")

    def resize(size):
        assert not finished(["mount", "-o", f"remount,size={size}", folder]).returncode

    try:
        yield resize
    finally:
        assert not finished(["umount", "--lazy", folder]).returncode


def used(folder):
    space = os.statvfs(folder)
    return (space.f_blocks - space.f_bfree) * space.f_frsize


@pytest.mark.parametrize("kind", fault_builds.KINDS)
def test_a_full_disk_is_told_and_costs_no_byte(kind, tmp_path):
    fault_builds.write_inputs(tmp_path, kind)
    sizes = {}
    with mounted(tmp_path / "calm"):
        work = tmp_path / "calm" / "work"
        fault_builds.build_here(tmp_path, kind, work, lambda stage: sizes.update({stage.name: used(work)}))
        expected = fault_builds.digests(work)
    failed = set()
    with mounted(tmp_path / "small") as resize:
        work = tmp_path / "small" / "work"
        # Room for what is there after each stage, and 4 KiB less: so it ends in this one, or in one before.
        for name, size in sizes.items():
            resize(size - 4096)
            try:
                fault_builds.build_here(tmp_path, kind, work)
            except (StageError, OSError) as error:
                failed.add(name)
                told = str(error)
            else:
                told = "No space left on device"  # a stage of which nothing needed the room
            assert "No space left on device" in told
        resize(64 * 2**20)
        fault_builds.build_here(tmp_path, kind, work)
        assert fault_builds.digests(work) == expected
        assert not list(work.rglob(".*.tmp")), "files that were not finished are left"
    assert len(failed) > len(sizes) // 2
