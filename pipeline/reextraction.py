"""Stage `documents` once more: the pages that a build has found, with other settings, into a folder of its own."""

import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from webtext.pipeline.documents.stage import documents_stage
from webtext.pipeline.engine import workdir
from webtext.pipeline.engine.stage import Stage
from webtext.pipeline.files import storage
from webtext.pipeline.flow import PAGES, ROBOTS
from webtext.pipeline.inputs import versions
from webtext.pipeline.settings import ExtractSettings
from webtext.schemas.manifest import StageManifest

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
        run: brings the stage to its manifest, see beam_stage.run_stage.

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
        run(documents_stage(settings, build, pages, output, workdir.finished(build, ROBOTS)))


def _is_inside(build: str, output: str) -> bool:
    if storage.is_local(build) and storage.is_local(output):
        build, output = os.path.realpath(build), os.path.realpath(output)
    return storage.join(output, "").startswith(storage.join(build, ""))


def _read_pages(build: str) -> StageManifest:
    pages = workdir.finished(build, PAGES)
    if pages is None:
        raise ValueError(f"{build!r} is not the --work of a build whose stage {PAGES!r} is finished")
    return pages


def _claim(build: str) -> dict[str, Any]:
    claim = workdir.read_claim(build)
    if claim is None:
        raise ValueError(f"{build!r} is not the --work of a build: it has no {workdir.CLAIM}")
    return claim


def _check_archives(build: str) -> None:
    """The page index holds places in these files, which must be what they were. Far ones are not asked."""
    for line in _claim(build).get("input archives", []):
        then = storage.Found.of_line(str(line))
        path = then.path
        if not storage.is_local(path):
            continue
        if not os.path.isfile(path):
            raise ValueError(f"archive {path!r} of the build is missing; relative paths are those of its command")
        if os.path.getsize(path) != then.bytes:
            raise ValueError(f"archive {path!r} has {os.path.getsize(path)} bytes, but had {then.bytes} in the build")


def _claim_output(output: str, pages: StageManifest, settings: ExtractSettings) -> None:
    """Make the folder this re-extraction's, or find that it is."""
    mine = {
        **{f"{_PREFIX}{name}": value for name, value in asdict(settings).items()},
        **{f"library {name}": number for name, number in versions().items()},
        "input pages": pages.digest(),
    }
    workdir.claim(output, mine, "re-extraction or build", "--output")
