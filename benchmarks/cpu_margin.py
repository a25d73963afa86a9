"""How far the CPU time of one page differs between an idle and a loaded machine: what the page budget is uncertain by.

    .venv/bin/python benchmarks/cpu_margin.py [--rounds 30] [--busy 6]

The budget (`--extract.cpu-seconds`) counts CPU time, which a busy machine makes longer by shared caches and cores.
Extracts one large page over and over, alone and then beside so many processes that move memory, and prints medians and
extremes.
"""

import argparse
import multiprocessing
import statistics
import time

from webtext.pipeline.documents.extract import extract_page, load_models
from webtext.pipeline.settings import ExtractSettings

SENTENCE = "The old harbour town has changed a good deal since the railway came to the valley, people say. "


def disturb() -> None:
    """Move memory for ever."""
    data = bytearray(32 * 2**20)
    while True:
        data[:] = data[1:] + b"x"


def times(rounds: int, page: bytes) -> list[float]:
    """CPU seconds of each extraction."""
    found = []
    for _ in range(rounds):
        start = time.process_time()
        extract_page(page, ExtractSettings())
        found.append(time.process_time() - start)
    return found


def main() -> None:
    """Measure both and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--busy", type=int, default=6)
    options = parser.parse_args()
    load_models()
    page = f"<html><body>{''.join(f'<p>{SENTENCE * 3}{n}</p>' for n in range(2000))}</body></html>".encode()
    times(3, page)
    idle = times(options.rounds, page)
    others = [multiprocessing.Process(target=disturb, daemon=True) for _ in range(options.busy)]
    for other in others:
        other.start()
    loaded = times(options.rounds, page)
    for other in others:
        other.kill()
    for name, found in (("idle", idle), ("loaded", loaded)):
        print(f"{name}: median {statistics.median(found):.3f} s, {min(found):.3f} to {max(found):.3f}")
    middle = statistics.median(idle)
    print(
        f"loaded / idle: median {statistics.median(loaded) / middle:.2f}, extremes {min(loaded) / middle:.2f} to ",
        end="",
    )
    print(f"{max(loaded) / middle:.2f}; idle itself {min(idle) / middle:.2f} to {max(idle) / middle:.2f}")


if __name__ == "__main__":
    main()
