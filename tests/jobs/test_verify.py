import json
import re
import shutil
from dataclasses import asdict, replace
from hashlib import sha256
from itertools import pairwise

import memory_store
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from verify_command import check

from webtext.jobs import cli
from webtext.pipeline.files import storage
from webtext.pipeline.release import verify
from webtext.schemas import tables
from webtext.schemas.manifest import CorpusManifest, File
from webtext.schemas.records import TokenShard

TRAIN, VAL = "train-00000", "val-00000"


def load(corpus):
    return CorpusManifest.from_json((corpus / "manifest.json").read_bytes())


def edit(corpus, change):
    """Change the JSON of the manifest and leave its digest as it is."""
    path = corpus / "manifest.json"
    whole = json.loads(path.read_bytes())
    change(whole)
    path.write_text(json.dumps(whole))


def restamp(corpus, **changes):
    """Write a manifest that knows of the change: sizes, digests and counts as the files have them."""
    manifest = replace(load(corpus), **changes)

    def facts(name):
        data = (corpus / name).read_bytes()
        return {"bytes": len(data), "sha256": sha256(data).hexdigest()}

    def shard(entry: TokenShard):
        with pa.ipc.open_file(corpus / entry.name) as reader:
            batch = reader.get_batch(0)
        counts = {"documents": batch.num_rows, "tokens": len(batch.column("tokens").values)}
        return replace(entry, **counts, **facts(entry.name))

    def text(entry: File):
        return replace(entry, rows=pq.read_metadata(corpus / entry.name).num_rows, **facts(entry.name))

    manifest = replace(manifest, shards=tuple(map(shard, manifest.shards)), texts=tuple(map(text, manifest.texts)))
    (corpus / "manifest.json").write_bytes(manifest.to_json())


def rewrite_shard(corpus, change, name=TRAIN):
    path = corpus / f"{name}.arrow"
    with pa.ipc.open_file(pa.BufferReader(path.read_bytes())) as reader:
        batch = reader.get_batch(0)
    columns = change({name: batch.column(name) for name in batch.schema.names})
    with pa.ipc.new_file(path, tables.TOKENS) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(list(columns.values()), schema=tables.TOKENS))


def rewrite_text(corpus, column, change, name=TRAIN):
    path = corpus / "text" / f"{name}.parquet"
    table = pq.read_table(path, schema=tables.TEXT)
    at = table.schema.get_field_index(column)
    values = pa.array(change(table[column].to_pylist()), table.schema.field(at).type)
    pq.write_table(table.set_column(at, table.schema.field(at), values), path)


def with_tokens(change):
    def rewritten(columns):
        lists = columns["tokens"]
        values = change(lists.values.to_numpy().copy(), lists.offsets.to_numpy())
        tokens = pa.ListArray.from_arrays(lists.offsets, pa.array(values), type=lists.type)
        return {**columns, "tokens": tokens}

    return rewritten


def test_a_built_corpus_is_sound(miniweb_build, capsys):
    corpus = miniweb_build / "corpus"
    manifest = load(corpus)
    documents, tokens = (sum(getattr(shard, unit) for shard in manifest.shards) for unit in ("documents", "tokens"))
    assert check(corpus, capsys) == (
        0,
        [
            f"ok: {len(manifest.shards)} shards, {documents:,} documents, {tokens:,} tokens, "
            f"sha256 of content {manifest.content_sha256()}"
        ],
    )


def test_a_corpus_in_an_object_store(corpus, capsys):
    far = f"{memory_store.SCHEME}://bucket/corpus"
    for path in corpus.rglob("*.*"):
        storage.publish_bytes(f"{far}/{path.relative_to(corpus)}", path.read_bytes())
    status, [line] = check(far, capsys)
    assert (status, line[:4]) == (0, "ok: ")
    storage.publish_bytes(f"{far}/text/stray", b"x")
    assert check(far, capsys) == (1, ["text/stray: not listed in the manifest"])


def test_progress_ends_at_all_bytes(corpus):
    steps = []
    assert list(verify.problems(str(corpus), lambda read, total: steps.append((read, total)))) == []
    manifest = load(corpus)
    total = sum(entry.bytes for entry in (*manifest.shards, *manifest.texts))
    assert steps[-1] == (total, total)
    assert all(before[0] < after[0] for before, after in pairwise(steps))


@pytest.mark.parametrize("name", [f"{TRAIN}.arrow", f"{VAL}.arrow", f"text/{TRAIN}.parquet"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_flipped_byte_is_found(corpus, capsys, name, share):
    data = bytearray((corpus / name).read_bytes())
    data[int(len(data) * share)] ^= 0x10
    (corpus / name).write_bytes(data)
    status, found = check(corpus, capsys)
    assert status == 1
    stated = next(e.sha256 for e in (*load(corpus).shards, *load(corpus).texts) if e.name == name)
    assert f"{name}: has sha256 {sha256(data).hexdigest()}, the manifest says {stated}" in found


def test_random_damage_is_a_problem_and_never_a_crash(corpus):
    rng = np.random.default_rng(0)
    for name in (f"{VAL}.arrow", f"text/{VAL}.parquet"):
        whole = (corpus / name).read_bytes()
        for _ in range(60):
            data = np.frombuffer(whole, np.uint8).copy()
            # Where the structure is: the head and the footer.
            at = rng.choice([rng.integers(0, 2000), len(data) - 1 - rng.integers(0, 2000)])
            data[at] ^= 1 << rng.integers(8)
            (corpus / name).write_bytes(data.tobytes())
            assert any(line.startswith(f"{name}: ") for line in verify.problems(str(corpus), lambda *_: None))
        (corpus / name).write_bytes(whole)


@pytest.mark.parametrize("name", [f"{TRAIN}.arrow", f"text/{VAL}.parquet"])
def test_a_missing_file_is_named(corpus, capsys, name):
    (corpus / name).unlink()
    assert check(corpus, capsys) == (1, [f"{name}: missing"])


def test_a_cut_file_is_named(corpus, capsys):
    path = corpus / f"{TRAIN}.arrow"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:1000])
    _, [bytes_, digest, content] = check(corpus, capsys)
    assert bytes_ == f"{TRAIN}.arrow: has 1000 bytes, the manifest says {size}"
    assert digest.startswith(f"{TRAIN}.arrow: has sha256 ")
    assert content.startswith(f"{TRAIN}.arrow: can't be read: ")


@pytest.mark.parametrize("name", ["notes.txt", "text/train-00007.parquet", "a/b/c"])
def test_a_stray_file_is_named(corpus, capsys, name):
    (corpus / name).parent.mkdir(parents=True, exist_ok=True)
    (corpus / name).write_bytes(b"x")
    assert check(corpus, capsys) == (1, [f"{name}: not listed in the manifest"])


def test_swapped_files_are_named(corpus, capsys):
    a, b = (corpus / f"{name}.arrow" for name in (TRAIN, VAL))
    one, other = a.read_bytes(), b.read_bytes()
    a.write_bytes(other)
    b.write_bytes(one)
    _, found = check(corpus, capsys)
    for name in (f"{TRAIN}.arrow", f"{VAL}.arrow"):
        assert any(line.startswith(f"{name}: has sha256 ") for line in found)
        assert any(re.match(rf"{name}: has \d+ documents, the manifest says \d+", line) for line in found)


@pytest.mark.parametrize("unit", ["documents", "tokens"])
@pytest.mark.parametrize("digest", [False, True], ids=["digest left", "digest made anew"])
def test_an_edited_count_is_found(corpus, capsys, unit, digest):
    manifest = load(corpus)
    true = getattr(manifest.shards[0], unit)
    if digest:
        shards = (replace(manifest.shards[0], **{unit: true + 1}), *manifest.shards[1:])
        (corpus / "manifest.json").write_bytes(replace(manifest, shards=shards).to_json())
    else:
        edit(corpus, lambda whole: whole["content"]["shards"][0].update({unit: true + 1}))
    status, found = check(corpus, capsys)
    assert status == 1
    assert f"{TRAIN}.arrow: has {true} {unit}, the manifest says {true + 1}" in found
    assert any("it was edited" in line for line in found) is not digest
    assert any(f"stage shards counts {true} train {unit}" in line for line in found)


@pytest.mark.parametrize("stage", ["posts", "links", "pages", "documents", "decisions", "shards"])
@pytest.mark.parametrize("figure", ["taken", "passed", "rows"])
def test_an_open_ledger_is_found(corpus, capsys, stage, figure):
    manifest = load(corpus)
    tally = manifest.stages[stage]
    changed = replace(tally, **{figure: getattr(tally, figure) + 1})
    stages = {**manifest.stages, stage: changed}
    (corpus / "manifest.json").write_bytes(replace(manifest, stages=stages).to_json())
    status, found = check(corpus, capsys)
    assert status == 1
    assert all(line.startswith("manifest.json: ") for line in found)
    assert any(f"stage {stage} " in line for line in found)


def test_a_manifest_that_is_none_stops_the_search(corpus, capsys):
    (corpus / "manifest.json").write_text("{")
    status, [line] = check(corpus, capsys)
    assert status == 1
    assert line.startswith("manifest.json: not a manifest: ")


def test_an_edit_of_the_config_is_found_even_with_a_new_digest(corpus, capsys):
    config = load(corpus).config
    restamp(corpus, config={**config, "shards": {**config["shards"], "seed": 1}})
    _, found = check(corpus, capsys)
    assert any(re.match(rf"text/{TRAIN}.parquet: row \d+ has cluster .* in another split", line) for line in found)
    restamp(corpus, config={})
    _, [line] = check(corpus, capsys)
    assert line.startswith("manifest.json: config has no usable shards.seed")


def test_a_folder_that_is_no_corpus_gets_a_hint(miniweb_build, capsys):
    assert cli.main(["verify", str(miniweb_build)]) == 1
    assert f"did you mean {miniweb_build}/corpus?" in capsys.readouterr().err


# From here on the manifest is made anew after the damage: only a look inside can find it.


def put(at, value):
    def change(values, offsets):
        values[at(offsets)] = value
        return values

    return with_tokens(change)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (put(lambda offsets: offsets[4] - 1, 11), "row 3 is not closed by end-of-text (50256)"),
        (put(lambda offsets: offsets[4] + 5, 50_256), "row 4 has end-of-text (50256) before its end"),
        (put(lambda offsets: offsets[4] + 5, 50_257), "row 4 has a token id over 50256"),
    ],
    ids=["open", "inside", "unknown"],
)
def test_wrong_tokens_are_found(corpus, capsys, change, problem):
    rewrite_shard(corpus, change)
    restamp(corpus)
    _, found = check(corpus, capsys)
    assert f"{TRAIN}.arrow: {problem}" in found
    assert any(line.startswith(f"text/{TRAIN}.parquet: row ") and "decode to" in line for line in found) or (
        "closed" in problem  # what stands in the place of end-of-text is not compared
    )


def test_documents_out_of_order_are_found(corpus, capsys):
    rewrite_shard(corpus, lambda columns: {name: column[::-1] for name, column in columns.items()}, VAL)
    restamp(corpus)
    _, found = check(corpus, capsys)
    assert any(re.match(rf"{VAL}.arrow: row 1 has key \w+, the row before has \w+", line) for line in found)
    assert any(re.match(rf"text/{VAL}.parquet: row 0 has key \w+, its shard \w+", line) for line in found)


def test_a_foreign_url_is_found(corpus, capsys):
    rewrite_shard(
        corpus, lambda columns: {**columns, "url": pa.array(["https://www.none", *columns["url"].to_pylist()[1:]])}
    )
    restamp(corpus)
    _, found = check(corpus, capsys)
    assert any(re.fullmatch(rf"{TRAIN}.arrow: row 0 has key \w+, its URL has none", line) for line in found)
    assert any(
        re.fullmatch(rf"text/{TRAIN}.parquet: row 0 has url http.*, its shard https://www.none", line) for line in found
    )


@pytest.mark.parametrize(
    ("column", "change", "problem"),
    [
        ("text", lambda old: [*old[:2], old[2] + "!", *old[3:]], r"row 2 has a text that is not what the tokens"),
        ("token_count", lambda old: [old[0] + 1, *old[1:]], r"row 0 has token_count \d+, its shard \d+ tokens"),
        ("split", lambda old: ["val", *old[1:]], r"row 0 has split 'val', its shard 'train'"),
        ("cluster", lambda old: [old[1], *old[1:]], r"1 clusters are more than once, the first is \w+"),
    ],
)
def test_an_edited_text_table_is_found(corpus, capsys, column, change, problem):
    rewrite_text(corpus, column, change)
    restamp(corpus)
    status, found = check(corpus, capsys)
    assert status == 1
    assert any(re.match(f"text/{TRAIN}.parquet: {problem}", line) for line in found), found


def test_documents_and_clusters_in_both_splits_are_found(corpus, capsys):
    for name in (f"{TRAIN}.arrow", f"text/{TRAIN}.parquet"):
        shutil.copy(corpus / name.replace(TRAIN, VAL), corpus / name)
    restamp(corpus)
    _, found = check(corpus, capsys)
    documents = load(corpus).shards[1].documents
    assert any(line.startswith(f"{VAL}.arrow: {documents} keys are in {TRAIN}.arrow too") for line in found)
    assert any(
        line.startswith(f"text/{VAL}.parquet: {documents} clusters are in text/{TRAIN}.parquet too") for line in found
    )


def test_a_shard_of_another_schema_or_of_two_batches_is_named(corpus, capsys):
    with pa.ipc.open_file(pa.BufferReader((corpus / f"{VAL}.arrow").read_bytes())) as reader:
        batch = reader.get_batch(0)
    with pa.ipc.new_file(corpus / f"{VAL}.arrow", tables.TOKENS) as writer:
        writer.write_batch(batch.slice(0, 1))
        writer.write_batch(batch.slice(1))
    _, found = check(corpus, capsys)
    assert f"{VAL}.arrow: has 2 record batches, expected 1" in found
    with pa.ipc.new_file(corpus / f"{VAL}.arrow", tables.TOKENS.remove_metadata()) as writer:
        writer.write_batch(batch.replace_schema_metadata(None))
    _, found = check(corpus, capsys)
    assert any(line.startswith(f"{VAL}.arrow: its schema has the metadata None") for line in found)


def test_a_manifest_with_a_text_too_few_or_a_shard_twice(corpus, capsys):
    manifest = load(corpus)
    changed = replace(manifest, shards=(*manifest.shards, manifest.shards[0]))
    assert asdict(changed) != asdict(manifest)
    (corpus / "manifest.json").write_bytes(changed.to_json())
    assert check(corpus, capsys) == (1, [f"manifest.json: {TRAIN}.arrow is listed twice"])
    (corpus / "manifest.json").write_bytes(replace(manifest, texts=manifest.texts[1:]).to_json())
    _, found = check(corpus, capsys)
    assert f"{TRAIN}.arrow: the manifest lists no text/{TRAIN}.parquet with its text" in found
    assert f"text/{TRAIN}.parquet: not listed in the manifest" in found
