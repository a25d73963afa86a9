import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.release import stage as shards
from webtext.pipeline.settings import ShardSettings
from webtext.schemas import tables, vocabulary

documents = st.lists(st.lists(st.integers(0, 50_255), max_size=20), max_size=20)


def table(rows):
    schema = pa.schema([tables.TOKENS.field(name) for name in ("tokens", "key", "url")])
    keys = [n.to_bytes(16, "big") for n in range(len(rows))]
    return pa.table([rows, keys, [f"u{n}" for n in range(len(rows))]], schema=schema)


@given(documents, documents)
def test_one_contiguous_stream_with_each_document_closed(first, second):
    batch = shards.token_batch([table(first), table(second)])
    assert batch.schema == tables.TOKENS
    expected = [[*tokens, vocabulary.END_OF_TEXT] for tokens in [*first, *second]]
    assert batch.column("tokens").to_pylist() == expected
    assert batch.column("tokens").values.to_pylist() == [token for tokens in expected for token in tokens]
    assert batch.column("url").to_pylist() == [*table(first)["url"].to_pylist(), *table(second)["url"].to_pylist()]


def test_sliced_tables_are_read_from_their_own_start():
    whole = table([[1], [2, 2], [3, 3, 3]])
    batch = shards.token_batch([whole.slice(1)])
    assert batch.column("tokens").to_pylist() == [[2, 2, 50_256], [3, 3, 3, 50_256]]


def test_a_shard_without_documents_is_empty():
    assert shards.token_batch([]).num_rows == 0


@pytest.mark.parametrize(
    ("tokens", "parts", "expected"), [(0, 4, 1), (100, 4, 1), (101, 4, 2), (10_000, 4, 4), (10_000, 400, 100)]
)
def test_shards_follow_the_tokens(tokens, parts, expected):
    assert shards.plan("train", tokens, parts, ShardSettings(tokens=100)).shards == expected


@given(st.integers(1, 30), st.data())
def test_every_part_goes_to_one_shard_of_each_split(parts, data):
    splits = [shards.Split(name, data.draw(st.integers(1, parts))) for name in ("train", "val")]
    names = [f"{n:05d}" for n in range(parts)]
    made = shards.shard_parts(splits, [f"{n}.documents" for n in names], [f"{n}.decisions" for n in names])
    for split in splits:
        mine = [part for part in made if part.name.startswith(split.name)]
        assert len(mine) == split.shards
        for kind in ("documents", "decisions"):
            assert [path for part in mine for path in part.inputs[kind]] == [f"{n}.{kind}" for n in names]
            assert all(len(part.inputs[kind]) > 0 for part in mine)


def test_values_are_mapped_without_a_copy(tmp_path):
    batch = shards.token_batch([table([[7, 8], [9]])])
    path = tmp_path / "train-00000.arrow"
    with path.open("wb") as sink, pa.ipc.new_file(sink, tables.TOKENS) as writer:
        writer.write_batch(batch)
    with pa.memory_map(str(path)) as source:
        before = pa.total_allocated_bytes()
        values = pa.ipc.open_file(source).get_batch(0).column("tokens").values.to_numpy(zero_copy_only=True)
        assert values.tolist() == [7, 8, 50_256, 9, 50_256]
        assert pa.total_allocated_bytes() - before < 1000
        assert values.dtype == np.uint16
