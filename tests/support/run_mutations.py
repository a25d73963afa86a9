"""Runs and corpora made hostile, by seed. No module of tests alone: benchmarks/train_mutations.py takes them from here.

What is mutated "in place" keeps its digests as they were: it must be noticed, or change nothing. What is "forged" has
new digests for all that was changed: it must be refused where it makes no sense, and may be another run where it does.
"""

import json
import os
import random
import shutil
import struct
from dataclasses import replace

import pyarrow as pa
import torch
from forged_checkpoints import change_state, change_tensors
from safetensors.torch import load_file

from webtext.model.checkpoint import STATE
from webtext.model.tensor_files import MODEL, OPTIMIZER
from webtext.schemas.manifest import CORPUS_MANIFEST, CorpusManifest, digest_of, file_sha256

HOSTILE = (
    *(None, True, -1, 0, 1, 0.5, 1e308, -1e308, 10**7, 10**30, "", "x", "0", "\x00", [], [1], {}, {"a": 1}),
    *([[]] * 2000, "x" * 100_000, float("nan"), float("inf")),
)


def flip(rng, path):
    data = bytearray(path.read_bytes())
    at = rng.randrange(min(len(data), rng.choice((16, 4096, len(data)))))
    data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def cut(rng, path):
    os.truncate(path, rng.choice((0, 1, 7, 8, rng.randrange(path.stat().st_size))))


def extend(rng, path):
    with path.open("ab") as file:
        file.write(rng.randbytes(rng.choice((1, 8, 5000))))


def blank(rng, path):
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data))
    data[at : at + 4096] = bytes(len(data[at : at + 4096]))
    path.write_bytes(data)


def remove(rng, path):
    path.unlink()


def pipe(rng, path):
    path.unlink()
    os.mkfifo(path)


def folder(rng, path):
    path.unlink()
    path.mkdir()


def circle(rng, path):
    path.unlink()
    path.symlink_to(path.name)


def giant(rng, path):
    os.truncate(path, 1 << 40)


def swap(rng, path):
    other = rng.choice([p for p in path.parent.iterdir() if p.is_file() and p != path])
    ours, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(ours)


IN_PLACE = (flip, flip, flip, flip, cut, cut, extend, blank, remove, pipe, folder, circle, giant, swap)


def mutate_in_place(rng, paths):
    """Do one thing to one of the files; returns what."""
    path = rng.choice(sorted(paths))
    how = rng.choice(IN_PLACE)
    how(rng, path)
    return f"{how.__name__} {path.name}"


def forge_tensor(rng, checkpoint):
    """One tensor of another name, shape, type or value; returns what. A reader must refuse each of them."""
    name = rng.choice((MODEL, OPTIMIZER))
    stored = load_file(checkpoint / name)
    tensor = rng.choice(sorted(stored))
    value = stored[tensor]
    shapes = [s for s in ((), (1,), (2,), (0,), (1, 8), (8, 1), (100,), (8, 8, 1)) if s != tuple(value.shape)]
    change = {
        "shape": {tensor: torch.zeros(rng.choice(shapes))},
        "type": {tensor: value.to(rng.choice((torch.int8, torch.float16, torch.float64, torch.int64, torch.bool)))},
        "name": {tensor: None, tensor + "x": value},
        "without": {tensor: None},
        "more": {rng.choice(("a", "exp_avg/a", "h.1.ln_1.weight")): torch.zeros(8)},
        "value": {tensor: torch.full_like(value, rng.choice((torch.inf, -torch.inf)))},
    }
    kind = rng.choice(sorted(change))
    change_tensors(checkpoint / name, change[kind])
    change_state(checkpoint)
    return f"{kind} of {tensor}"


def forge_header(rng, checkpoint):
    """A field of the header of a safetensors file; returns what."""
    path = checkpoint / rng.choice((MODEL, OPTIMIZER))
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    tensor = rng.choice(sorted(header))
    field = rng.choice(("dtype", "shape", "data_offsets"))
    if isinstance(header[tensor], dict):
        offsets = [[0, 4], [-1, 3], [0, 10**18], [8, 0], [0, 2**64], []]
        values = {"dtype": ["I8", "F64", "X", 1], "shape": [[10**9] * 3, [-1], [], [2**63]], "data_offsets": offsets}
        header[tensor][field] = rng.choice(values[field])
    new = json.dumps(header).encode()
    size = rng.choice((len(new), len(new), 0, 2**63, 10**8))
    path.write_bytes(struct.pack("<Q", size) + new + data[8 + length :])
    change_state(checkpoint)
    return f"{field} of {tensor} in the header"


def forge_state(rng, checkpoint):
    """A value of the state; returns what."""
    told = ""

    def change(state):
        nonlocal told
        place, names = state, []
        while True:
            names.append(rng.choice(sorted(place)))
            if not isinstance(place[names[-1]], dict) or not place[names[-1]] or rng.random() < 0.1:
                break
            place = place[names[-1]]
        if rng.random() < 0.1:
            del place[names[-1]]
        else:
            place[names[-1]] = rng.choice(HOSTILE)
        told = f"state's {'.'.join(names)}"

    change_state(checkpoint, change)
    return told


def sign_corpus(corpus):
    """Make the manifest agree with the shards."""
    manifest = CorpusManifest.from_json((corpus / CORPUS_MANIFEST).read_bytes())
    shards = [
        replace(s, bytes=(corpus / s.name).stat().st_size, sha256=file_sha256(corpus / s.name)) for s in manifest.shards
    ]
    (corpus / CORPUS_MANIFEST).write_bytes(replace(manifest, shards=tuple(shards)).to_json())


def forge_shard(rng, corpus):
    """A shard that was written otherwise, or damaged; returns what."""
    path = rng.choice(sorted(corpus.glob("*.arrow")))
    how = rng.choice(("flip", "flip", "flip", "cut", "blank", "lz4", "zstd", "twice", "sliced"))
    if how in {"flip", "cut", "blank"}:
        {"flip": flip, "cut": cut, "blank": blank}[how](rng, path)
    else:
        with pa.ipc.open_file(path.read_bytes()) as reader:
            batch = reader.get_batch(0)
        options = pa.ipc.IpcWriteOptions(compression=how if how in {"lz4", "zstd"} else None)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema, options=options) as writer:
            for _ in range(2 if how == "twice" else 1):
                writer.write_batch(batch.slice(1) if how == "sliced" else batch)
    sign_corpus(corpus)
    return f"{how} {path.name}"


def forge_manifest(rng, corpus):
    """A value of the manifest; returns what."""
    whole = json.loads((corpus / CORPUS_MANIFEST).read_text())
    content = whole["content"]
    if rng.random() < 0.3:
        content["shards"].append(dict(rng.choice(content["shards"])))
        told = "a shard listed twice"
    else:
        place = rng.choice((content, *content["shards"]))
        name = rng.choice(sorted(place))
        place[name] = rng.choice(HOSTILE)
        told = f"the manifest's {name}"
    whole["content_sha256"] = digest_of(content)
    (corpus / CORPUS_MANIFEST).write_text(json.dumps(whole))
    return told


def mutated_checkpoint(run, seed):
    """Mutate the newest checkpoint of a run. Returns what was done, and whether it must change nothing unnoticed."""
    rng = random.Random(seed)
    *older, newest = sorted(run.glob("checkpoint-*"))
    if rng.random() < 0.5:  # else an older one can take its place
        for path in older:
            shutil.rmtree(path)
    how = rng.choice(("in place", "in place", "log", "tensor", "tensor", "header", "state", "state"))
    if how == "in place":
        return mutate_in_place(rng, [newest / name for name in (STATE, MODEL, OPTIMIZER)]), True
    if how == "log":
        return mutate_in_place(rng, [run / "log.jsonl"]), True
    forge = {"tensor": forge_tensor, "header": forge_header, "state": forge_state}[how]
    return f"forged: {forge(rng, newest)}", how != "state"


def mutated_corpus(corpus, seed):
    """Mutate a corpus. Returns what was done, and whether it must change nothing unnoticed."""
    rng = random.Random(seed)
    how = rng.choice(("in place", "shard", "manifest"))
    if how == "in place":
        return mutate_in_place(rng, list(corpus.iterdir())), True
    return f"forged: {(forge_shard if how == 'shard' else forge_manifest)(rng, corpus)}", False
