"""`webtext report`: the HTML report of a build."""

from dataclasses import asdict, dataclass
from typing import Any

from webtext.jobs.terminal import say


@dataclass(frozen=True)
class ReportConfig:
    """Write the HTML report of a build: one page that explains what was kept, what was lost, and why."""

    work: str
    """Folder of the build, as given to `webtext build --work`."""
    out: str = ""
    """File to write; empty for WORK/report.html."""


def run(config: ReportConfig) -> int:
    """Write the page and say where it is."""
    from webtext.pipeline.account.report import read_manifest
    from webtext.pipeline.account.report_page import PAGE, build_report
    from webtext.pipeline.files import storage  # Arrow, which --help must not wait for

    name = preset_of(read_manifest(config.work).config)
    page = build_report(config.work, f"preset {name}" if name else "")
    out = config.out or storage.join(config.work, PAGE)
    try:
        storage.publish_bytes(out, page.encode())
    except OSError as error:
        raise OSError(
            f"{out} can't be written: {error.strerror or error}; give another one with `webtext report --out`"
        ) from error
    say(f"report: {out}")
    return 0


def preset_of(config: dict[str, Any]) -> str:
    """The shipped preset that makes this very configuration, or "" if none does."""
    from webtext.jobs.config import known_presets, parse
    from webtext.pipeline.settings import CorpusSettings

    for name in known_presets("build"):  # which hold nothing else
        if asdict(parse(CorpusSettings, "build", ["--config", name], prog="webtext build")) == config:
            return name
    return ""
