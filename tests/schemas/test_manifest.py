import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webtext.schemas.manifest import (
    CorpusManifest,
    File,
    ManifestError,
    Receipt,
    StageManifest,
    Tally,
    add_up,
    canonical_json,
    digest_of,
)
from webtext.schemas.records import Reason, TokenShard

counts = st.integers(0, 10**12)
tallies = st.builds(
    Tally,
    taken=counts,
    passed=counts,
    rows=counts,
    rejected=st.dictionaries(st.sampled_from([str(reason) for reason in Reason]), counts, max_size=4),
    counts=st.dictionaries(st.text(max_size=8), counts, max_size=4),
)
names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12)
files = st.builds(File, name=names, bytes=counts, sha256=st.text(max_size=8), rows=counts)
receipts = st.builds(Receipt, names, names, names, tally=tallies, files=st.lists(files, max_size=3).map(tuple))


def corpus():
    return CorpusManifest(
        config={"parts": 4, "links": {"score": 3}},
        stages={"posts": Tally(3, 2, 2, {"bad_url": 1}), "links": Tally(2, 2, 1, {}, {"urls": 1})},
        shards=(TokenShard("train-00000.arrow", "train", 1, 10, 100, "ab"),),
        texts=(File("text/train-00000.parquet", 50, "cd", 1),),
        build={"libraries": {"webtext": "0.1.0"}},
    )


@given(receipts)
def test_receipts_survive_their_json(receipt):
    assert Receipt.from_json(receipt.to_json()) == receipt


@given(st.lists(receipts, max_size=3))
def test_stage_manifests_survive_their_json(found):
    manifest = StageManifest("links", "f", tuple(found))
    assert StageManifest.from_json(manifest.to_json()) == manifest
    assert manifest.digest() == StageManifest.from_json(manifest.to_json()).digest()


@given(st.lists(tallies, max_size=5))
def test_sums_balance_as_their_parts_do(found):
    total = add_up(found)
    assert total.balance() == sum(tally.balance() for tally in found)
    assert total.rows == sum(tally.rows for tally in found)
    assert sum(total.counts.values()) == sum(sum(tally.counts.values()) for tally in found)


def test_a_corpus_manifest_survives_its_json():
    assert CorpusManifest.from_json(corpus().to_json()) == corpus()


def test_the_build_part_is_no_content():
    other = CorpusManifest(**{**vars_of(corpus()), "build": {"libraries": {}}})
    assert other.content_sha256() == corpus().content_sha256()
    changed = CorpusManifest(**{**vars_of(corpus()), "config": {"parts": 5}})
    assert changed.content_sha256() != corpus().content_sha256()


def vars_of(manifest):
    return {name: getattr(manifest, name) for name in ("config", "stages", "shards", "texts", "build")}


def edited(change, sign=True):
    document = json.loads(corpus().to_json())
    change(document["content"])
    if sign:
        document["content_sha256"] = digest_of(document["content"])
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["shards"][0].update(name="../../etc/passwd"), "leaves the folder"),
        (lambda c: c["shards"][0].update(name="/etc/passwd"), "leaves the folder"),
        (lambda c: c["shards"][0].update(name="gs://bucket/x"), "leaves the folder"),
        (lambda c: c["texts"][0].update(name="a\\b"), "leaves the folder"),
        (lambda c: c["texts"][0].update(name=""), "leaves the folder"),
        (lambda c: c["texts"][0].update(name="./a"), "is no plain one"),
        (lambda c: c["texts"][0].update(name="a//b"), "is no plain one"),
        (lambda c: c["texts"][0].update(name="train-00000.arrow"), "train-00000.arrow is listed twice"),
        (lambda c: c["shards"].append(dict(c["shards"][0])), "train-00000.arrow is listed twice"),
        (lambda c: c["shards"][0].update(split="test"), "split is 'test'"),
        (lambda c: c["shards"][0].update(tokens=-1), "tokens is -1"),
        (lambda c: c["shards"][0].update(tokens=True), "tokens is True"),
        (lambda c: c["shards"][0].update(tokens="9"), "tokens is '9'"),
        (lambda c: c["shards"][0].pop("sha256"), "sha256 is None"),
        (lambda c: c.update(shards={}), "shards is dict"),
        (lambda c: c["stages"][0]["rejected"].update(bored=1), "unknown reason 'bored'"),
        (lambda c: c.pop("config"), "config is NoneType"),
    ],
)
def test_hostile_manifests_are_refused(change, message):
    with pytest.raises(ManifestError, match=message):
        CorpusManifest.from_json(edited(change))


def test_an_edit_breaks_the_digest():
    with pytest.raises(ManifestError, match="it was edited"):
        CorpusManifest.from_json(edited(lambda c: c["shards"][0].update(tokens=11), sign=False))
    with pytest.raises(ManifestError, match="it was edited"):
        CorpusManifest.from_json(edited(lambda c: c.update(more=1), sign=False))


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"format": "webtext-corpus/2"}'])
def test_what_is_no_manifest_is_a_manifest_error(data):
    with pytest.raises(ManifestError):
        CorpusManifest.from_json(data)


def test_what_cannot_be_written_again_is_a_manifest_error():
    for text in ("\\ud800", "x" + "\\udc00"):
        data = json.dumps(
            {"format": "webtext-corpus/1", "content": json.loads(corpus().to_json())["content"], "build": {}}
        )
        with pytest.raises(ManifestError, match=r"can't (be written again|encode)"):
            CorpusManifest.from_json(data.replace("train-00000.arrow", text).encode())


def test_canonical_json_ignores_the_order_of_keys():
    assert canonical_json({"b": 1, "a": [2]}) == canonical_json({"a": [2], "b": 1}) == b'{"a":[2],"b":1}'
