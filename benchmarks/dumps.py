"""Read a dump with pipeline.links.dumps and with a bare loop of zstandard and orjson: records and seconds of CPU.

    .venv/bin/python benchmarks/dumps.py DUMP.zst [--times 5]

Needs orjson, which nothing else here does. The bare loop decodes every field of every line and keeps ours; it checks
nothing, and dies of the first bad line.
"""

import argparse
import io
import time
from collections.abc import Callable

import orjson
import zstandard

from webtext.pipeline.links.dumps import read_posts

_FIELDS = ("id", "url", "score", "created_utc", "subreddit", "title", "is_self", "over_18")


def bare(path: str) -> int:
    """Lines of the dump, read with nothing around the two libraries."""
    number = 0
    with open(path, "rb") as stream:
        text = zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(stream)
        for line in io.BufferedReader(text, 2**20):
            record = orjson.loads(line)
            _ = tuple(record.get(field) for field in _FIELDS)
            number += 1
    return number


def ours(path: str) -> int:
    """Records of the dump, as a build reads them."""
    with open(path, "rb") as stream:
        return sum(1 for _ in read_posts(stream, path, list_score=3))


def seconds(read: Callable[[str], int], path: str) -> tuple[int, float]:
    """(records, CPU seconds) of one reading."""
    start = time.process_time()
    number = read(path)
    return number, time.process_time() - start


def main() -> None:
    """Read by turns and print the best of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dump")
    parser.add_argument("--times", type=int, default=5)
    args = parser.parse_args()
    best: dict[str, tuple[float, int]] = {}
    for _ in range(args.times):
        for read in (bare, ours):
            number, taken = seconds(read, args.dump)
            best[read.__name__] = min(best.get(read.__name__, (taken, number)), (taken, number))
    for name, (taken, number) in best.items():
        print(f"{name:5} {number:,} records in {taken:.3f} s: {number / taken:,.0f} records/s")
    print(f"ours / bare: {best['ours'][0] / best['bare'][0]:.2f} of the time")


if __name__ == "__main__":
    main()
