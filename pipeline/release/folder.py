"""What lies in a corpus folder, looked at as hostile: links in circles, deep trees, pipes, files that are mostly holes.

Files that the manifest lists are asked for by name. The rest is only searched for strays, within bounds.
"""

import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from webtext.pipeline.files import storage

_DEEPEST: Final = 8  # folders in one another; a corpus has one
_ENTRIES: Final = 20_000  # of the search for strays
_HOLES: Final = 64  # times as long as what the disk holds: more than packed file systems make of a shard
_SMALL: Final = 2**30  # bytes: as quickly read as looked into


@dataclass(slots=True)
class Files:
    """The listed files that are there, by name."""

    bytes: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  # those that are not to be read, and why


def listed_files(corpus: str, listed: Iterable[str]) -> Files:
    """What is there of these files."""
    found = Files()
    if not storage.is_local(corpus):
        there = _far(corpus)
        found.bytes = {name: there[name] for name in listed if name in there}
        return found
    for name in listed:
        try:
            entry = os.stat(storage.join(corpus, name))
        except (OSError, ValueError):  # ValueError: a name that no file can have
            continue
        held = 512 * entry.st_blocks
        if not stat.S_ISREG(entry.st_mode):
            found.refused[name] = "is no file"
        elif entry.st_size > _SMALL and entry.st_size > _HOLES * held:
            found.refused[name] = f"is not read: it has {entry.st_size} bytes, of which the disk holds {held}"
        else:
            found.bytes[name] = entry.st_size
    return found


def strays(corpus: str, listed: Set[str]) -> Iterator[str]:
    """A line for what lies there and is not listed, in order of the names.

    Hidden files do not count: file managers and killed writers leave them.
    """
    if not storage.is_local(corpus):
        yield from (f"{name}: not listed in the manifest" for name in sorted(_far(corpus).keys() - listed))
        return
    folders = {"/".join(parts[:n]) for name in listed for parts in [name.split("/")] for n in range(1, len(parts))}
    yield from sorted(_strays(corpus, listed, folders))


def _strays(corpus: str, listed: Set[str], folders: Set[str]) -> Iterator[str]:
    seen = {_identity(corpus)}
    todo = deque([""])
    entries = 0
    while todo:
        folder = todo.popleft()
        try:
            with os.scandir(storage.join(corpus, folder) if folder else corpus) as scan:
                found = list(islice(scan, _ENTRIES))
        except OSError as error:
            yield f"{folder}: can't be looked into: {error.strerror}"
            continue
        for entry in found:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith(".") or name in listed:
                continue
            # A link to a folder is followed where listed files are behind it, as on another disk, and once.
            if entry.is_dir(follow_symlinks=name in folders):
                if name.count("/") >= _DEEPEST:
                    yield f"{name}: not looked into: it is deeper than {_DEEPEST} folders"
                elif (identity := _identity(entry.path)) not in seen:
                    seen.add(identity)
                    todo.append(name)
            else:
                yield f"{name}: not listed in the manifest"
        entries += len(found)
        if entries >= _ENTRIES:
            yield f"{folder or '.'}: the search for strays ends here, after {_ENTRIES:,} files and folders"
            return


def _identity(folder: str) -> tuple[int, int]:
    entry = os.stat(folder)
    return entry.st_dev, entry.st_ino


def _far(corpus: str) -> dict[str, int]:
    """Sizes of all files in a folder of an object store, by their names in it."""
    prefix = storage.join(corpus, "")
    return {entry.path.removeprefix(prefix): entry.bytes for entry in storage.expand([prefix + "**"])}
