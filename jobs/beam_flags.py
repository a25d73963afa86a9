"""Our flags and Beam's on one command line, in any order."""

from collections.abc import Collection, Sequence

from webtext.jobs.config import UsageError, did_you_mean


def separate(args: Sequence[str], ours: Collection[str], beams: Collection[str]) -> tuple[list[str], list[str]]:
    """Split `args` by who knows the flag; a value goes with the flag before it, and all that follows `--` is Beam's.

    Whether a flag may take that value is for its owner's parser to say. A flag that both know is ours.

    Raises:
        UsageError: a flag that neither knows.
    """
    own: list[str] = []
    beam: list[str] = []
    owner = own
    for position, arg in enumerate(args):
        if arg == "--":
            return own, [*beam, *args[position + 1 :]]
        name = arg.partition("=")[0]
        if name.replace("_", "-") in ours:  # tyro takes either spelling, Beam only its own
            owner = own
        elif name in beams:
            owner = beam
        elif name.startswith("--"):
            raise UsageError(f"unknown flag {name}{did_you_mean(name, {*ours, *beams})}")
        owner.append(arg)
    return own, beam
