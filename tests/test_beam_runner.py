import sys

import pytest
from processes import finished

import beam_runner
from webtext.jobs.beam_flags import separate
from webtext.jobs.build import BuildConfig
from webtext.jobs.config import UsageError, spellings
from webtext.pipeline.engine.beam_options import known_flags


def split(*args: str) -> tuple[list[str], list[str]]:
    return separate(args, spellings(BuildConfig), known_flags())


def test_no_flag_has_two_owners():
    assert spellings(BuildConfig) & known_flags() == {"-h", "--help"}


def test_flags_are_separated_in_any_order_with_their_values():
    ours, beams = split(
        "--runner=FlinkRunner", "--config", "webtext", "--flink_master", "h:8081", "--submissions", "a", "b",
        "--object_reuse", "--links.over_18", "--work=w", "--experiments", "x",
    )  # fmt: skip
    assert ours == ["--config", "webtext", "--submissions", "a", "b", "--links.over_18", "--work=w"]
    assert beams == ["--runner=FlinkRunner", "--flink_master", "h:8081", "--object_reuse", "--experiments", "x"]


def test_all_that_follows_two_dashes_is_beams():
    assert split("--work=w", "--runner=x", "--", "--work=y") == (["--work=w"], ["--runner=x", "--work=y"])


def test_help_is_ours(capsys):
    with pytest.raises(SystemExit) as stop:
        beam_runner.main(["--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("usage: beam_runner.py")


@pytest.mark.parametrize(
    ("flag", "nearest"),
    [
        ("--wrok", "--work"),
        ("--links.scor=3", "--links.score"),
        ("--flink_mastr=h", "--flink_master"),
        ("--confg", "--config"),
    ],
)
def test_a_flag_that_neither_knows_is_refused_with_the_nearest_of_both(flag, nearest, capsys):
    with pytest.raises(UsageError, match=f"did you mean {nearest}"):
        split("--work", "w", flag)
    assert beam_runner.main(["--work", "w", flag]) == 2
    assert f"did you mean {nearest}?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--runner=SprakRunner"], "error: unknown Beam runner SprakRunner; did you mean SparkRunner?"),
        (["--direct_running_mode=multi_processing"], "error: --direct_running_mode=multi_processing is refused"),
        (["--object_reuse", "junk"], "error: unexpected argument 'junk' among Beam's flags"),
    ],
)
def test_what_beams_flags_say_is_checked_before_any_work(flags, message, tmp_path, capsys):
    work = tmp_path / "work"
    assert beam_runner.main(["--work", str(work), "--urls", "absent", *flags]) == 2
    assert capsys.readouterr().err.startswith(message)
    assert not work.exists()


def test_beams_own_import_is_silent():
    done = finished([sys.executable, beam_runner.__file__, "--wrok=w"], text=True)
    assert (done.returncode, done.stderr) == (2, "error: unknown flag --wrok; did you mean --work?\n")
