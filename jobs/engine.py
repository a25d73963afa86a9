"""Where the stages of a job run: the processes of this machine, or an engine by Beam's own flags."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import tyro

from webtext.jobs.config import UsageError

if TYPE_CHECKING:  # loaded when the job runs
    from collections.abc import Callable

    from webtext.pipeline.engine.stage import Stage
    from webtext.schemas.manifest import StageManifest


@dataclass(frozen=True, kw_only=True)
class EngineFlags:
    """The flags of jobs that run stages."""

    workers: int = 0
    """Processes on this machine; 0 for one per usable core. Engines with many machines have flags of their own."""
    beam: Annotated[tuple[str, ...], tyro.conf.Fixed, tyro.conf.Suppress] = ()
    """Beam's own flags."""

    def __post_init__(self) -> None:
        """Refuse a number of processes that is none."""
        if self.workers < 0:
            raise ValueError(f"--workers is {self.workers}, expected 0 (one per core) or more")

    @contextmanager
    def engine(self) -> "Iterator[Callable[[Stage], StageManifest]]":
        """Gives what brings a stage to its manifest; what goes wrong with the stages is told in one sentence.

        Beam's flags are checked first, even where every stage is complete.

        Raises:
            UsageError: a flag of Beam's is unknown or refused.
            ValueError: a stage could not be completed; what is done stays done.
        """
        # Beam takes a second to import, which --help must not wait for.
        from webtext.pipeline.engine.beam_options import beam_options

        try:
            beam_options(self.beam)
        except ValueError as error:
            raise UsageError(str(error)) from error
        from webtext.pipeline.engine.beam_stage import run_stage
        from webtext.pipeline.engine.scratch import scratch
        from webtext.pipeline.engine.stage import StageError
        from webtext.pipeline.files import storage

        storage.configure(self.beam)  # files are looked for before the first pipeline
        workers = self.workers or len(os.sched_getaffinity(0))
        try:
            with scratch():
                yield partial(run_stage, flags=self.beam, workers=workers)
        except StageError as error:
            raise ValueError(str(error)) from error  # its message says what to do; the traceback says nothing more
