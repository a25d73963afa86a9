"""Kill a build ten times at random moments and compare its corpus with that of a build left alone.

    .venv/bin/python benchmarks/kills.py [--web FOLDER] [--kills 10] [--seed 0] [--workers 2]

FOLDER holds submissions.ndjson.zst and *.warc.gz, like the shipped mini web. Each kill is SIGKILL to the launcher, at
a moment drawn from the time that an undisturbed build takes: worker processes must notice by themselves. The last
start is left to finish. Exits with 1 if a byte of the corpus differs.
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
        *(str(Path(sys.executable).with_name("webtext")), "build", "--config", "demo", "--workers", str(workers)),
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
        calm, killed = Path(temporary) / "calm", Path(temporary) / "killed"
        start = time.monotonic()
        subprocess.run(command(options.web, calm, options.workers), check=True, capture_output=True)
        undisturbed = time.monotonic() - start
        print(f"undisturbed build: {undisturbed:.1f} s, {receipts(calm)} parts", flush=True)
        for number in range(options.kills):
            # A restart has less to do each time, so later kills come sooner.
            moment = moments.uniform(0.5, undisturbed * (1 - number / (options.kills + 1)) * 0.6)
            process = subprocess.Popen(
                command(options.web, killed, options.workers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                process.wait(moment)
                print(f"kill {number + 1}: the build had ended before {moment:.1f} s")
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                print(f"kill {number + 1}: after {moment:.1f} s, {receipts(killed)} parts done", flush=True)
        subprocess.run(command(options.web, killed, options.workers), check=True, capture_output=True)
        expected, found = digests(calm), digests(killed)
        different = [name for name in sorted(expected.keys() | found.keys()) if expected.get(name) != found.get(name)]
        print(f"{len(expected)} digests compared, {len(different)} differ {different}")
        return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
