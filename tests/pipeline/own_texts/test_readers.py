"""What is read out of files of texts, and what hostile ones cost."""

import bz2
import gzip
import json
import lzma
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from webtext.pipeline.files.lines import MAX_LINE
from webtext.pipeline.identity import names, urls
from webtext.pipeline.own_texts.readers import read_texts
from webtext.pipeline.own_texts.record import DamagedFileError, Text
from webtext.pipeline.own_texts.settings import TextFields
from webtext.schemas.records import Reason, Rejected

FIELDS = TextFields()
COMPRESS = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}
RECORD = {
    "text": "Some text.",
    "url": "https://Example.org/a?utm_source=x",
    "id": 7,
    "title": "A\x07 title",
    "score": 2.9,
    "date": "2015-03-01T12:00:00Z",
}
NOON = int(datetime(2015, 3, 1, 12, tzinfo=UTC).timestamp())


def read(path, fields=FIELDS, id="the-id"):
    return list(read_texts(str(path), id, fields))


def lines(path, *records):
    path.write_text(
        "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records), "utf-8", "surrogatepass"
    )
    return path


def one(tmp_path, record, fields=FIELDS):
    [found] = read(lines(tmp_path / "one.jsonl", record), fields)
    return found


def reasons(found):
    assert all(row.stage == "texts" and row.reason is Reason.BAD_LINE for row in found if isinstance(row, Rejected))
    return [row.detail if isinstance(row, Rejected) else row.name for row in found]


@pytest.mark.parametrize("ending", COMPRESS)
def test_json_lines_plain_or_compressed(tmp_path, ending):
    path = tmp_path / f"texts.jsonl{ending}"
    path.write_bytes(COMPRESS[ending](json.dumps(RECORD).encode() + b"\r\n\n"))
    [found] = read(path)
    url = "https://example.org/a"
    assert found == Text(urls.link_key(url), url, 2, NOON, "A title", "Some text.")


@pytest.mark.parametrize("ending", COMPRESS)
def test_a_plain_text_file_is_one_document(tmp_path, ending):
    path = tmp_path / f"book.txt{ending}"
    path.write_bytes(COMPRESS[ending](b"\xef\xbb\xbfFirst line\n\n  second line\nlast"))
    [found] = read(path, id="shelf/book.txt")
    assert (found.name, found.text) == ("id:shelf/book.txt", "First line\n\n  second line\nlast")


def test_without_a_known_ending_a_brace_tells_json_lines(tmp_path):
    assert [found.text for found in read(lines(tmp_path / "dump", "", {"text": "a"}, {"text": "b"}))] == ["a", "b"]
    assert [found.text for found in read(lines(tmp_path / "notes", "", "a", "b"))] == ["a\nb"]


@pytest.mark.parametrize(
    "record",
    [
        {"content": "x", "metadata": {"url": "http://a.org/"}},
        {"raw_content": "x", "url": "http://a.org/"},
        {"text": "x", "id": "n", "metadata": {"url": "http://a.org/", "date": "2020"}},  # datatrove
        {"text": "x", "meta": {"url": "http://a.org/"}},
        {"text": "x", "metadata.url": "http://a.org/"},
        {"content": "x", "warc_headers": {"warc-target-uri": "http://a.org/"}},
        {"text": "x", "url": None, "metadata": {"url": "http://a.org/"}},
    ],
)
def test_common_shapes_of_records(tmp_path, record):
    found = one(tmp_path, record)
    assert (found.text, found.name) == ("x", "http://a.org/")


def test_names_of_fields_are_settings(tmp_path):
    fields = TextFields(text=("body",), id=("key.of",), url=())
    found = one(tmp_path, {"body": "x", "text": "y", "key": {"of": "n"}, "url": "http://a.org/"}, fields)
    assert (found.text, found.name) == ("x", "id:n")
    with pytest.raises(ValueError, match="needs a text"):
        TextFields(text=())


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ({"url": "https://a.org/x", "id": "n"}, "https://a.org/x"),
        ({"url": "not a url", "id": "n"}, "id:n"),
        ({"url": 5, "id": 12}, "id:12"),
        ({"id": "http://a.org/"}, "id:http://a.org/"),
        ({"id": True}, names.of_text("x")),
        ({"id": ""}, names.of_text("x")),
        ({}, names.of_text("x")),
    ],
)
def test_identity_is_the_url_else_the_id_else_the_text(tmp_path, record, name):
    found = one(tmp_path, {"text": "x", **record})
    assert (found.name, found.key) == (name, names.key_of(name))


def test_ids_are_safe_to_print_and_stay_apart(tmp_path):
    found = [one(tmp_path, {"text": "x", "id": id}) for id in ("a\x1b[31m", "a\ud800", "a\udbff", "a")]
    assert [text.name for text in found] == ["id:a\\x1b[31m", "id:a\\ud800", "id:a\\udbff", "id:a"]
    assert len({text.key for text in found}) == 4


@pytest.mark.parametrize(
    ("score", "points"),
    [(3, 3), (-2, -2), (2.9, 2), ("4", 0), (True, 0), (None, 0), (1e300, 2**40), (-(10**30), -(2**40))],
)
def test_scores(tmp_path, score, points):
    assert one(tmp_path, {"text": "x", "score": score}).score == points


def test_a_hostile_line_costs_only_itself(tmp_path):
    path = tmp_path / "hostile.jsonl"
    bad = [
        b"{",
        b"[1, 2]",
        b'"text"',
        b'{"id": "no text"}',
        b'{"text": 5}',
        b'{"text": ["a"]}',
        b'{"text": null}',
        b'{"text": " \\n\\u0000 "}',
        b'{"text": "\xff"}',
        b"[" * 100_000,
        b'{"text": ' + b"[" * 100_000,
        b'{"text": "x", "id": "' + b"n" * 5000 + b'"}',
        b'{"text": "' + b"x" * MAX_LINE + b'"}',
    ]
    good = [
        b'{"text": "nan", "score": NaN, "other": -Infinity}',
        b'{"text": "half \\ud83d emoji"}',
        b'{"text": "bell \\u0007"}',
        b'{"text": "deep", "metadata": 5, "meta": [], "title": {}, "score": [], "date": {}}',
        b'{"text": "twice", "text": "last"}',
        b'{"text": "raw \x01 control"}',
        b'{"text": "stray", "other\xff": "\xff", "title": "\xff"}',
        b'{"text": "long", "other": ' + b"9" * 5000 + b"}",
    ]
    path.write_bytes(b"\n".join(line for pair in zip(bad, good * 2, strict=False) for line in pair))
    found = read(path)
    texts = ["nan", "half  emoji", "bell", "deep", "last", "raw  control", "stray", "long"] * 2
    assert [row.text for row in found if isinstance(row, Text)] == texts[: len(bad)]
    assert len([row for row in found if isinstance(row, Rejected)]) == len(bad)
    assert "none of the fields text, content, raw_content" in reasons(found)[6]
    assert [row for row in found if isinstance(row, Rejected)][3].key == names.key_of("id:no text")


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_raise(tmp_path_factory, data):
    for ending in ("jsonl", "txt", "dump", "jsonl.zst"):
        path = tmp_path_factory.getbasetemp() / f"fuzz.{ending}"
        path.write_bytes(data)
        try:
            found = read(path)
        except DamagedFileError:
            continue
        assert all(isinstance(row, Text | Rejected) for row in found)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["text", "url", "id", "title", "score", "date", "metadata"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ),
    )
)
def test_no_record_raises(tmp_path_factory, record):
    path = lines(tmp_path_factory.getbasetemp() / "record.jsonl", record)
    [found] = read(path)
    if isinstance(found, Text):
        assert found.key == names.key_of(found.name)
        assert found.text.encode().decode() == found.text.strip()
        assert isinstance(record["text"] if record.get("text") is not None else None, str)


def test_a_cut_file_tells_its_loss(tmp_path):
    path = tmp_path / "cut.jsonl.gz"
    whole = gzip.compress(b"".join(json.dumps({"text": f"number {n} {n**5}"}).encode() + b"\n" for n in range(10_000)))
    path.write_bytes(whole[:-4000])
    found = []
    with pytest.raises(DamagedFileError, match="end early") as caught:
        found.extend(read_texts(str(path), "x", FIELDS))
    assert caught.value.records == 1


def test_a_plain_text_that_is_none_is_rejected(tmp_path):
    large, latin, empty = (tmp_path / f"{name}.txt" for name in ("large", "latin", "empty"))
    large.write_bytes(b"line of text\n" * (MAX_LINE // 10))
    latin.write_bytes("café".encode("latin-1"))
    empty.write_bytes(b"")
    for path, words in ((large, "has more than"), (latin, "is not UTF-8"), (empty, "empty text")):
        [found] = read(path, id=path.name)
        assert words in found.detail
        assert (found.url, found.key) == (f"id:{path.name}", names.key_of(f"id:{path.name}"))


def test_long_texts_stay_whole(tmp_path):
    text = "word " * 3_000_000
    assert one(tmp_path, {"text": text}).text == text.strip()


def table(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet(tmp_path):
    strings = pa.array(["one", "two", None, ""])
    path = table(
        tmp_path / "texts.parquet",
        text=strings,
        metadata=pa.array([{"url": f"http://a.org/{n}", "other": n} for n in range(4)]),
        score=pa.array([1.5, None, 2.0, 3.0]),
        timestamp=pa.array([datetime(2015, 3, 1, 12)] * 4, pa.timestamp("ns")),
    )
    found = read(path)
    assert [(text.text, text.name, text.score, text.created_utc) for text in found[:2]] == [
        ("one", "http://a.org/0", 1, NOON),
        ("two", "http://a.org/1", 0, NOON),
    ]
    assert [row.url for row in found[2:]] == ["http://a.org/2", "http://a.org/3"]
    assert all(isinstance(row, Rejected) for row in found[2:])


def test_parquet_columns_of_other_types(tmp_path):
    text = pa.array([b"fine", b"\xff not UTF-8"]).view(pa.binary()).cast(pa.binary())
    path = table(
        tmp_path / "odd.pq",
        text=pa.Array.from_buffers(pa.string(), 2, text.buffers()),  # a writer that did not check
        id=pa.array(["a", "b"]).dictionary_encode(),
        title=pa.array([["x"], []]),
        date=pa.array([datetime(2015, 3, 1).date()] * 2),
    )
    good, bad = read(path)
    assert (good.text, good.name, good.created_utc, good.title) == ("fine", "id:a", NOON - 12 * 3600, "")
    assert (bad.url, bad.reason) == ("id:b", Reason.BAD_LINE)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(7)])
def test_parquet_with_binary_columns(tmp_path, kind):
    """As Spark, Impala and Hive of old write strings, without a word on what they are."""
    values = [f"née, {n}".encode() for n in range(2)]
    values = [values[0], b"\xff" + values[1][1:], None]
    path = table(tmp_path / "old.parquet", text=pa.array(values, kind), id=pa.array(values, kind))
    good, latin, none = read(path)
    assert (good.text, good.name) == ("née, 0", "id:née, 0")
    assert (latin.reason, latin.detail) == (Reason.BAD_LINE, "has a text that is not UTF-8")
    assert none.detail.startswith("has none of the fields")


def test_times_of_parquet_are_no_digits_of_a_day(tmp_path):
    times = [datetime(2015, 3, 1, 12), datetime(1970, 8, 22, 8, 5, 4), None]  # 20160304 s after 1970
    path = table(tmp_path / "times.parquet", text=["x"] * 3, date=pa.array(times, pa.timestamp("us")))
    assert [text.created_utc for text in read(path)] == [NOON, 0, 0]


def test_parquet_without_a_text_is_all_lost(tmp_path):
    with pytest.raises(DamagedFileError, match="none of the columns text, content") as caught:
        read(table(tmp_path / "other.parquet", body=["x", "y", "z"]))
    assert caught.value.records == 3


def test_damaged_parquet(tmp_path):
    path = table(tmp_path / "texts.parquet", text=[f"number {n} {n**7}" for n in range(5000)])
    whole = path.read_bytes()
    for damaged, lost in ((whole[:-10], 1), (b"PAR1", 1), (whole[:200] + b"\xff" * 2000 + whole[2200:], 5000)):
        path.write_bytes(damaged)
        found = []
        with pytest.raises(DamagedFileError) as caught:
            found.extend(read_texts(str(path), "x", FIELDS))
        assert caught.value.records == lost


def hostile_tables(folder):
    """(file, rows of it that are read) of small files that unpack to gigabytes."""
    long = "The quick brown fox jumps. " * 60_000
    often = pa.DictionaryArray.from_arrays(pa.array([0] * 500, pa.int32()), [long])
    pq.write_table(pa.table({"text": often}), folder / "dictionary.parquet", compression="zstd")
    pq.write_table(pa.table({"text": [long] * 20}), folder / "plain.parquet", compression="zstd", use_dictionary=False)
    pq.write_table(pa.table({"text": pa.nulls(10_000_000, pa.string())}), folder / "rows.parquet")
    return {"dictionary": 0, "plain": 0, "rows": 100_000}


def test_parquet_that_unpacks_to_gigabytes_is_refused(tmp_path):
    for name, least in hostile_tables(tmp_path).items():
        path, found = tmp_path / f"{name}.parquet", []
        assert path.stat().st_size < 200_000
        with pytest.raises(DamagedFileError, match="over 250 times their bytes, or rows without end") as caught:
            found.extend(read_texts(str(path), "", FIELDS))
        assert least <= len(found)
        assert len(found) + caught.value.records == pq.read_metadata(path).num_rows
