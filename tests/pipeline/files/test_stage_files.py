import pyarrow as pa
import pytest
from given_tables import write_table

from webtext.pipeline.files import tabular
from webtext.pipeline.files.stage_files import StageFileError, open_stage_file, withdraw

SCHEMA = pa.schema([("n", pa.int64())])


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "stage" / "00003.numbers.parquet"
    write_table(path, SCHEMA, [(n,) for n in range(20_000)])
    (path.parent / "manifest.json").write_bytes(b"{}")
    return path


def names(table):
    return sorted(path.name for path in table.parent.iterdir())


def test_what_is_whole_is_read(table):
    assert tabular.read_columns(str(table))["n"].to_pylist() == list(range(20_000))
    assert len(names(table)) == 3


@pytest.mark.parametrize("place", [0.0, 0.3, 0.99])
def test_a_flipped_bit_is_named_and_its_receipt_withdrawn(table, place):
    data = bytearray(table.read_bytes())
    data[int(place * len(data))] ^= 16
    table.write_bytes(data)
    with pytest.raises(StageFileError, match=r"stage/00003\.numbers\.parquet is damaged: bytes .* not as written"):
        tabular.read_columns(str(table))
    assert names(table) == [table.name]
    with pytest.raises(StageFileError, match="its receipt is"):  # by who comes later
        open_stage_file(str(table))


def test_a_file_or_receipt_that_is_gone_or_spoilt_is_damage(table):
    receipt = table.with_name("00003.receipt.json")
    whole = receipt.read_bytes()
    spoilt = (b"", b"{}", whole.replace(b"00003.numbers", b"00003.mumbers"), whole.replace(b'"bytes":', b'"bytes":1'))
    for data in (*spoilt, whole.replace(b'parquet":"', b'parquet":"AAAA'), b"\xff" + whole):
        receipt.write_bytes(data)
        with pytest.raises(StageFileError, match=r"its receipt .*00003\.receipt\.json can't be read"):
            open_stage_file(str(table))
        assert not receipt.exists()
    receipt.write_bytes(whole)
    table.unlink()
    with pytest.raises(StageFileError, match="it is missing"):
        open_stage_file(str(table))


def test_nothing_is_touched_beside_a_file_of_somebody_else(tmp_path):
    for name in ("archive.warc.gz", "manifest.json"):
        (tmp_path / name).write_bytes(b"mine")
    assert not withdraw(str(tmp_path / "archive.warc.gz"))
    assert (tmp_path / "manifest.json").read_bytes() == b"mine"
