"""`webtext report`: the HTML report of a build."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ReportConfig:
    """Write the HTML report of a build: one page that explains what was kept, what was lost, and why."""

    work: str
    """Folder of the build, as given to `webtext build --work`."""
    out: str = ""
    """File to write; empty for WORK/report.html."""


def run(config: ReportConfig) -> int:
    """Write the page and say where it is."""
    from webtext.pipeline.account.report import PAGE, build_report, read_manifest
    from webtext.pipeline.files import storage  # Arrow, which --help must not wait for

    name = preset_of(read_manifest(config.work).config)
    page = build_report(config.work, f"preset {name}" if name else "")
    out = config.out or storage.join(config.work, PAGE)
    storage.publish_bytes(out, page.encode())
    print(f"report: {out}")
    return 0


def preset_of(config: dict[str, Any]) -> str:
    """The shipped preset that makes this very configuration, or "" if none does."""
    from webtext.jobs.build import BuildConfig
    from webtext.jobs.config import known_presets, parse

    for name in known_presets("build"):
        preset = parse(BuildConfig, "build", ["--config", name, "--work=", "--urls="], prog="webtext build")
        if asdict(preset.corpus) == config:
            return name
    return ""
