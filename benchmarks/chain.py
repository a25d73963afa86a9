"""What the build costs beside a bare loop of the same library calls over the same pages.

    .venv/bin/python benchmarks/chain.py [--pages 2000 8000] [--workers 1] [--rounds 2]

Makes archives of so many pages out of the shipped mini web, each with words of its own so that none is a copy, runs
`webtext build` and the bare loop on them in turn, and prints CPU seconds, their ratio and peak memory. The loop does
what can't be left out: parse posts, read the archive, decode, extract, identify the language, tokenize, sign, insert
into datasketch's LSH, write one token file. It has no ledger, restart, isolation, or order.
"""

import argparse
import io
import json
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import measure
from warcio.archiveiterator import ArchiveIterator
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

MINIWEB = Path(__file__).resolve().parents[1] / "examples" / "miniweb"
PER_ARCHIVE = 500


def source_pages() -> list[tuple[str, bytes]]:
    """Type and bytes of the usable English pages of the mini web."""
    wanted = {
        row["url"]
        for row in map(json.loads, (MINIWEB / "expected.jsonl").read_text().splitlines())
        if row["want"] == "link" and row.get("lang") == "en"
    }
    found: list[tuple[str, bytes]] = []
    for path in sorted(MINIWEB.glob("*.warc.gz")):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream):
                if record.rec_headers.get_header("WARC-Target-URI") in wanted:
                    kind = record.http_headers.get_header("Content-Type") or "text/html"
                    found.append((kind, record.content_stream().read()))
    return found


def pages(count: int) -> Iterator[tuple[str, str, bytes]]:
    """(url, type, bytes) of so many pages that are not copies of one another."""
    source = source_pages()
    for number in range(count):
        kind, html = source[number % len(source)]
        turn = number // len(source)
        yield f"https://site{number % 97}.example.org/{number}", kind, vary(html, turn) if turn else html


def vary(html: bytes, turn: int) -> bytes:
    """The page with a word of this turn after every third word of its text: no shingle is like another turn's."""
    mark = f" turn{turn}".encode()
    body = max(html.lower().find(b"<body"), 0)
    words = re.sub(rb"((?:\s+[a-z]+){3})(?=[^<>]*<)", rb"\1" + mark, html[body:])
    return html[:body] + words


def write_inputs(folder: Path, count: int) -> None:
    """Archives and submissions for so many pages."""
    folder.mkdir(parents=True)
    archive = None
    with (folder / "submissions.ndjson").open("w") as posts:
        for number, (url, kind, html) in enumerate(pages(count)):
            if number % PER_ARCHIVE == 0:
                archive = (folder / f"pages-{number // PER_ARCHIVE:05d}.warc.gz").open("wb")
                writer = WARCWriter(archive, gzip=True)
            headers = StatusAndHeaders("200 OK", [("Content-Type", kind)], protocol="HTTP/1.1")
            record = writer.create_warc_record(
                url,
                "response",
                payload=io.BytesIO(html),
                http_headers=headers,
                warc_headers_dict={"WARC-Date": "2015-01-01T00:00:00Z"},
            )
            writer.write_record(record)
            post = {"id": f"p{number:x}", "url": url, "score": 9, "created_utc": 1_400_000_000, "is_self": False}
            posts.write(json.dumps(post) + "\n")


def main() -> None:
    """Print one row per number of pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, nargs="+", default=[2000, 8000])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    loop = Path(__file__).with_name("bare_loop.py")
    with tempfile.TemporaryDirectory() as temporary:
        for count in options.pages:
            inputs = Path(temporary) / f"inputs-{count}"
            write_inputs(inputs, count)
            found: dict[str, list[measure.Usage]] = {"build": [], "loop": []}
            for turn in range(options.rounds):
                work = Path(temporary) / f"work-{count}-{turn}"
                build = [
                    *(str(Path(sys.executable).with_name("webtext")), "build", "--config", "demo"),
                    *("--submissions", str(inputs / "submissions.ndjson"), "--warcs", str(inputs / "*.warc.gz")),
                    *("--work", str(work), "--workers", str(options.workers), "--parts", str(count // 500)),
                ]
                found["build"].append(measure.run(build, Path(temporary) / "build.log"))
                bare = [sys.executable, str(loop), str(inputs), str(Path(temporary) / "tokens.bin")]
                found["loop"].append(measure.run(bare, Path(temporary) / "loop.log"))
                kept = json.loads((work / "corpus" / "manifest.json").read_text())["content"]["stages"][-1]["passed"]
                print(f"{count} pages: build keeps {kept}; {(Path(temporary) / 'loop.log').read_text().strip()}")
            ratios = [b.cpu / a.cpu for a, b in zip(found["loop"], found["build"], strict=True)]
            for name, usages in found.items():
                best = min(usages, key=lambda usage: usage.cpu)
                print(
                    f"  {name:5}  cpu {best.cpu:7.1f} s  wall {best.wall:7.1f} s  "
                    f"largest process {best.process_mib:6.0f} MiB  all processes {best.tree_mib:6.0f} MiB"
                )
            rounds = ", ".join(f"{ratio:.3f}" for ratio in ratios)
            print(f"  cpu ratio build / loop: {statistics.median(ratios):.3f} (rounds: {rounds})", flush=True)


if __name__ == "__main__":
    if not MINIWEB.exists():
        sys.exit(f"no mini web at {MINIWEB}")
    main()
