"""Kill a build ten times at random moments and compare its corpus with that of a build left alone.

    .venv/bin/python benchmarks/kills.py [--web FOLDER] [--kills 10] [--seed 0] [--workers 2]

FOLDER holds submissions.ndjson.zst and *.warc.gz, like the shipped mini web. Each kill is SIGKILL to the launcher, at
a moment drawn from the time that an undisturbed build takes: worker processes must notice by themselves. A build that
ends before its next kill is compared, and another begins. Exits with 1 if a byte of a corpus differs.
"""

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MINIWEB = Path(__file__).resolve().parents[1] / "examples" / "miniweb"


def command(web: Path, work: Path, workers: int) -> list[str]:
    """The build of this web."""
    return [
        *(
            str(Path(sys.executable).with_name("webtext")),
            "build",
            "--config",
            "demo",
            "--parts",
            "12",
            "--workers",
            str(workers),
        ),
        *("--submissions", str(web / "submissions.ndjson.zst"), "--warcs", str(web / "*.warc.gz"), "--work", str(work)),
    ]


def digests(work: Path) -> dict[str, str]:
    """sha256 of each file of the corpus; of the manifest, its content part."""
    corpus = work / "corpus"
    found = {
        str(path.relative_to(corpus)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(corpus.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }
    return found | {"manifest": json.loads((corpus / "manifest.json").read_text())["content_sha256"]}


def receipts(work: Path) -> int:
    """Parts that are done."""
    return sum(1 for _ in work.glob("*/*.receipt.json"))


def main() -> int:
    """Build twice, once with kills."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--web", type=Path, default=MINIWEB)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        calm = Path(temporary) / "calm"
        start = time.monotonic()
        subprocess.run(command(options.web, calm, options.workers), check=True, capture_output=True)
        undisturbed = time.monotonic() - start
        expected = digests(calm)
        print(f"undisturbed build: {undisturbed:.1f} s, {receipts(calm)} parts", flush=True)
        kills = builds = wrong = 0
        while kills < options.kills:
            work = Path(temporary) / f"killed-{builds}"
            builds += 1
            while True:
                killed = kills < options.kills and kill(options, work, moments.uniform(0.5, undisturbed))
                if not killed:
                    break
                kills += 1
                print(f"kill {kills}: {receipts(work)} parts done", flush=True)
            subprocess.run(command(options.web, work, options.workers), check=True, capture_output=True)
            found = digests(work)
            differ = [name for name in sorted(expected.keys() | found.keys()) if expected.get(name) != found.get(name)]
            wrong += len(differ)
            print(f"build {builds} ends: {len(expected)} digests compared, {len(differ)} differ {differ}", flush=True)
        return 1 if wrong else 0


def kill(options: argparse.Namespace, work: Path, moment: float) -> bool:
    """Start the build and kill it at that moment; False if it ended before."""
    process = subprocess.Popen(
        command(options.web, work, options.workers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
