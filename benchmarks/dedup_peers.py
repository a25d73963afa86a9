"""The same texts through other de-duplicators; started by benchmarks/dedup.py, in an environment of their own.

Standard library and dedup_time.py only at the top: datatrove does not go into our environment.
"""

import json
import re
import sys
import time
from pathlib import Path

from dedup_time import cpu as cpu_seconds


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


def datatrove(folder: Path, work: Path, workers: int) -> set[str]:
    """Its MinHash pipeline with its own defaults: 14 buckets of 8 hashes, spaCy's words."""
    import struct

    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter

    config = MinhashConfig()
    tasks = len(_files(folder))
    stages = {
        "signatures": (tasks, [JsonlReader(str(folder)), MinhashDedupSignature(f"{work}/signatures", config=config)]),
        "buckets": (
            config.num_buckets,
            [MinhashDedupBuckets(f"{work}/signatures", f"{work}/buckets", config=config)],
        ),
        "clusters": (1, [MinhashDedupCluster(f"{work}/buckets", f"{work}/remove", config=config)]),
        "filter": (
            tasks,
            [JsonlReader(str(folder)), MinhashDedupFilter(f"{work}/remove"), JsonlWriter(f"{work}/kept")],
        ),
    }
    for name, (number, steps) in stages.items():
        wall, cpu = time.monotonic(), cpu_seconds()
        LocalPipelineExecutor(steps, tasks=number, workers=workers, logging_dir=f"{work}/log-{name}").run()
        print(json.dumps({"stage": name, "wall": time.monotonic() - wall, "cpu": cpu_seconds() - cpu}), flush=True)
    kept: set[str] = set()
    for number, path in enumerate(_files(folder)):
        removed = work / "remove" / f"{number:06d}.remove"
        rows = {row for (row,) in struct.iter_unpack("<I", removed.read_bytes())} if removed.exists() else set()
        kept |= {json.loads(line)["url"] for row, line in enumerate(path.open()) if row not in rows}
    return kept


def datasketch(folder: Path, work: Path, workers: int) -> set[str]:
    """A plain loop: 128 permutations, LSH at 0.5, a text stays if no earlier one that stays is like it."""
    del work, workers
    from datasketch import MinHash, MinHashLSH

    cpu, wall = cpu_seconds(), time.monotonic()
    lsh = MinHashLSH(threshold=0.5, num_perm=128)
    word = re.compile(r"\w+")
    kept: set[str] = set()
    for path in _files(folder):
        for line in path.open():
            row = json.loads(line)
            words = word.findall(row["text"].lower())
            shingles = {" ".join(words[start : start + 5]) for start in range(max(1, len(words) - 4))}
            signature = MinHash(num_perm=128)
            signature.update_batch([shingle.encode() for shingle in shingles])
            if not lsh.query(signature):
                lsh.insert(row["url"], signature)
                kept.add(row["url"])
    print(json.dumps({"stage": "loop", "wall": time.monotonic() - wall, "cpu": cpu_seconds() - cpu}), flush=True)
    return kept


if __name__ == "__main__":
    system, source, target, processes = sys.argv[1:]
    found = {"datatrove": datatrove, "datasketch": datasketch}[system](Path(source), Path(target), int(processes))
    (Path(target) / "kept.json").write_text(json.dumps(sorted(found)))
