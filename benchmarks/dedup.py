"""Time, memory and finds of the search for copies, beside datatrove's and a plain datasketch loop on the same texts.

    .venv/bin/python benchmarks/dedup.py signing
    .venv/bin/python benchmarks/dedup.py ours 10_000 100_000 1_000_000 [--method signature] [--template]
    uv venv peers; uv pip install --python peers datatrove==0.10.0 datasketch==2.0.0 orjson spacy tokenizers xxhash==3.6
    .venv/bin/python benchmarks/dedup.py datatrove 10_000 100_000 --python peers/bin/python

Texts: dedup_corpus.py. Time is that of whole processes and their children, the start of Python and Beam included;
memory the largest of any one process. `ours` is measured in two runs: from the files to tables with signatures, and
from these to the decisions. Finds: clear copies (at most 30 % of the words replaced) that stayed beside one another,
and texts without any copy that were dropped.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import dedup_corpus
import dedup_ours
import measure
import numpy as np

from webtext.pipeline.text import language, minhash
from webtext.schemas import vocabulary

_HERE = Path(__file__).resolve().parent


def signing(count: int = 3000) -> None:
    """Text to hash, signature and bands in this process: documents per second."""
    texts = [planted.text for planted in dedup_corpus.texts(count)]
    minhash.signature(texts[0])  # deals the permutations

    def steps() -> Iterator[tuple[str, float]]:
        start = time.process_time()
        shingles = [minhash.shingles(text) for text in texts]
        yield "words, shingles", time.process_time() - start
        start = time.process_time()
        signatures = [minhash.sign(hashes) for hashes in shingles]
        yield "signature", time.process_time() - start
        start = time.process_time()
        minhash.bands(np.stack(signatures))
        yield "bands", time.process_time() - start
        start = time.process_time()
        for text in texts:
            minhash.text_hash(text)
        yield "hash of the text", time.process_time() - start

    def others() -> Iterator[tuple[str, float]]:
        start = time.process_time()
        for text in texts:
            language.identify(text)
        yield "language", time.process_time() - start
        start = time.process_time()
        for text in texts:
            vocabulary.load().encode_to_numpy(text, disallowed_special=())
        yield "tokens", time.process_time() - start

    rounds = [dict(steps()) for _ in range(5)]
    best = {name: min(found[name] for found in rounds) for name in rounds[0]}
    for name, seconds in best.items():
        print(f"{name}: {1e6 * seconds / count:.0f} us")
    language.identify(texts[0])  # loads the model; the next line the ranks
    vocabulary.load().encode_to_numpy(texts[0])
    for name, seconds in others():
        print(f"not counted, but part of a build: {name}: {1e6 * seconds / count:.0f} us")
    size = sum(map(len, texts)) / count
    print(f"text of {size:,.0f} characters to bands: {count / sum(best.values()):,.0f} documents/s of one core")


def report(name: str, count: int, usage: measure.Usage, log: Path) -> None:
    """A block of lines: totals, then the stages."""
    print(
        f"{name}, {count:,} texts: {usage.cpu:.1f} s of CPU, {usage.wall:.1f} s, {1e6 * usage.cpu / count:.0f} us a "
        f"text; largest process {usage.process_mib:,.0f} MiB"
    )
    for line in log.read_text().splitlines():
        if line.startswith('{"stage"'):
            row = json.loads(line)
            print(f"    {row['stage']}: {row['cpu']:.1f} s of CPU, {row['wall']:.1f} s", flush=True)


def ours(args: argparse.Namespace, folder: Path, count: int, work: Path) -> set[str]:
    """Two runs, and what they keep."""
    for until in ("documents", "decisions"):
        log = work / f"{until}.log"
        usage = measure.run([sys.executable, *sys.argv, "--stages", str(folder), str(work / "ours"), until], log)
        report(f"ours to {until}", count, usage, log)
    return dedup_ours.kept(work / "ours")


def peer(args: argparse.Namespace, folder: Path, count: int, work: Path) -> set[str]:
    """One of the others."""
    log = work / "log"
    child = [args.python, str(_HERE / "dedup_peers.py"), args.system, str(folder), str(work), str(args.workers)]
    report(args.system, count, measure.run(child, log), log)
    return set(json.loads((work / "kept.json").read_text()))


def main() -> None:
    """Make the texts, measure one system on them, and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", choices=["signing", "ours", "datatrove", "datasketch"])
    parser.add_argument("counts", nargs="*", type=int)
    parser.add_argument("--template", action="store_true", help="pages of one template instead")
    parser.add_argument("--texts", type=Path, help="folder that keeps the texts for the next time")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the other system")
    parser.add_argument("--method", choices=["shingles", "signature"], default="shingles")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--parts", type=int, default=64)
    parser.add_argument("--stages", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.stages:
        dedup_ours.run(*args.stages, workers=args.workers, parts=args.parts, method=args.method)
        return
    if args.system == "signing":
        signing()
    for count in args.counts:
        with tempfile.TemporaryDirectory(dir=args.texts) as temporary:
            folder = (args.texts or Path(temporary)) / f"texts-{count}{'-template' * args.template}"
            if not folder.exists():
                dedup_corpus.write(folder, count, args.template)
            work = Path(temporary) / "work"
            work.mkdir()
            kept = (ours if args.system == "ours" else peer)(args, folder, count, work)
            found = dedup_corpus.score(folder, kept)
            print(
                f"    keeps {found.kept:,}; misses {found.missed:,} of {found.certain:,} clear copies; drops "
                f"{found.wrong:,} texts that have none",
                flush=True,
            )


if __name__ == "__main__":
    main()
