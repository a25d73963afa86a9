"""`webtext reextract`: the pages of a build with other settings of extraction, without the network."""

from dataclasses import dataclass, field

import tyro

from webtext.jobs.engine import EngineFlags
from webtext.jobs.terminal import say
from webtext.pipeline.settings import ExtractSettings


@dataclass(frozen=True)
class ReextractConfig(EngineFlags):
    """Extract the pages of a build again with other settings, and tell what changes. Nothing in the build is written.

    Settings that are not given are those of the build. A re-extraction that was stopped continues with the same
    command. Beam's own flags follow after --.
    """

    build: tyro.conf.Positional[str]
    """Folder of a build, as given to `webtext build --work`; its stage `pages` must be finished."""
    output: str
    """Folder for the documents, changes.json and changes.html."""
    extract: ExtractSettings = field(default_factory=ExtractSettings)
    """How a page becomes text, as in `webtext build`."""


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
    with config.engine() as run_stage:
        from webtext.pipeline.reextraction import reextract

        reextract(config.build, config.output, config.extract, run_stage)

    from webtext.jobs import changes
    from webtext.pipeline.engine import workdir
    from webtext.pipeline.flow import DOCUMENTS

    if workdir.finished(config.build, DOCUMENTS) is None:
        say(f"documents: {config.output}; the build has none of its own yet, so there is nothing to compare")
        return 0
    return changes.run(changes.ChangesConfig(config.build, config.output, config.output))
