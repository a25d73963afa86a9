import numpy as np
import pyarrow as pa
import pytest
import toy_documents

from webtext.pipeline.engine import exchange
from webtext.pipeline.engine.stage import Stage, numbered, paths_of

SCHEMA = pa.schema([pa.field("n", pa.int64()), pa.field("word", pa.string())])


def write(folder, tables, parts, room=exchange.ROUND):
    def run(part, output):
        with exchange.publish(output, part, SCHEMA, parts, room) as file:
            for numbers in tables:
                rows = np.array(numbers, np.int64)
                file.add(pa.table({"n": rows, "word": [f"w{n}" for n in numbers]}), rows % parts)

    done = toy_documents.run_here(Stage(folder.name, str(folder), {}, (), numbered([{}]), run, "rows"))
    [path] = paths_of(str(folder.parent), done, exchange.ENDING)
    assert paths_of(str(folder.parent), done, exchange.ENDING, filled=True) == [path] * any(tables)
    assert [file.rows for file in done.named("")] == [sum(map(len, tables))]
    return path


@pytest.mark.parametrize("room", [1, 2**20])
def test_each_part_reads_its_own_rows_in_the_order_of_writing(tmp_path, room):
    first = write(tmp_path / "a", [[3, 1, 5], [], [2, 7]], 2, room)
    second = write(tmp_path / "b", [[9, 4]], 2, room)
    for part, expected in enumerate([[2, 4], [3, 1, 5, 7, 9]]):
        found = [row for batch in exchange.read([first, second], part, 2) for row in batch.to_pylist()]
        assert found == [{"n": n, "word": f"w{n}"} for n in expected]


def test_columns_are_read_alone_and_an_empty_file_gives_nothing(tmp_path):
    path = write(tmp_path / "a", [[1, 2]], 1)
    [batch] = exchange.read([path], 0, 1, ["word"])
    assert batch.to_pydict() == {"word": ["w1", "w2"]}
    assert list(exchange.read([write(tmp_path / "empty", [], 3)], 2, 3)) == []
