"""Doing again what a damaged file belongs to, and nothing else.

Whoever reads a file of a stage and finds it damaged withdraws the receipt of its part (see files/stage_files.py), and
the stage at work fails. Running the recipe once more skips all that is whole and makes that part again.
"""

import logging
from collections.abc import Callable
from typing import Final, TypeVar

from webtext.pipeline.engine.stage import Stage, StageError
from webtext.pipeline.files import storage
from webtext.pipeline.files.stage_files import StageFileError
from webtext.schemas.manifest import STAGE_MANIFEST, StageManifest

_LOG: Final = logging.getLogger(__name__)
_ROUNDS: Final = 5  # a disk that damages more than this is for its owner to replace

_T = TypeVar("_T")
RunStage = Callable[[Stage], StageManifest]


def mending(recipe: Callable[[RunStage], _T], run: RunStage) -> _T:
    """The result of a recipe, which is run again when a stage fails on a damaged file of a stage before it.

    Args:
        recipe: brings stages to their manifests, one after the other; may be run several times.
        run: brings one stage to its manifest, see beam_stage.run_stage.

    Raises:
        StageError, StageFileError: a stage failed for another reason, or there is damage time and again.
    """
    for left in reversed(range(_ROUNDS)):
        done: list[Stage] = []
        try:
            return recipe(_noting(run, done))
        except (StageError, StageFileError) as error:  # of a part, or of the launcher itself
            withdrawn = [s.name for s in done if not storage.exists(storage.join(s.folder, STAGE_MANIFEST))]
            if not withdrawn or not left:
                raise
            _LOG.warning("%s\nDone again, where it is damaged: stage %s", error, " and ".join(withdrawn))
    raise AssertionError("unreachable")


def _noting(run: RunStage, done: list[Stage]) -> RunStage:
    def bring(stage: Stage) -> StageManifest:
        manifest = run(stage)
        done.append(stage)
        return manifest

    return bring
