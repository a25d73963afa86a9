"""`webtext reextract`: the pages of a build with other settings of extraction, without the network."""

import os
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

import tyro

from webtext.jobs.config import UsageError
from webtext.pipeline.settings import ExtractSettings


@dataclass(frozen=True)
class ReextractConfig:
    """Extract the pages of a build again with other settings, and tell what changes. Nothing in the build is written.

    Settings that are not given are those of the build. A re-extraction that was stopped continues with the same
    command. Beam's own flags follow after --.
    """

    build: tyro.conf.Positional[str]
    """Folder of a build, as given to `webtext build --work`; its stage `pages` must be finished."""
    output: str
    """Folder for the documents, changes.json and changes.html."""
    workers: int = 0
    """Processes on this machine; 0 for one per usable core."""
    extract: ExtractSettings = field(default_factory=ExtractSettings)
    """How a page becomes text, as in `webtext build`."""
    beam: Annotated[tuple[str, ...], tyro.conf.Fixed, tyro.conf.Suppress] = ()
    """Beam's own flags."""

    def __post_init__(self) -> None:
        """Refuse a number of processes that is none."""
        if self.workers < 0:
            raise ValueError(f"--workers is {self.workers}, expected 0 (one per core) or more")


def defaults_for(config: ReextractConfig) -> type[ReextractConfig]:
    """The config with the build's own settings as defaults."""
    from webtext.pipeline.reextraction import settings_of

    settings = settings_of(config.build)

    @dataclass(frozen=True)
    class OfBuild(ReextractConfig):
        extract: ExtractSettings = field(default_factory=lambda: settings)

    OfBuild.__doc__ = ReextractConfig.__doc__
    return OfBuild


def run(config: ReextractConfig) -> int:
    """Extract what is still missing, then compare."""
    from webtext.pipeline.engine.beam_options import beam_options

    try:
        beam_options(config.beam)
    except ValueError as error:
        raise UsageError(str(error)) from error

    from webtext.jobs import changes
    from webtext.pipeline.documents import stage as documents
    from webtext.pipeline.engine import workdir
    from webtext.pipeline.engine.beam_stage import run_stage
    from webtext.pipeline.engine.stage import StageError
    from webtext.pipeline.reextraction import reextract

    workers = config.workers or len(os.sched_getaffinity(0))
    try:
        reextract(config.build, config.output, config.extract, partial(run_stage, flags=config.beam, workers=workers))
    except StageError as error:
        raise ValueError(str(error)) from error  # its message says what to do; the traceback says nothing more
    if workdir.finished(config.build, documents.STAGE) is None:
        print(f"documents: {config.output}; the build has none of its own yet, so there is nothing to compare")
        return 0
    return changes.run(changes.ChangesConfig(config.build, config.output, config.output))
