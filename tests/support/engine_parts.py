"""Builds the parts of the engine tests into a cache folder: job servers, Spark, Prism, object stores. `make engines`.

Each part is a folder named after its exact version, made under a temporary name and renamed when it is whole, so a part
that is there is not built again. A part that can't be had leaves a note with the reason, which the tests that need it
give when they are skipped; the next `make engines` tries again.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

POMS: Final = Path(__file__).resolve().parents[1] / "engines"
CACHE: Final = Path(os.environ.get("WEBTEXT_ENGINES") or Path.home() / ".cache" / "webtext" / "engines")

BEAM: Final = "2.77.0"
# The newest version of which every component is in all mirrors of Maven Central that were tried. Job servers are newer
# or older than the SDK without trouble: the protocol between them is versioned.
COMPONENTS: Final = "2.62.0"
SPARK: Final = "3.5.7"
FLINK: Final = "1.19"
S3_SERVER: Final = "v1.8.0"
GCS_SERVER: Final = "v1.56.1"

_TIMEOUT: Final = 1500  # seconds for one command: a cold Maven repository and Go cache take minutes
_OFFICIAL_TIMEOUT: Final = 300  # seconds

# What Java 17 must open for Spark and Flink.
OPENED: Final = (
    "java.lang java.lang.invoke java.lang.reflect java.io java.net java.nio java.util java.util.concurrent "
    "java.util.concurrent.atomic sun.nio.ch sun.nio.cs sun.security.action sun.util.calendar"
)
JAVA: Final = ("java", *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED.split()))


class MissingError(Exception):
    """A part can't be had here; the message says why."""


@dataclass(frozen=True, slots=True)
class EnginePart:
    """One part: where it lies, and how it is built into an empty folder."""

    name: str
    version: str
    build: Callable[[Path], None]

    @property
    def folder(self) -> Path:
        """Where it lies once it is built."""
        return CACHE / f"{self.name}-{self.version}"

    @property
    def note(self) -> Path:
        """Why it can't be had, if it can't."""
        return CACHE / f"{self.name}-{self.version}.missing"

    def ensure(self) -> Path:
        """Build it if it is not there.

        Raises:
            MissingError: it can't be had.
        """
        if self.folder.is_dir():
            return self.folder
        CACHE.mkdir(parents=True, exist_ok=True)
        building = CACHE / f".{self.name}-{self.version}-{os.getpid()}"
        building.mkdir()
        try:
            self.build(building)
            building.rename(self.folder)
        except (MissingError, OSError) as error:
            self.note.write_text(f"{error}\n")
            raise MissingError(str(error)) from error
        finally:
            shutil.rmtree(building, ignore_errors=True)
        self.note.unlink(missing_ok=True)
        return self.folder

    def why_missing(self) -> str:
        """Empty if it is there, else the reason and what to do."""
        if self.folder.is_dir():
            return ""
        reason = self.note.read_text().strip() if self.note.exists() else "it was not built yet"
        return f"{self.name} {self.version} is missing: {reason}; `make engines` builds it into {CACHE}"


def _run(*command: str, timeout: float = _TIMEOUT, **environment: str) -> None:
    program = shutil.which(command[0])
    if program is None:
        raise MissingError(f"there is no {command[0]} on the PATH")
    try:
        done = subprocess.run(
            [program, *command[1:]],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MissingError(f"`{' '.join(command)}` was not ready in {timeout:.0f} s") from error
    if done.returncode:
        said = [line.strip() for line in done.stdout.splitlines() if "error" in line.lower()] or [done.stdout[-300:]]
        raise MissingError(f"`{' '.join(command)}` failed: {said[0][:300]}")


def _maven(pom: str, *arguments: str) -> None:
    _run("mvn", "-q", "-B", "-f", str(POMS / pom), f"-Dbeam.version={COMPONENTS}", *arguments)


def _official(artifact: str, folder: Path) -> bool:
    """Fetch Beam's own job-server jar; False where the repository does not have it."""
    try:
        _run(
            *("mvn", "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"),
            f"-Dartifact=org.apache.beam:{artifact}:{BEAM}",
            f"-DoutputDirectory={folder}",
            timeout=_OFFICIAL_TIMEOUT,
        )
    except MissingError:
        return False
    return any(folder.glob("*.jar"))


def _spark_job_server(folder: Path) -> None:
    if _official("beam-runners-spark-3-job-server", folder):
        return
    out = folder / "target"
    _maven("spark-pom.xml", f"-Dout={out}", f"-Dspark.version={SPARK}", "package")
    (out / "spark-job-server-1.jar").rename(folder / "spark-job-server.jar")
    shutil.rmtree(out)


def _flink_job_server(folder: Path) -> None:
    if not _official(f"beam-runners-flink-{FLINK}-job-server", folder):
        _maven("flink-pom.xml", "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}")


def _spark(folder: Path) -> None:
    # The package carries the whole engine; its Python side is not used, so it is in no environment.
    uv = Path(sys.executable).with_name("uv")
    target = ("--python", sys.executable, "--no-deps", "--target", str(folder))
    _run(str(uv), "pip", "install", "--quiet", *target, f"pyspark=={SPARK}")


def _go(module: str) -> Callable[[Path], None]:
    return lambda folder: _run("go", "install", module, GOBIN=str(folder), GOFLAGS="-buildvcs=false")


SPARK_JOB_SERVER: Final = EnginePart("spark-job-server", f"{BEAM}-or-{COMPONENTS}-spark-{SPARK}", _spark_job_server)
FLINK_JOB_SERVER: Final = EnginePart("flink-job-server", f"{BEAM}-or-{COMPONENTS}-flink-{FLINK}", _flink_job_server)
SPARK_ITSELF: Final = EnginePart("spark", SPARK, _spark)
PRISM: Final = EnginePart("prism", BEAM, _go(f"github.com/apache/beam/sdks/v2/go/cmd/prism@v{BEAM}"))
S3: Final = EnginePart("versitygw", S3_SERVER, _go(f"github.com/versity/versitygw/cmd/versitygw@{S3_SERVER}"))
GCS: Final = EnginePart("fake-gcs-server", GCS_SERVER, _go(f"github.com/fsouza/fake-gcs-server@{GCS_SERVER}"))
BOOT: Final = EnginePart("boot", BEAM, _go(f"github.com/apache/beam/sdks/v2/python/container@v{BEAM}"))
PARTS: Final = (SPARK_JOB_SERVER, FLINK_JOB_SERVER, SPARK_ITSELF, PRISM, BOOT, S3, GCS)


def main() -> int:
    """Build what is missing. Missing parts are no error: the tests that need them are skipped."""
    for part in PARTS:
        start = time.monotonic()
        try:
            state = str(part.ensure())
        except MissingError as error:
            state = f"missing: {error}"
        print(f"{part.name} {part.version}: {state} ({time.monotonic() - start:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
