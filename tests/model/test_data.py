"""Windows, their order, and what is refused."""

import hashlib
import json
import os
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webtext.model.data import Batches, Corpus, Windows, permute
from webtext.schemas.manifest import CORPUS_MANIFEST, CorpusManifest, file_sha256
from webtext.schemas.vocabulary import END_OF_TEXT

documents = st.lists(st.lists(st.integers(0, 50_255), max_size=30), min_size=1, max_size=12)
corpora = st.lists(documents, min_size=1, max_size=3)


@given(st.integers(1, 3000), st.text(max_size=10))
def test_permute_is_a_bijection(n, key):
    assert sorted(permute(np.arange(n), n, key).tolist()) == list(range(n))


@given(st.integers(1, 2**50), st.text(max_size=5), st.data())
def test_permute_is_the_same_for_one_index_and_for_many(n, key, data):
    index = np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=20)))
    alone = [int(permute(index[i : i + 1], n, key)[0]) for i in range(index.size)]
    assert permute(index, n, key).tolist() == alone
    assert 0 <= min(alone) <= max(alone) < n


def test_permute_sends_each_index_everywhere_equally_often():
    n, keys = 7, 3500
    table = np.stack([permute(np.arange(n), n, f"{key}/0") for key in range(keys)])
    for index in range(n):
        counts = np.bincount(table[:, index], minlength=n)
        chi2 = ((counts - keys / n) ** 2 / (keys / n)).sum()
        assert chi2 < 22.5, counts  # 6 degrees of freedom: p = 0.001


def test_permute_leaves_no_trace_of_neighbourhood():
    n = 100_000
    order = permute(np.arange(n), n, "1337/0").astype(float)
    for lag in (1, 2, 64):
        assert abs(np.corrcoef(order[:-lag], order[lag:])[0, 1]) < 0.015  # 4.7 standard deviations


@given(corpora, st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_windows_are_slices_of_the_shards(make_corpus, shards, length):
    windows = Windows(Corpus.open(make_corpus(shards)), "train", length)
    expected = []
    for shard in shards:
        stream = [token for document in shard for token in (*document, END_OF_TEXT)]
        starts = range(0, len(stream) - length, length)
        expected += [stream[i : i + length + 1] for i in starts]
    assert windows.read(np.arange(len(windows))).tolist() == expected


@given(corpora, st.integers(1, 20))
@settings(max_examples=20, deadline=None)
def test_a_window_names_its_documents(make_corpus, shards, length):
    windows = Windows(Corpus.open(make_corpus(shards)), "train", length)
    expected = []
    for number, shard in enumerate(shards):
        stream = [i for i, document in enumerate(shard) for _ in range(len(document) + 1)]
        for start in range(0, len(stream) - length, length):
            inside = stream[start : start + length + 1]
            expected.append(
                [
                    (
                        f"http://example.com/train/{number}/{row}",
                        f"train-{number:05}.arrow",
                        stream.index(row),
                        inside.count(row),
                    )
                    for row in sorted(set(inside))
                ]
            )
    found = [[(s.url, s.shard, s.offset, s.tokens) for s in windows.spans_of(w)] for w in range(len(windows))]
    assert found == expected


@given(rows=st.integers(1, 40), seed=st.integers(0, 2**40), epochs=st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_every_window_once_an_epoch(counting_corpus, rows, seed, epochs):
    windows = Windows(Corpus.open(counting_corpus), "train", 64)
    n = len(windows)
    batches = Batches(windows, 64 * rows, seed)
    seen = np.concatenate([batches.windows_at(step) for step in range(-(-n * epochs // rows))])
    orders = [seen[epoch * n : (epoch + 1) * n].tolist() for epoch in range(epochs)]
    for order in orders:
        assert sorted(order) == list(range(n))
    assert len({tuple(order) for order in orders}) == epochs


@given(step=st.integers(0, 10**9), world=st.integers(1, 9), each=st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_a_batch_does_not_depend_on_the_number_of_ranks(counting_corpus, step, world, each):
    rows = each * world
    batches = Batches(Windows(Corpus.open(counting_corpus), "train", 64), 64 * rows, seed=3)
    whole = batches.batch(step)
    assert whole.shape == (rows, 65)
    assert whole.dtype == np.int64
    again = np.empty_like(whole)
    for rank in range(world):
        again[rank::world] = batches.batch(step, rank, world)
    assert hashlib.sha256(again.astype("<u2").tobytes()).hexdigest() == batches.digest(step)


def test_the_order_of_a_seed_is_this_one_for_ever(counting_corpus):
    batches = Batches(Windows(Corpus.open(counting_corpus), "train", 16), 16 * 12, seed=1337)
    digests = [batches.digest(step) for step in range(201)]
    assert len(set(digests)) == 201
    assert hashlib.sha256("".join(digests).encode()).hexdigest()[:16] == "4e5cbe0ac8d67c25"


def test_a_batch_is_shared_evenly_or_not_at_all(counting_corpus):
    batches = Batches(Windows(Corpus.open(counting_corpus), "train", 64), 64 * 8, seed=0)
    with pytest.raises(ValueError, match=r"8 windows can't be shared evenly by 3 ranks: start 1 or 2 or 4 of them"):
        batches.batch(0, 0, 3)


def test_a_corpus_smaller_than_a_batch_is_refused(make_corpus):
    windows = Windows(Corpus.open(make_corpus([[[1] * 99]])), "train", 16)
    assert Batches(windows, 16 * 6, 0).rows == 6
    with pytest.raises(ValueError, match=r"is 7 windows, split 'train' has 6: .* Lower batch_tokens to 96 or less"):
        Batches(windows, 16 * 7, 0)


def test_shards_are_not_copied(counting_corpus):
    before = pa.total_allocated_bytes()
    windows = Windows(Corpus.open(counting_corpus), "train", 64)
    assert pa.total_allocated_bytes() == before
    assert not any(shard.tokens.flags.owndata for shard in windows.shards)


@pytest.mark.parametrize("batch_tokens", [0, 63, 65, 100])
def test_batches_are_whole_windows(counting_corpus, batch_tokens):
    with pytest.raises(ValueError, match=f"batch_tokens is {batch_tokens}, not a multiple of n_ctx 64; the nearest is"):
        Batches(Windows(Corpus.open(counting_corpus), "train", 64), batch_tokens, 0)


def test_a_split_without_a_window_is_refused(make_corpus):
    corpus = Corpus.open(make_corpus([[[1, 2, 3]]]))
    with pytest.raises(ValueError, match="split 'train' has 4 tokens in 1 shards"):
        Batches(Windows(corpus, "train", 64), 64, 0)
    with pytest.raises(ValueError, match="split 'val' has 0 tokens in 0 shards"):
        Batches(Windows(corpus, "val", 64), 64, 0)


def test_windows_outside_the_split_are_refused(counting_corpus):
    windows = Windows(Corpus.open(counting_corpus), "train", 64)
    for window in (-1, len(windows)):
        with pytest.raises(IndexError, match=str(window)):
            windows.read(np.array([window]))


def sign(folder):
    """Make the manifest agree with the files."""
    manifest = CorpusManifest.from_json((folder / CORPUS_MANIFEST).read_bytes())
    shards = [
        replace(s, bytes=(folder / s.name).stat().st_size, sha256=file_sha256(folder / s.name)) for s in manifest.shards
    ]
    (folder / CORPUS_MANIFEST).write_bytes(replace(manifest, shards=tuple(shards)).to_json())


class TestRefuses:
    """A corpus that is not what its manifest says."""

    def test_no_manifest(self, tmp_path):
        with pytest.raises(ValueError, match=r"manifest\.json is missing: give the folder"):
            Corpus.open(tmp_path)

    def test_edited_manifest(self, make_corpus):
        folder = make_corpus([[[1, 2, 3]]])
        manifest = json.loads((folder / CORPUS_MANIFEST).read_text())
        manifest["content"]["shards"][0]["tokens"] += 1
        (folder / CORPUS_MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(ValueError, match="it was edited"):
            Corpus.open(folder)

    def test_missing_shard(self, make_corpus):
        folder = make_corpus([[[1, 2, 3]]])
        (folder / "train-00000.arrow").unlink()
        with pytest.raises(ValueError, match=r"train-00000\.arrow is missing, the manifest says \d+ bytes"):
            Corpus.open(folder)

    def test_shard_of_another_size(self, make_corpus):
        folder = make_corpus([[[1, 2, 3]]])
        with (folder / "train-00000.arrow").open("ab") as file:
            file.write(b"x")
        with pytest.raises(ValueError, match=r"train-00000\.arrow has \d+ bytes"):
            Corpus.open(folder)

    @pytest.mark.parametrize("end", [(), (7,), (END_OF_TEXT, 7)])
    def test_document_without_end_of_text(self, make_corpus, end):
        corpus = Corpus.open(make_corpus([[[1, 2, 3], [4]]], end=end))
        with pytest.raises(ValueError, match=f"document 0 does not end with token {END_OF_TEXT}"):
            Windows(corpus, "train", 2)

    def test_empty_document_behind_a_closed_one(self, make_corpus):
        corpus = Corpus.open(make_corpus([[[1, END_OF_TEXT], []]], end=()))
        with pytest.raises(ValueError, match="document 1 does not end"):
            Windows(corpus, "train", 2)

    def test_token_outside_the_vocabulary(self, make_corpus):
        windows = Windows(Corpus.open(make_corpus([[[1, 2, 3, 60_000, 5]]])), "train", 2)
        with pytest.raises(ValueError, match=r"train-00000\.arrow has token 60000"):
            windows.read(np.arange(len(windows)))

    @pytest.mark.parametrize("compression", ["lz4", "zstd"])
    def test_compressed_buffers(self, make_corpus, compression):
        """They are right, and may unpack to any size."""
        folder = make_corpus([[[1] * 5000]])
        path = folder / "train-00000.arrow"
        with pa.ipc.open_file(path.read_bytes()) as reader:
            batch = reader.get_batch(0)
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema, options=options) as writer:
            writer.write_batch(batch)
        sign(folder)
        before = pa.total_allocated_bytes()
        with pytest.raises(ValueError, match=r"train-00000\.arrow is no token shard: its buffers are compressed"):
            Windows(Corpus.open(folder), "train", 2)
        assert pa.total_allocated_bytes() == before

    @pytest.mark.parametrize("batches", [0, 2])
    def test_more_or_fewer_batches(self, make_corpus, batches):
        folder = make_corpus([[[1, 2, 3]]])
        path = folder / "train-00000.arrow"
        with pa.ipc.open_file(path.read_bytes()) as reader:
            batch = reader.get_batch(0)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            for _ in range(batches):
                writer.write_batch(batch)
        sign(folder)
        with pytest.raises(ValueError, match=f"it has {batches} record batches, expected 1"):
            Windows(Corpus.open(folder), "train", 2)

    def test_a_shard_that_is_listed_twice(self, make_corpus):
        folder = make_corpus([[[1, 2, 3]]])
        manifest = CorpusManifest.from_json((folder / CORPUS_MANIFEST).read_bytes())
        (folder / CORPUS_MANIFEST).write_bytes(replace(manifest, shards=manifest.shards * 2).to_json())
        with pytest.raises(ValueError, match=r"manifest\.json: train-00000\.arrow is listed twice"):
            Corpus.open(folder)

    def test_a_flipped_bit(self, make_corpus):
        folder = make_corpus([[[1, 2, 3]]])
        path = folder / "train-00000.arrow"
        data = bytearray(path.read_bytes())
        data[data.rindex(np.array([1, 2, 3, END_OF_TEXT], np.uint16).tobytes())] ^= 4
        path.write_bytes(data)
        corpus = Corpus.open(folder)
        assert Windows(corpus, "train", 2).read(np.arange(1)).tolist() == [[5, 2, 3]]  # as good as any other token
        with pytest.raises(ValueError, match=r"train-00000\.arrow has sha256 .*: it is damaged"):
            corpus.verify()

    def test_a_pipe_in_place_of_the_manifest(self, tmp_path):
        os.mkfifo(tmp_path / CORPUS_MANIFEST)
        with pytest.raises(ValueError, match=r"manifest\.json is no regular file"):
            Corpus.open(tmp_path)

    def test_a_manifest_larger_than_any(self, tmp_path):
        with (tmp_path / CORPUS_MANIFEST).open("wb") as file:
            file.truncate(2**40)  # a hole
        with pytest.raises(ValueError, match="has 1099511627776 bytes, at most 268435456 are read"):
            Corpus.open(tmp_path)

    def test_bytes_that_are_no_arrow_file(self, make_corpus):
        folder = make_corpus([[[1, 2, 3]]])
        path = folder / "train-00000.arrow"
        path.write_bytes(bytes(path.stat().st_size))
        with pytest.raises(ValueError, match=r"train-00000\.arrow is no token shard"):
            Windows(Corpus.open(folder), "train", 2)
