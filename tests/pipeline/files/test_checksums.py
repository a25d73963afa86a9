import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.files.checksums import BLOCK, BlockSums, CheckedStream, read_sums

SIZES = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 17]


class DamagedError(Exception):
    pass


def damaged(what):
    raise DamagedError(what)


def sums_of(data, pieces=1):
    sums = BlockSums()
    for at in range(0, len(data), max(1, len(data) // pieces)):
        sums.update(memoryview(data)[at : at + max(1, len(data) // pieces)])
    return sums.text()


def opened(data, written):
    return CheckedStream(io.BytesIO(data), len(written), read_sums(sums_of(written), len(written)), damaged)


@pytest.mark.parametrize("size", SIZES)
def test_pieces_of_any_size_have_the_same_sums(size):
    data = random.Random(size).randbytes(size)
    assert len({sums_of(data, pieces) for pieces in (1, 2, 7, 1000)}) == 1


@given(st.sampled_from(SIZES), st.lists(st.tuples(st.sampled_from(["seek", "end", "read"]), st.integers(0, 4 * BLOCK))))
def test_it_reads_like_the_file_itself(size, steps):
    data = random.Random(size).randbytes(size)
    plain, checked = io.BytesIO(data), opened(data, data)
    for step, number in steps:
        if step == "read":
            assert checked.read(number) == plain.read(number)
        elif step == "seek":
            assert checked.seek(number) == plain.seek(number)
        else:
            assert checked.seek(-min(number, size), io.SEEK_END) == plain.seek(-min(number, size), io.SEEK_END)
        assert checked.tell() == plain.tell()
    assert checked.read() == plain.read()


@given(st.sampled_from(SIZES[1:]), st.data())
def test_no_flipped_bit_is_given_out(size, data):
    written = random.Random(size).randbytes(size)
    bit = data.draw(st.integers(0, 8 * size - 1))
    flipped = bytearray(written)
    flipped[bit // 8] ^= 1 << bit % 8
    stream = opened(bytes(flipped), written)
    start = data.draw(st.integers(0, size))
    stream.seek(start)
    try:
        assert stream.read(data.draw(st.integers(0, 2 * BLOCK))) == written[start : stream.tell()]
    except DamagedError as error:
        block = bit // 8 // BLOCK
        assert str(error).startswith(f"bytes {block * BLOCK} to ")  # noqa: PT017
    stream.seek(0)
    with pytest.raises(DamagedError):
        stream.read()


def test_a_file_of_another_size_is_damaged():
    for data in (b"abc", b"abcde"):
        with pytest.raises(DamagedError, match="but 4 were written"):
            opened(data, b"abcd")


def test_flipped_sums_are_none():
    text = sums_of(b"x" * 3 * BLOCK)
    for at in range(len(text)):
        other = text[:at] + ("a" if text[at] != "a" else "b") + text[at + 1 :]
        with pytest.raises(ValueError, match=r"."):
            read_sums(other, 3 * BLOCK)
    with pytest.raises(ValueError, match="3 checksums for 32769 bytes"):
        read_sums(text, BLOCK + 1)
