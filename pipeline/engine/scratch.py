"""One folder for all temporary files of a launcher and its processes, so that none outlives them for long.

Beam and multiprocessing make folders of their own in TMPDIR (beam-pipeline-temp..., pymp-...), and whoever is killed
leaves them. Here they lie in one folder, whose lock its launcher holds as long as it lives. The next launcher removes
folders that nobody holds.
"""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.util import Finalize
from typing import Final

_PREFIX: Final = "webtext-"
_NAME: Final = re.compile(rf"{_PREFIX}\d+-\w+")
# The fork server listens at FOLDER/pymp-xxxxxxxx/listener-xxxxxxxx, and a socket's path has 107 bytes at most.
_LONGEST: Final = 75
_LAST: Final = -1000  # behind what multiprocessing itself removes at exit

_mine: list[str] = []  # the folder of this process, once it has one
_held: list[int] = []  # its descriptor, which holds the lock


@contextmanager
def scratch() -> Iterator[None]:
    """Make TMPDIR a folder of this process, which goes when the process ends; remove those of dead launchers.

    Where TMPDIR is so long that the fork server's socket would have no room in such a folder, it stays as it is.
    """
    before, parent = os.environ.get("TMPDIR"), tempfile.tempdir
    if not _mine:
        _sweep(tempfile.gettempdir())
        _make(tempfile.gettempdir())
    if not _mine:
        yield
        return
    os.environ["TMPDIR"] = tempfile.tempdir = _mine[0]
    try:
        yield
    finally:
        tempfile.tempdir = parent
        del os.environ["TMPDIR"]
        if before is not None:
            os.environ["TMPDIR"] = before


def _make(parent: str) -> None:
    # Nobody sees the folder under its name before it is locked.
    made = tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=parent)
    folder = os.path.join(parent, f"{_PREFIX}{os.getpid()}-{made.rpartition('-')[2]}")
    if len(os.fsencode(folder)) > _LONGEST:
        os.rmdir(made)
        return
    _held.append(os.open(made, os.O_RDONLY | os.O_DIRECTORY))
    with suppress(OSError):  # a file system without locks, where no other launcher gets one either
        fcntl.flock(_held[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.rename(made, folder)
    _mine.append(folder)
    Finalize(None, shutil.rmtree, (folder, True), exitpriority=_LAST)


def _sweep(parent: str) -> None:
    """Remove what dead launchers of this user left."""
    for entry in os.scandir(parent):
        if _NAME.fullmatch(entry.name):
            with suppress(OSError):  # another one's, or gone
                held = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    if os.fstat(held).st_uid == os.geteuid():
                        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        shutil.rmtree(entry.path, ignore_errors=True)
                finally:
                    os.close(held)
