"""Archives that are cut, damaged or made to hurt: what is whole is kept, in bounded time and memory."""

import gzip
import io
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from warc_records import FORMS, LIMIT, RECORDS, bad, captures, content, digest, http, index, page, warc

from webtext.pipeline.archives.warc import Capture, Damaged, index_archive, parse_date, read_page
from webtext.schemas.records import Reason, Rejected


@pytest.mark.parametrize("form", FORMS)
def test_truncation_keeps_what_is_whole_and_says_where_it_ends(form):
    data = FORMS[form]
    whole = content(index(data))
    # Where each record is complete, where each has its own member.
    ends = []
    if form in ("plain", "gz per record", "zst per record"):
        pack = {
            "plain": bytes,
            "gz per record": lambda r: gzip.compress(r, mtime=0),
            "zst per record": zstandard.compress,
        }
        end = 0
        for record in RECORDS:
            end += len(pack[form](record))
            ends.append(end)
    for cut in range(1, len(data), 7):
        found = index(data[:cut])
        damaged = bad(found)
        good = content([entry for entry in found if entry not in damaged])
        assert good == whole[: len(good)], cut
        assert len(damaged) <= 1, cut
        if ends:
            assert len(good) >= sum(end <= cut for end in ends), cut
            # The blank lines that end a plain record are not missed.
            slack = 4 if form == "plain" else 0
            assert len(damaged) == (0 if any(end - slack <= cut <= end for end in ends) else 1), cut
        if form == "gz one member":
            there = len(zlib.decompressobj(31).decompress(data[:cut]))
            lengths = [len(record) for record in RECORDS]
            assert len(good) >= sum(sum(lengths[: n + 1]) <= there for n in range(len(lengths))), cut
        if damaged:
            assert found[-1] is damaged[0]
            assert isinstance(damaged[0], Damaged)
            assert "byte" in damaged[0].detail


@pytest.mark.parametrize("form", ["gz per record", "zst per record"])
def test_damage_costs_one_record(form):
    pack = zstandard.ZstdCompressor(write_checksum=True).compress if form.startswith("zst") else gzip.compress
    members = [pack(record) for record in RECORDS]
    whole = content(index(b"".join(members)))
    for broken in range(len(members)):
        for at in range(10, len(members[broken]) - 8, 11):
            flipped = bytearray(members[broken])
            flipped[at] ^= 0x10
            found = content(index(b"".join([*members[:broken], bytes(flipped), *members[broken + 1 :]])))
            others = whole[:broken] + whole[broken + 1 :]
            kept = [entry for entry in found if entry[-1] != Reason.BAD_RECORD]
            assert [entry for entry in kept if entry in others] == others
            assert len(found) - len(kept) <= 1


@pytest.mark.parametrize("data", [b"", b"\n", b"<html>Not found</html>", gzip.compress(b"")])
def test_a_file_without_a_record_is_damaged(data):
    [found] = index(data)
    assert isinstance(found, Damaged)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
@pytest.mark.parametrize("length", [30, 10**12])
def test_a_wrong_length_costs_one_record(pack, length):
    records = [warc(http(page(n)), url=f"http://a.example/{n}") for n in range(3)]
    records[1] = warc(http(page(1)), url="http://a.example/1", Content_Length=length)
    found = index(b"".join(map(pack, records)))
    assert [e.digest if isinstance(e, Capture) else e.reason for e in found] == [
        digest(page(0)),
        Reason.BAD_RECORD,
        digest(page(2)),
    ]
    assert found[1].url == "http://a.example/1"
    assert not isinstance(found[1], Damaged)  # the file is whole


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_junk_after_a_record_that_is_closed_costs_nothing_else(pack):
    records = [warc(http(page(n)), url=f"http://a.example/{n}") for n in range(3)]
    data = pack(b"".join(record + b"junk\n" * 5 for record in records))
    found = index(data)
    expected = [entry for n in range(3) for entry in (digest(page(n)), Reason.BAD_RECORD)]
    assert [e.digest if isinstance(e, Capture) else e.reason for e in found] == expected
    for number, capture in enumerate(captures(found)):
        assert read_page(io.BytesIO(data), capture.offset, LIMIT).payload == page(number)


def test_junk_instead_of_the_end_of_a_record_means_that_its_length_is_wrong():
    first, last = (warc(http(page(n)), url=f"http://a.example/{n}") for n in (0, 1))
    found = index(first.removesuffix(b"\r\n\r\n") + b"junk\n" * 50 + last)
    assert [e.digest if isinstance(e, Capture) else e.reason for e in found] == [Reason.BAD_RECORD, digest(page(1))]


def test_more_records_than_a_file_has_room_for_are_not_read():
    tiny = b"WARC/1.0\r\nContent-Length: 0\r\n\r\n\r\n\r\n"
    found = index(zstandard.compress(tiny * 300_000))
    assert 10_000 < len(found) < 10_200
    assert "the rest is not read" in found[-1].detail
    assert len(index(tiny * 20_000)) == 20_000  # 35 bytes each


def test_a_member_that_gives_thousands_of_times_its_bytes_costs_no_other():
    bomb = zstandard.compress(warc(http(bytes(300_000_000))))
    good = [zstandard.compress(warc(http(page(n)), url=f"http://a.example/{n}")) for n in range(2)]
    found = index(good[0] + bomb + good[1])
    assert [e.digest if isinstance(e, Capture) else e.reason for e in found] == [
        digest(page(0)),
        Reason.BAD_RECORD,
        digest(page(1)),
    ]
    assert "over 250 times its bytes" in found[1].detail


def test_a_header_without_end_ends_before_the_next_record():
    good = warc(http(page(0)), url="http://a.example/0")
    found = index(b"WARC/1.0\r\nX: y\r\n" * 3 + good)
    assert [e.digest if isinstance(e, Capture) else e.reason for e in found] == [Reason.BAD_RECORD] * 3 + [
        digest(page(0))
    ]


def test_nul_padding_is_no_damage():
    first, last = (warc(http(page(n)), url=f"http://a.example/{n}") for n in (0, 1))
    expected = [digest(page(0)), digest(page(1))]
    for pack in (bytes, gzip.compress):
        found = index(pack(first) + bytes(1000) + pack(last) + bytes(70_000))
        assert [entry.digest for entry in found] == expected


@settings(max_examples=300, deadline=None)
@given(form=st.sampled_from(sorted(FORMS)), edits=st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=6))))
def test_hostile_bytes_never_raise(form, edits):
    data = bytearray(FORMS[form])
    for at, patch in edits:
        place = at % len(data)
        data[place : place + len(patch)] = patch
    stream = io.BytesIO(bytes(data))
    for capture in captures(list(index_archive(stream, "a.warc", LIMIT))):
        assert digest(read_page(stream, capture.offset, LIMIT).payload) == capture.digest


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=300), head=st.sampled_from([b"", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"WARC/1.0\r\n"]))
def test_noise_is_one_or_more_bad_records(data, head):
    found = index(head + data)
    assert found
    assert all(isinstance(entry, Rejected) for entry in found)


def test_bombs_use_bounded_memory():
    zeros = bytes(200_000_000)
    bombs = [
        warc(http(gzip.compress(zeros, 1), Content_Encoding="gzip")),
        gzip.compress(warc(http(zeros)), 1),
        zstandard.compress(warc(http(zeros))),
        gzip.compress(b"WARC/1.0\r\nX: " + zeros, 1),
        gzip.compress(RECORDS[1] + zeros, 1) + gzip.compress(RECORDS[2]),
        gzip.compress(b"http://" + zeros, 1),
    ]
    del zeros
    for bomb in bombs:
        tracemalloc.start()
        found = index(bomb)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert found
        assert peak < 40_000_000


def test_a_failing_stream_is_not_a_damaged_archive():
    class Failing(io.BytesIO):
        def read(self, size=-1):
            if self.tell() >= 65536:
                raise OSError("the disk is gone")
            return super().read(size)

    with pytest.raises(OSError, match="the disk is gone"):
        list(index_archive(Failing(FORMS["plain"] * 20), "a.warc", LIMIT))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2020-01-02T03:04:05Z", 1577934245),
        ("2020-01-02T03:04:05.999999Z", 1577934245),
        ("2020-01-02T03:04:05", 1577934245),
        ("2020-01-02T05:04:05+02:00", 1577934245),
        ("20200102030405", 1577934245),
        ("202001020304050000", 1577934245),
        ("2020-01-02T03:04Z", 1577934240),
        ("2020-01-02", 1577923200),
        ("2020", 1577836800),
        ("2016-12-31T23:59:60Z", 1483228800),
        ("1969-01-01T00:00:00Z", 0),
        ("2020-13-02T03:04:05Z", 0),
        ("2020-01-02T25:04:05Z", 0),
        ("0000", 0),
        ("yesterday", 0),
        ("", 0),
    ],
)
def test_dates(text, seconds):
    assert parse_date(text) == seconds


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "data",
    [
        b"\x1f\x8b\x08" * 300_000,
        b"\x28\xb5\x2f\xfd" * 300_000,
        b"WARC/1.0\r\nContent-Length: 999999999\r\n\r\n" * 5000,
        (b"\x1f\x8b\x08\0\0\0\0\0\0\0\0" + b"\x60\xea\x9f\x15" + b"WARC/1.0\r\n") * 50_000,
        gzip.compress(b"") * 50_000,
        (b"a:" + b" 1" * 4000 + b"\n") * 300,
    ],
    ids=["gzip magic", "zstd magic", "long lengths", "members in members", "empty members", "nearly ARC lines"],
)
def test_shapes_made_to_be_slow_are_not(data):
    assert index(data)
