import subprocess
import sys

import pytest
from processes import finished, started

from webtext.jobs import cli
from webtext.jobs.config import UsageError
from webtext.schemas.manifest import ManifestError


@pytest.mark.parametrize("args", [[], ["--help"], ["build", "--help"]])
def test_help_imports_neither_beam_nor_torch(args):
    script = (
        "import sys\n"
        "from webtext.jobs.cli import main\n"
        "try:\n"
        "    status = main(sys.argv[1:])\n"
        "except SystemExit as stop:\n"
        "    status = stop.code\n"
        "heavy = sorted({'apache_beam', 'torch', 'pyarrow', 'numpy'} & set(sys.modules))\n"
        "sys.exit(f'imported {heavy}' if heavy else status)\n"
    )
    done = finished([sys.executable, "-c", script, *args], text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--links.score" in done.stdout if args == ["build", "--help"] else "pretrain" in done.stdout


def test_help_of_a_job_names_the_presets_and_keeps_its_text(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["build", "-h"])
    assert stop.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "demo, openwebtext, openwebtext2, webtext" in out
    assert "-- --runner=FlinkRunner" in out


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("webtext ")


def test_an_unknown_command_is_refused_with_the_nearest(capsys):
    assert cli.main(["biuld"]) == 2
    assert "error: unknown command biuld; did you mean build?" in capsys.readouterr().err


def test_a_preset_with_a_typo_is_one_line_and_status_2(tmp_path, capsys):
    preset = tmp_path / "mine.toml"
    preset.write_text("[links]\nscor = 3\n")
    assert cli.main(["build", "--work=w", "--urls=u", "--config", str(preset)]) == 2
    assert capsys.readouterr().err == f"error: {preset}: unknown key links.scor; did you mean links.score?\n"


def raising(error: BaseException):
    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UsageError("no such flag"), 2, "error: no such flag"),
        (ValueError("too small"), 1, "error: too small"),
        (ManifestError("edited"), 1, "error: edited"),
        (FileNotFoundError(2, "No such file or directory", "in.zst"), 1, "error: in.zst: No such file or directory"),
        (OSError("odd"), 1, "error: odd"),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            1,
            "error: No module named 'torch'; pip install 'webtext[train]'",
        ),
        (ModuleNotFoundError("No module named 'x'", name="x"), 1, "error: No module named 'x'"),
        (KeyboardInterrupt(), 130, "interrupted; the same command continues from what is finished"),
    ],
)
def test_errors_of_the_user_are_one_line(error, status, line, capsys, monkeypatch):
    monkeypatch.delenv("WEBTEXT_DEBUG", raising=False)
    assert cli.guard(raising(error)) == status
    assert capsys.readouterr().err == f"{line}\n"


def test_debug_keeps_the_traceback(monkeypatch):
    monkeypatch.setenv("WEBTEXT_DEBUG", "1")
    with pytest.raises(ValueError, match="too small"):
        cli.guard(raising(ValueError("too small")))


def test_a_bug_is_not_taken_for_an_error_of_the_user():
    with pytest.raises(TypeError):
        cli.guard(raising(TypeError("bug")))


def test_a_reader_that_leaves_early_is_no_error():
    script = (
        "from webtext.jobs import cli\ndef work():\n  while True: print('x' * 1000)\nraise SystemExit(cli.guard(work))"
    )
    with started([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        writer.stdout.readline()
        writer.stdout.close()
        assert (writer.wait(timeout=30), writer.stderr.read()) == (1, "")
