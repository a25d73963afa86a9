import contextlib
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from webtext.jobs.build import BuildConfig
from webtext.jobs.config import UsageError, flags_of, known_presets, parse, preset_flags, spellings
from webtext.jobs.extract import ExtractConfig
from webtext.jobs.fetch import FetchConfig
from webtext.pipeline.settings import CorpusSettings, ExtractSettings


@dataclass(frozen=True)
class Optimizer:
    """How to step."""

    peak_rate: float = 6e-4
    """Per step."""
    fused: bool = True
    """One kernel."""


@dataclass(frozen=True)
class TrainConfig:
    """Train."""

    corpus: str
    """Folder."""
    files: tuple[str, ...] = ()
    """Names."""
    size: Literal["small", "large"] = "small"
    """Of the model."""
    compile: bool = False
    """First step is slow."""
    steps: int = 10
    """Updates."""
    optimizer: Optimizer = field(default_factory=Optimizer)
    """Group."""


def train(*args: str) -> TrainConfig:
    return parse(TrainConfig, "pretrain", args, "webtext pretrain")


def build(*args: str) -> BuildConfig:
    return parse(BuildConfig, "build", ["--work=w", "--urls=u", *args], "webtext build")


@pytest.fixture
def preset(tmp_path: Path):
    def write(text: str) -> str:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return str(path)

    return write


def test_a_preset_sets_flags_of_every_kind(preset):
    name = preset(
        'corpus = "c"\nfiles = ["a", "b"]\nsize = "large"\ncompile = true\n[optimizer]\npeak_rate = 1e-5\nfused = false'
    )
    expected = TrainConfig("c", ("a", "b"), "large", compile=True, optimizer=Optimizer(1e-5, fused=False))
    assert train("--config", name) == expected
    assert train(f"--config={name}") == expected


def test_the_users_flags_win_wherever_they_stand(preset):
    name = preset('corpus = "c"\nfiles = ["a", "b"]\nsteps = 1\ncompile = true\n[optimizer]\nfused = false')
    config = train(
        "--steps", "7", "--files", "z", "--config", name, "--no-compile", "--optimizer.fused", "--corpus=mine"
    )
    assert config == TrainConfig("mine", ("z",), steps=7)


def test_hyphens_and_underscores_are_the_same_in_a_preset(preset):
    assert train("--config", preset('corpus="c"\noptimizer.peak-rate = 0.5')).optimizer.peak_rate == 0.5


def test_an_empty_list_and_an_empty_text_are_values(preset):
    config = train("--config", preset('corpus = ""\nfiles = []'))
    assert (config.corpus, config.files) == ("", ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz = 3", r"mine.toml: unknown key stepz; did you mean steps\?"),
        (
            "[optimizer]\npeek_rate = 3",
            r"mine.toml: unknown key optimizer.peek_rate; did you mean optimizer.peak-rate\?",
        ),
        ("peak_rate = 3", r"mine.toml: unknown key peak_rate; did you mean optimizer.peak-rate\?"),
        ("[[optimizer]]\nfused = true", r"mine.toml: unknown key optimizer"),
        ("compile = 1", r"mine.toml: compile is 1, expected true or false"),
        ('job = "build"', r"mine.toml is a preset for 'build', not for 'pretrain'"),
        ("steps =\n", r"mine.toml: Invalid value \(at line 1"),
    ],
)
def test_a_preset_that_is_wrong_is_refused_by_name(preset, text, message):
    with pytest.raises(UsageError, match=message):
        train("--corpus=c", "--config", preset(text))


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"mine\.toml: 'utf-8' codec"):
        train("--config", str(tmp_path / "mine.toml"))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["--config", "opnwebtext"],
            r"unknown preset opnwebtext; did you mean openwebtext\?; known: demo, openwebtext",
        ),
        (["--config", "absent.toml"], "absent.toml: No such file"),
        (["--config"], "--config needs"),
        (["--config", "--parts=3"], "--config needs"),
        (["--config="], "--config needs"),
        (["--config=demo", "--config=webtext"], "--config is given twice"),
    ],
)
def test_a_config_that_is_not_there_is_refused(args, message):
    with pytest.raises(UsageError, match=message):
        build(*args)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--corpus=c", "--stepz=3"], "unknown flag --stepz; did you mean --steps?"),
        (["--corpsu=c"], "unknown flag --corpsu; did you mean --corpus?"),
        (["--corpus=c", "--optimizer.fuzed"], "unknown flag --optimizer.fuzed; did you mean --optimizer.fused?"),
        (["--corpus=c", "--steps=many"], "Error parsing --steps: invalid literal for int() with base 10: 'many'"),
        (["--corpus=c", "--steps=many"], "--steps INT"),
        (["--corpus=c", "--size=huge"], "Expected one of"),
        (["--corpus=c", "junk"], "Unrecognized options: junk"),
        ([], "--corpus STR"),
    ],
)
def test_a_flag_that_is_wrong_is_refused_by_name(args, message, capsys):
    with pytest.raises(SystemExit) as stop:
        train(*args)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_bad_value_of_a_preset_is_traced_to_it(preset, capsys):
    name = preset('steps = "many"')
    with pytest.raises(SystemExit):
        train("--corpus=c", "--config", name)
    error = capsys.readouterr().err
    assert "Error parsing --steps" in error
    assert f"note: --config {name} stands for --steps=many" in error


def test_flags_of_beam_follow_two_dashes():
    config = build("--workers", "2", "--", "--runner=SparkRunner", "--", "x")
    assert config.beam == ("--runner=SparkRunner", "--", "x")
    assert config.workers == 2
    with pytest.raises(UsageError, match="webtext pretrain takes nothing after --"):
        train("--corpus=c", "--", "x")


@pytest.mark.parametrize("config_class", [BuildConfig, TrainConfig])
def test_the_flags_are_those_that_tyro_shows(config_class):
    # `flags_of` reads the dataclass; what tyro offers in its help is the oracle.
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), pytest.raises(SystemExit):
        tyro.cli(config_class, args=["--help"], description="")
    lines = [line.strip("│| ") for line in shown.getvalue().splitlines()]
    flags = [re.findall(r"(?:^|, )(--?[a-z][a-z0-9.-]*)", line) for line in lines if line.startswith("-")]
    offered = {flag for line in flags for flag in line}
    assert offered | {"--config"} == spellings(config_class)


def test_a_lifted_group_and_a_fixed_field():
    @dataclass(frozen=True)
    class Config:
        corpus: Annotated[CorpusSettings, tyro.conf.arg(name="")]
        beam: Annotated[tuple[str, ...], tyro.conf.Fixed] = ()
        target: tyro.conf.Positional[str] = ""

    assert {"parts", "links.over-18"} <= set(flags_of(Config))
    assert not {"corpus", "beam", "target"} & set(flags_of(Config))


def test_shipped_presets_belong_to_their_job():
    assert {"demo", "openwebtext", "openwebtext2", "webtext"} <= set(known_presets("build"))
    assert "webtext" not in known_presets("pretrain")


@pytest.mark.parametrize("name", ["demo", "openwebtext", "openwebtext2", "webtext"])
def test_a_shipped_preset_decides_every_content_setting_of_links_and_documents(name):
    # A preset that leaned on a default would change its corpus with the default. The seed is no part of a recipe.
    flags = preset_flags(name, "build", BuildConfig)
    given = {flag.partition("=")[0].removeprefix("--").replace(".no-", ".") for flag in flags}
    wanted = {flag for flag in flags_of(CorpusSettings) if flag.startswith(("links.", "dedup.", "shards."))}
    assert wanted - given == {"shards.seed"}
    assert {"extract.language-probability", "extract.min-tokens", "parts"} <= given


def test_shipped_presets_differ_where_their_recipes_do():
    webtext, openwebtext, demo = (build("--config", n).corpus for n in ("webtext", "openwebtext", "demo"))
    assert (webtext.links.until, openwebtext.links.until) == ("2017-12-31", "")
    assert (webtext.links.over_18, openwebtext.links.over_18) == (True, False)
    assert (webtext.links.blocked_domains, openwebtext.links.blocked_domains) == ("webtext", "openwebtext")
    assert (demo.links, demo.extract, demo.dedup) == (webtext.links, webtext.extract, webtext.dedup)
    second = build("--config", "openwebtext2").corpus
    assert (second.links.score, second.links.score_rule, second.links.until) == (3, "summed", "2020-04-30")
    assert (second.links.over_18, second.extract.language_probability) == (True, 0.0)
    assert (demo.parts, demo.shards.tokens, demo.shards.val_fraction) == (4, 1_000_000, 0.05)


def test_a_build_needs_links():
    with pytest.raises(ValueError, match="give --submissions or --urls"):
        BuildConfig(work="w")
    with pytest.raises(ValueError, match="--workers is -1"):
        BuildConfig(work="w", urls=("u",), workers=-1)


def test_filters_have_a_short_flag():
    assert build("--filters", "gopher,c4").corpus.extract.filters == "gopher,c4"
    assert build("--filters=c4").corpus.extract.filters == "c4"
    assert build("--extract.filters=c4", "--extract.mask").corpus.extract == ExtractSettings(filters="c4", mask=True)
    assert build("--config=webtext").corpus.extract.filters == ""


def test_opt_outs_have_one_flag_in_all_commands(capsys):
    config = build("--opt-outs=noai,rsl", "--fetch.contact=me@example.org")
    assert config.corpus.extract.opt_outs == "noai,rsl"
    assert config.fetch.settings(config.corpus.extract.opt_outs).obeyed == {"noai", "rsl"}
    assert parse(FetchConfig, "fetch", ["http://a.example/", "--contact=me@example.org", "--opt-outs=none"], "x")
    assert parse(ExtractConfig, "extract", ["a.html", "--opt-outs", "none"], "x").extract.opt_outs == "none"
    assert {build(f"--config={name}").corpus.extract.opt_outs for name in known_presets("build")} == {"all"}
    for wrong in ("--fetch.opt-outs=none", "--opt-outs=robots"):
        with pytest.raises(SystemExit):
            build("--fetch.contact=me@example.org", wrong)
    assert "robots" in capsys.readouterr().err
