"""Pages per second of CPU: the stage `fetch`, archives included, beside a bare loop over the same client library.

    .venv/bin/python benchmarks/fetch.py [--pages 20] [--concurrency 200] [--rounds 3]

The site of the tests (236 good hosts with real pages where ../shared/data/html is there) serves so many pages of each
host from a process of its own. The bare loop asks with aiohttp and uvloop and throws away what it gets: no robots.txt,
no checks of addresses, no decoding, no archive. It is run with connections kept, and with one for each request, as the
crawler does it (it comes back to a host too late to reuse one). Each measurement is a process of its own, and counts
its CPU time after imports.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))


def bare(urls: list[str], concurrency: int, keep: bool) -> int:
    """Ask for all pages; gives their number."""
    import aiohttp
    import uvloop

    async def main() -> int:
        queue = iter(urls)
        got = 0

        async def worker(session: aiohttp.ClientSession) -> None:
            nonlocal got
            for url in queue:
                async with session.get(url) as response:
                    page = await response.read()
                    got += response.status == 200 and len(page) > 0

        connector = aiohttp.TCPConnector(limit=0, force_close=not keep)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            await asyncio.gather(*(worker(session) for _ in range(concurrency)))
        return got

    return uvloop.run(main())


def crawl(urls: list[str], concurrency: int, work: Path) -> int:
    """Fetch all pages into an archive; gives their number."""
    import crawl_parts

    from webtext.pipeline.pages.crawl.settings import FetchSettings

    settings = FetchSettings("bench@example.org", concurrency=concurrency, delay=0, ports=(), allow_private=True)
    crawl_parts.write_links(work / "00000.links.parquet", urls)
    return crawl_parts.run_stage(crawl_parts.fetch_stage(work, settings)).tally.counts["fetched"]


def measure(what: str, options: argparse.Namespace) -> dict[str, float]:
    """One measurement in a process of its own."""
    command = [sys.executable, __file__, "--measure", what, "--pages", str(options.pages)]
    command += ["--concurrency", str(options.concurrency), "--port", str(options.port)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, float] = json.loads(output.splitlines()[-1])
    return result


def one(options: argparse.Namespace) -> None:
    """What a process of `measure` does."""
    import aiohttp
    import crawl_parts
    import loopback_site
    import uvloop

    del aiohttp, crawl_parts, uvloop  # their import is not what is measured
    good = [host.address for host in loopback_site.hosts() if host.kind == "good"]
    urls = [f"http://{host}:{options.port}/{page}.html" for page in range(options.pages) for host in good]
    with tempfile.TemporaryDirectory() as work:
        cpu, wall = time.process_time(), time.monotonic()
        if options.measure == "fetch":
            pages = crawl(urls, options.concurrency, Path(work))
        else:
            pages = bare(urls, options.concurrency, options.measure == "bare, connections kept")
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    assert pages == len(urls), f"{pages} of {len(urls)}"
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"pages": pages, "cpu": cpu, "wall": wall, "mib": memory}))


def main() -> None:
    """Measure in turns, so that a busy machine is as unfair to all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=20, help="of each host")
    parser.add_argument("--concurrency", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        one(options)
        return
    import loopback_site

    kinds = ("bare, connections kept", "bare, one connection each", "fetch")
    best = dict.fromkeys(kinds, 0.0)
    with tempfile.TemporaryDirectory() as folder, loopback_site.running(Path(folder) / "log") as options.port:
        for _ in range(options.rounds):
            for kind in kinds:
                result = measure(kind, options)
                best[kind] = max(best[kind], result["pages"] / result["cpu"])
                print(
                    f"{kind:26} {result['pages']} pages: {result['cpu'] / result['pages'] * 1e3:.2f} ms CPU each, "
                    f"{result['pages'] / result['wall']:.0f} pages/s, {result['mib']:.0f} MiB",
                    flush=True,
                )
    for kind in kinds:
        print(f"{kind:26} {best[kind]:.0f} pages per second of CPU, fetch has {best['fetch'] / best[kind]:.2f} of it")


if __name__ == "__main__":
    main()
