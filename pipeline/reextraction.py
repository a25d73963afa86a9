"""Stage `documents` once more: the pages that a build has found, with other settings, into a folder of its own."""

import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from pipeline import documents, storage
from pipeline.inputs import CLAIM, versions
from pipeline.settings import ExtractSettings
from pipeline.stage import MANIFEST, Stage, numbered
from schemas.manifest import ManifestError, StageManifest, canonical_json, read_object

_PREFIX = "extract."  # of the settings of extraction in a claim


def settings_of(build: str) -> ExtractSettings:
    """The settings that the build's own documents were extracted with.

    Raises:
        ValueError: the folder belongs to no build, or to one of another version.
    """
    claim = _claim(build)
    mine = {name.removeprefix(_PREFIX): value for name, value in claim.items() if name.startswith(_PREFIX)}
    try:
        return ExtractSettings(**mine)
    except TypeError as error:
        raise ValueError(f"{build!r} was built by another version: {error}") from error


def reextract(build: str, output: str, settings: ExtractSettings, run: Callable[[Stage], StageManifest]) -> None:
    """Extract the pages of a build again into the folder `output`. Nothing in the build's folder is written.

    Args:
        build: work directory with a finished stage `pages`, and `build.json`.
        output: another folder; one that was begun with the same arguments is continued.
        settings: of the extraction.
        run: brings the stage to its manifest, see parts.run_stage.

    Raises:
        ValueError: the pages are not all there, or `output` is not this re-extraction's.
        StageError: the stage could not be completed; what is done stays done.
    """
    if _is_inside(build, output):
        raise ValueError(f"the output {output!r} is in the folder of the build, which must stay as it is")
    pages = _read_pages(build)
    _check_archives(build)
    with storage.lock(output):
        _claim_output(output, pages, settings)
        run(stage(build, output, pages, settings))


def stage(build: str, output: str, pages: StageManifest, settings: ExtractSettings) -> Stage:
    """As in the recipe (pipeline.corpus), but for the folder."""
    return Stage(
        name=documents.STAGE,
        folder=storage.join(output, documents.STAGE),
        settings=asdict(settings),
        inputs=[pages.digest()],
        parts=numbered([storage.join(build, "pages", file.name)] for file in pages.named(".pages.parquet")),
        run=partial(documents.run, settings),
        unit="pages",
        expects={"taken": pages.tally.rows},
    )


def _is_inside(build: str, output: str) -> bool:
    if storage.is_local(build) and storage.is_local(output):
        build, output = os.path.realpath(build), os.path.realpath(output)
    return storage.join(output, "").startswith(storage.join(build, ""))


def _read_pages(build: str) -> StageManifest:
    path = storage.join(build, "pages", MANIFEST)
    if not storage.exists(path):
        raise ValueError(f"{path} is missing: {build!r} is not the --work of a build whose stage 'pages' is finished")
    try:
        return StageManifest.from_json(storage.read_bytes(path))
    except ManifestError as error:
        raise ValueError(f"{path}: {error}") from error


def _claim(folder: str) -> dict[str, Any]:
    path = storage.join(folder, CLAIM)
    if not storage.exists(path):
        raise ValueError(f"{path} is missing: {folder!r} is not the --work of a build")
    try:
        return read_object(storage.read_bytes(path))
    except ManifestError as error:
        raise ValueError(f"{path}: {error}") from error


def _check_archives(build: str) -> None:
    """The page index holds places in these files, which must be what they were. Far ones are not asked."""
    for identity in _claim(build).get("input archives", []):
        path, size, _ = str(identity).rsplit(" ", 2)
        if not storage.is_local(path):
            continue
        if not os.path.isfile(path):
            raise ValueError(f"archive {path!r} of the build is missing; relative paths are those of its command")
        if os.path.getsize(path) != int(size):
            raise ValueError(f"archive {path!r} has {os.path.getsize(path)} bytes, but had {size} in the build")


def _claim_output(output: str, pages: StageManifest, settings: ExtractSettings) -> None:
    """Make the folder this re-extraction's, or find that it is."""
    mine = {
        **{f"{_PREFIX}{name}": value for name, value in asdict(settings).items()},
        **{f"library {name}": number for name, number in versions().items()},
        "input pages": pages.digest(),
    }
    path = storage.join(output, CLAIM)
    if not storage.exists(path):
        storage.publish_bytes(path, canonical_json(mine))
        return
    theirs = _claim(output)
    different = [name for name in sorted(mine.keys() | theirs.keys()) if mine.get(name) != theirs.get(name)]
    if different:
        name = different[0]
        more = f" and {len(different) - 1} more" if len(different) > 1 else ""
        raise ValueError(
            f"{output!r} belongs to another re-extraction or build: {name} was {theirs.get(name)!r}, is "
            f"{mine.get(name)!r}{more}. Give another --output, or delete this one"
        )
