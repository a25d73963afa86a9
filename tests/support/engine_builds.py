"""Builds of the mini web by the command that people use, in a process of its own, and what came of them."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import measure
import toy_webs
from engine_services import end_with_this_process
from processes import started

_POLL: Final = 0.5  # seconds between two looks at the memory of all processes
TIMEOUT: Final = 900  # seconds for one build on a busy machine


@dataclass(frozen=True)
class Web:
    """The inputs of a build: patterns."""

    submissions: str
    archives: str


@dataclass(frozen=True)
class Built:
    """What a build came to: content hash, sha256 of each file of the corpus, ledger of each stage."""

    content: str
    files: dict[str, str]
    ledgers: dict[str, object]


@dataclass(frozen=True)
class Cost:
    """What a build took, with all the processes of its engine."""

    name: str
    wall: float  # seconds
    memory: float  # peak of the summed proportional set sizes, MiB
    load: float  # load average of the machine at the end


def command(web: Web, work: str, *flags: str) -> list[str]:
    """The build of this web with two local workers, ours and Beam's flags on one line."""
    return [
        *(sys.executable, str(toy_webs.ROOT / "beam_runner.py"), "--config=demo", "--workers=2", f"--work={work}"),
        *("--submissions", web.submissions, "--warcs", web.archives, *flags),
    ]


@contextmanager
def launched(
    log: Path, web: Web, work: str, flags: tuple[str, ...], environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A build at work; it is killed with its children where the block ends before it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("ab") as output,
        started(
            command(web, work, *flags),
            TIMEOUT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(environment),
            cwd=log.parent,
            preexec_fn=end_with_this_process,
        ) as process,
    ):
        yield process


def build(
    log: Path, web: Web, work: str, flags: tuple[str, ...] = (), environment: Mapping[str, str] | None = None
) -> Cost:
    """Build to the end. Raises RuntimeError with the end of the log if it fails."""
    start = time.monotonic()
    with launched(log, web, work, flags, environment or {}) as process, peak_memory() as peak:
        status = process.wait()
    if status:
        raise RuntimeError(f"the build ended with {status}: {log.read_text(errors='replace')[-4000:]}")
    return Cost(log.stem, time.monotonic() - start, peak(), os.getloadavg()[0])


@contextmanager
def peak_memory() -> Iterator[Callable[[], float]]:
    """Gives the largest sum so far, in MiB, of the memory of all processes that this one started."""
    end = threading.Event()
    peak = 0.0

    def watch() -> None:
        nonlocal peak
        while not end.wait(_POLL):
            total = sum(measure._sizes(pid)[0] for pid in measure._descendants(os.getpid()))
            peak = max(peak, total / 1024)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: peak
    finally:
        end.set()
        watcher.join()


def outcome(read: Callable[[], Mapping[str, bytes]]) -> Built:
    """What the files of a work directory say, by their names inside it."""
    files = read()
    manifest = json.loads(files["corpus/manifest.json"])
    corpus = {
        name: hashlib.sha256(data).hexdigest()
        for name, data in files.items()
        if name.startswith("corpus/") and name != "corpus/manifest.json"
    }
    ledgers = {stage["stage"]: stage for stage in [*manifest["content"]["stages"], *manifest["build"]["stages"]]}
    return Built(manifest["content_sha256"], corpus, ledgers)


def local(work: Path) -> Callable[[], dict[str, bytes]]:
    """Reads a work directory on the disk."""
    return lambda: {
        str(path.relative_to(work)): path.read_bytes() for path in sorted(work.glob("corpus/**/*")) if path.is_file()
    }


def s3_objects(folder: Path) -> dict[str, bytes]:
    """The objects of the S3 server, which are files of its folder, by their names in the work directory."""
    work = folder / "s3" / "webtext" / "work"
    return {
        str(path.relative_to(work)): path.read_bytes() for path in sorted(work.glob("corpus/**/*")) if path.is_file()
    }


def gcs_objects(server: str) -> dict[str, bytes]:
    """The objects of the GCS server by its JSON API, by their names in the work directory."""
    base = f"{server}/storage/v1/b/webtext/o"
    with urllib.request.urlopen(f"{base}?prefix=work/corpus/&maxResults=1000", timeout=30) as answer:  # noqa: S310 - a server of ours
        names = [item["name"] for item in json.load(answer)["items"]]
    found = {}
    for name in names:
        with urllib.request.urlopen(f"{base}/{urllib.parse.quote(name, safe='')}?alt=media", timeout=30) as answer:  # noqa: S310 - a server of ours
            found[name.removeprefix("work/")] = answer.read()
    return found
