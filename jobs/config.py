"""From a command line and a preset to the config of a job.

A preset is a TOML file whose entries become flags, put before the user's own: a later flag wins, and tyro is the one
validator of both. `[links] score = 3` is `--links.score=3`; a list gives several values; true and false pick the two
forms of a switch.
"""

import dataclasses
import difflib
import inspect
import io
import tomllib
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar

import tyro

from webtext.jobs.terminal import complain
from webtext.schemas.visible import visible

C = TypeVar("C")

CONFIG_FLAG: Final = "--config"
HELP_FLAGS: Final = ("-h", "--help")
ALIASES: Final = {"--filters": "--extract.filters", "--opt-outs": "--extract.opt-outs"}  # for jobs that have the second


class UsageError(ValueError):
    """The command line or a preset can't be understood. The message is for the user, and exit status 2 follows."""


def parse(config_class: type[C], job: str, args: Sequence[str], prog: str) -> C:
    """The config that `args` describe.

    Args:
        config_class: a dataclass whose field docstrings are the help.
        job: name of the sub-command; a preset that names another job is refused.
        args: flags of the job and `--config NAME|FILE`, then, for a config with a field `beam`, `--` and Beam's flags.
        prog: what the user typed to get here, for messages.

    Raises:
        UsageError: the preset is unknown, malformed or has a key that is no flag of this job.
        SystemExit: tyro refused a flag (status 2, message printed), or help was asked for (status 0).
    """
    own, dashes, beam = _split_at_dashes(args)
    takes_beam = any(field.name == "beam" for field in dataclasses.fields(config_class))  # type: ignore[arg-type]
    if dashes and not takes_beam:
        raise UsageError(f"{prog} takes nothing after --")
    name, own = _take_config(own)
    own = _without_aliases(own, flags_of(config_class))
    preset = [] if name is None else preset_flags(name, job, config_class)
    try:
        config = _read_flags(config_class, prog, _description(config_class, job), [*preset, *own])
    except SystemExit as stop:
        if stop.code:
            _add_hints(own, spellings(config_class), name, preset)
        raise
    return dataclasses.replace(config, beam=tuple(beam)) if dashes else config  # type: ignore[type-var]


def _read_flags(config_class: type[C], prog: str, description: str, args: list[str]) -> C:
    """What tyro makes of `args`; what it prints of those that it refuses is visible."""

    def read(given: list[str]) -> C:
        return tyro.cli(config_class, prog=prog, description=description, args=given)

    shown = [visible(arg) for arg in args]
    if shown == args:
        return read(args)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            return read(args)
    except SystemExit:
        read(shown)  # are refused as well, and printed
        raise


def known_presets(job: str) -> list[str]:
    """Names of the shipped presets of a job."""
    presets = resources.files("webtext.jobs").joinpath("presets").iterdir()
    documents = {p.name.removesuffix(".toml"): p.read_text("utf-8") for p in presets if p.name.endswith(".toml")}
    return sorted(name for name, text in documents.items() if tomllib.loads(text).get("job", job) == job)


def preset_flags(name: str, job: str, config_class: type) -> list[str]:
    """The flags of a preset: a shipped one by name, or a file by a path that has a slash or ends in .toml.

    Raises:
        UsageError: no such preset, not TOML, for another job, or a key that `config_class` has no flag for.
    """
    if "/" in name or name.endswith(".toml"):
        where, document = name, _read(name, Path(name).read_bytes)
    else:
        known = known_presets(job)
        shipped = resources.files("webtext.jobs").joinpath("presets", f"{name}.toml")
        if not shipped.is_file():
            raise UsageError(f"unknown preset {name}{did_you_mean(name, known)}; known: {', '.join(known) or 'none'}")
        where, document = f"{name}.toml", _read(f"{name}.toml", shipped.read_bytes)
    meant_for = document.pop("job", job)
    if meant_for != job:
        raise UsageError(f"{where} is a preset for {meant_for!r}, not for {job!r}")
    flags = flags_of(config_class)
    spelled: list[str] = []
    for key, value in _flatten(document):
        flag = key.replace("_", "-")
        if flag not in flags:
            raise UsageError(f"{where}: unknown key {key}{did_you_mean(flag, flags)}")
        if flags[flag] is bool:
            if not isinstance(value, bool):
                raise UsageError(f"{where}: {key} is {value!r}, expected true or false")
            spelled.append(_switch(flag, value))
        elif isinstance(value, list):
            spelled += [f"--{flag}", *map(str, value)]
        else:
            spelled.append(f"--{flag}={value}")
    return spelled


def flags_of(config_class: type) -> dict[str, Any]:
    """Every flag of a config, as dotted name without dashes in front -> type of its field."""
    flags: dict[str, Any] = {}
    hints = typing.get_type_hints(config_class, include_extras=True)
    for field in dataclasses.fields(config_class):
        marks = getattr(hints[field.name], "__metadata__", ())
        if {tyro.conf.Fixed, tyro.conf.Suppress, tyro.conf.Positional}.intersection(marks):
            continue
        kind = hints[field.name].__origin__ if marks else hints[field.name]
        name = field.name.replace("_", "-")
        if dataclasses.is_dataclass(kind):
            # tyro.conf.arg(name="") lifts the fields of a group to the level above.
            prefix = "" if any(getattr(mark, "name", None) == "" for mark in marks) else f"{name}."
            flags |= {f"{prefix}{inner}": what for inner, what in flags_of(typing.cast("type", kind)).items()}
        else:
            flags[name] = kind
    return flags


def spellings(config_class: type) -> set[str]:
    """Every flag of a config as it is typed, both forms of a switch and `--config` among them."""
    flags = flags_of(config_class)
    return {CONFIG_FLAG, *HELP_FLAGS} | {
        spelling
        for name, kind in flags.items()
        for spelling in ((_switch(name, True), _switch(name, False)) if kind is bool else (f"--{name}",))
    }


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A clause to append to an error: the known name nearest to `name`, or nothing where none is near."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _add_hints(own: Sequence[str], known: Collection[str], name: str | None, preset: Sequence[str]) -> None:
    # Below tyro's message, which has no suggestion when a required flag is missing too, and can't name the preset.
    for arg in own:
        flag = arg.partition("=")[0]
        if flag.startswith("--") and flag.replace("_", "-") not in known:
            complain(f"error: unknown flag {flag}{did_you_mean(flag, known)}")
    if preset:
        complain(f"note: --config {name} stands for {' '.join(preset)}")


def _switch(flag: str, on: bool) -> str:
    group, dot, name = flag.rpartition(".")
    return f"--{flag}" if on else f"--{group}{dot}no-{name}"


def _split_at_dashes(args: Sequence[str]) -> tuple[list[str], bool, list[str]]:
    if "--" not in args:
        return list(args), False, []
    cut = list(args).index("--")
    return list(args[:cut]), True, list(args[cut + 1 :])


def _without_aliases(args: Sequence[str], flags: Collection[str]) -> list[str]:
    known = {short: long for short, long in ALIASES.items() if long.removeprefix("--") in flags}
    split = [arg.partition("=") for arg in args]
    return [known.get(flag, flag) + equals + value for flag, equals, value in split]


def _take_config(args: Sequence[str]) -> tuple[str | None, list[str]]:
    name: str | None = None
    rest: list[str] = []
    remaining = iter(args)
    for arg in remaining:
        flag, equals, value = arg.partition("=")
        if flag != CONFIG_FLAG:
            rest.append(arg)
            continue
        if name is not None:
            raise UsageError(f"{CONFIG_FLAG} is given twice")
        name = value if equals else next(remaining, "")
        if not name or name.startswith("-"):
            raise UsageError(f"{CONFIG_FLAG} needs a preset's name or a TOML file")
    return name, rest


def _read(where: str, read_bytes: Callable[[], bytes]) -> dict[str, Any]:
    try:
        return tomllib.loads(read_bytes().decode())
    except OSError as error:
        raise UsageError(f"{where}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{where}: {error}") from error


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _description(config_class: type, job: str) -> str:
    known = ", ".join(known_presets(job))
    shipped = f" (shipped: {known})" if known else ""
    presets = f"{CONFIG_FLAG} NAME|FILE.toml sets flags from a preset{shipped}; flags you give win."
    return f"{inspect.getdoc(config_class)}\n\n{presets}"
