"""Hostile pages through the build's own sandbox: what became of them, the slowest, the largest child.

    python benchmarks/mutations.py [--pages 10000] [--first 0] [--folder ../shared/data/html]

Exits with 1 if a page is neither a document nor dropped for a reason.
"""

import argparse
import gzip
import resource
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from webtext.pipeline.archives.warc import RawPage
from webtext.pipeline.documents.sandboxed import make_extractor, request, verdict
from webtext.pipeline.engine.sandbox import Sandbox
from webtext.pipeline.settings import ExtractSettings
from webtext.schemas.records import Loss

_URL = "http://mutated.example/"
_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT / "tests" / "support"))


def _pages(folder: Path) -> list[bytes]:
    zipped = sorted(folder.rglob("*.html.gz"))
    plain = sorted((_ROOT / "examples" / "miniweb").rglob("*.html"))
    return [gzip.decompress(path.read_bytes()) for path in zipped] or [path.read_bytes() for path in plain]


def _raw(payload: bytes) -> RawPage:
    return RawPage(_URL, 200, "text/html", None, payload, truncated=False)


def timed(settings: ExtractSettings) -> Any:
    """The build's work with the CPU seconds and the child's largest memory before its answer."""
    work = make_extractor(settings)

    def run(page: bytes) -> bytes:
        start = time.process_time()
        answer = work(page)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        return b"%.3f %d " % (time.process_time() - start, peak) + answer

    return run


def main() -> int:
    """Print the outcome by reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=_ROOT.parent / "shared" / "data" / "html")
    flags = parser.parse_args()
    import page_mutations  # of the tests

    mutate, pages, settings = page_mutations.mutate, _pages(flags.folder), ExtractSettings()
    outcome: Counter[str] = Counter()
    slowest: list[tuple[float, int]] = []
    most = answers = 0
    start = time.monotonic()
    with Sandbox(partial(timed, settings), settings.cpu_seconds, settings.memory_mib) as sandbox:
        seeds = range(flags.first, flags.first + flags.pages)
        for at in range(0, len(seeds), 16):
            batch = seeds[at : at + 16]
            requests = [request(_raw(mutate(pages, seed))) for seed in batch]
            for seed, answer in zip(batch, sandbox.run(requests), strict=True):
                answers += 1
                if isinstance(answer, Loss):
                    outcome[answer.reason] += 1
                    print(f"seed {seed}: {answer.reason} {answer.detail}", flush=True)
                    continue
                seconds, peak, body = answer.split(b" ", 2)
                found = verdict(body)
                outcome[found.reason if isinstance(found, Loss) else "document"] += 1
                most = max(most, int(peak))
                slowest = sorted([*slowest, (float(seconds), seed)], reverse=True)[:5]
    for name, number in outcome.most_common():
        print(f"{number:7} {name}")
    print("slowest, CPU seconds and seed:", slowest)
    print(f"largest child: {most} MiB; wall time {time.monotonic() - start:.0f} s")
    return 0 if answers == flags.pages else 1


if __name__ == "__main__":
    sys.exit(main())
