import socket
from itertools import pairwise

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from webtext.schemas import vocabulary


def test_size_and_known_ids():
    encoding = vocabulary.load()
    assert encoding.n_vocab == vocabulary.SIZE
    assert encoding.encode_ordinary("Hello world") == [15496, 995]
    assert encoding.decode([vocabulary.END_OF_TEXT]) == "<|endoftext|>"
    assert vocabulary.SIZE <= 2**16


@given(st.text(max_size=200))
def test_text_survives(text):
    encoding = vocabulary.load()
    assert encoding.decode(encoding.encode_ordinary(text)) == text


def test_end_of_text_in_a_document_is_only_text():
    ids = vocabulary.load().encode_ordinary("a<|endoftext|>b")
    assert vocabulary.END_OF_TEXT not in ids


def test_damaged_ranks_are_refused():
    with pytest.raises(ValueError, match=r"gpt2\.tiktoken is damaged: sha256 .*, expected 306cd27f"):
        vocabulary.parse_ranks(b"IQ== 0\n")


def test_the_network_is_never_tried(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was tried")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    vocabulary.load.cache_clear()
    assert vocabulary.load().encode_ordinary("Hello world") == [15496, 995]


# The split pattern as openai/gpt-2 src/encoder.py has it.
PUBLISHED = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def oracle(text):
    """Byte-pair encoding as the paper describes it: merge the pair of the lowest rank until none is left."""
    ranks = vocabulary.load()._mergeable_ranks
    ids = []
    for piece in PUBLISHED.findall(text):
        parts = [bytes([byte]) for byte in piece.encode()]
        while len(parts) > 1:
            pairs = [(ranks.get(a + b, vocabulary.SIZE), i) for i, (a, b) in enumerate(pairwise(parts))]
            rank, i = min(pairs)
            if rank == vocabulary.SIZE:
                break
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        ids += [ranks[part] for part in parts]
    return ids


@given(st.text(max_size=60) | st.text("aeit '\n\t0١東é.,", max_size=60))
@example("It's 3,000 naïve  façades…\n\n\tx = y\u00a0+ 1  ")
@example("東京 🎉 don't WE'LL 12345678")
def test_ids_are_those_of_plain_byte_pair_encoding(text):
    assert vocabulary.load().encode_ordinary(text) == oracle(text)
