"""A work directory as it lies there: whose it is, and which stages are finished in it."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from webtext.pipeline.files import storage
from webtext.schemas.manifest import (
    MAX_BYTES,
    STAGE_MANIFEST,
    ManifestError,
    StageManifest,
    digest_of,
    seal,
    unseal,
)

CLAIM: Final = "build.json"  # which build, or re-extraction, the folder belongs to
_FLIPPED: Final = 8  # bytes of a claim that damage changes at most
_TOLD: Final = 5  # differences that an error names

_T = TypeVar("_T")


def finished(work: str, stage: str) -> StageManifest | None:
    """The manifest of this stage; None where it is not finished. Raises ManifestError for a damaged one."""
    return _read(storage.join(work, stage, STAGE_MANIFEST), StageManifest.from_json, ". Run the build again")


def read_claim(work: str) -> dict[str, Any] | None:
    """What the folder belongs to; None where nothing has ever begun there. Raises ManifestError for a damaged claim."""
    return _read(storage.join(work, CLAIM), unseal)


def _read(path: str, parse: Callable[[bytes], _T], advice: str = "") -> _T | None:
    if not storage.exists(path):
        return None
    try:
        return parse(storage.read_bytes(path, MAX_BYTES + 1))
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}{advice}") from error


def claim(
    work: str,
    mine: dict[str, Any],
    kind: str,
    flag: str,
    *,
    may_change: Callable[[str, object, object], bool] = lambda *_: False,
    void: Sequence[str] = (),
) -> None:
    """Make the folder belong to `mine`, or find that it does.

    Args:
        work: the folder.
        mine: all that decides what will be in it, ready for JSON.
        kind: what it may belong to, for people.
        flag: what gives the folder on the command line.
        may_change: (name of an entry, what the folder has there, what `mine` has) -> whether that is no other one.
        void: files that tell of a finished work, which goes when its claim changes.

    Raises:
        ValueError: it belongs to another one, or its claim is damaged.
    """
    advice = f"Give another {flag}, or delete this one"
    try:
        theirs = read_claim(work)
    except ManifestError as error:
        if not _was(storage.read_bytes(storage.join(work, CLAIM)), mine):
            raise ValueError(f"{error}. {advice}") from error
        theirs = None
    if theirs is None:
        _publish(work, mine)
        return
    different = [name for name in sorted(mine.keys() | theirs.keys()) if mine.get(name) != theirs.get(name)]
    if different and all(may_change(name, theirs.get(name), mine.get(name)) for name in different):
        storage.delete(void)
        _publish(work, mine)
    elif different:
        changes = "; ".join(_change(name, theirs.get(name), mine.get(name)) for name in different[:_TOLD])
        more = f"; and {len(different) - _TOLD} more" if len(different) > _TOLD else ""
        raise ValueError(f"{work!r} belongs to another {kind}: {changes}{more}. {advice}")


def _was(damaged: bytes, mine: dict[str, Any]) -> bool:
    """Whether these bytes are `mine` but for some damage. Those of another claim have another digest at the least."""
    whole = seal(mine)
    few = len(whole) == len(damaged) and sum(a != b for a, b in zip(whole, damaged, strict=True)) <= _FLIPPED
    return few or digest_of(mine).encode() in damaged


def _publish(work: str, mine: dict[str, Any]) -> None:
    storage.publish_bytes(storage.join(work, CLAIM), seal(mine))


def _change(name: str, theirs: object, mine: object) -> str:
    if not isinstance(theirs, list) or not isinstance(mine, list):
        return f"{name} was {theirs!r}, is {mine!r}"
    gone, new = sorted(set(theirs) - set(mine)), sorted(set(mine) - set(theirs))
    return f"{name}: {len(gone)} gone or changed, {len(new)} new (such as {(new or gone)[0]!r})"
