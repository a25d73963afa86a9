"""The GPT-2 byte-pair vocabulary, from ranks that ship with the package: tiktoken is never allowed to download them."""

import base64
import functools
import hashlib
from importlib import resources
from typing import Final

import tiktoken

SIZE: Final = 50_257
END_OF_TEXT: Final = 50_256
RANKS_SHA256: Final = "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930"

# The split pattern of openai/gpt-2 src/encoder.py in tiktoken's possessive form: same pieces, no backtracking.
_PATTERN: Final = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"


@functools.cache
def load() -> tiktoken.Encoding:
    """The GPT-2 encoding. Takes about 0.2 s once per process.

    Raises:
        ValueError: the bundled ranks are not the published ones.
    """
    data = resources.files("webtext.schemas").joinpath("data/gpt2.tiktoken").read_bytes()
    return tiktoken.Encoding(
        name="gpt2",
        pat_str=_PATTERN,
        mergeable_ranks=parse_ranks(data),
        special_tokens={"<|endoftext|>": END_OF_TEXT},
        explicit_n_vocab=SIZE,
    )


def parse_ranks(data: bytes) -> dict[bytes, int]:
    """Ranks from tiktoken's file form, one `base64-token rank` a line, after checking that they are GPT-2's."""
    digest = hashlib.sha256(data).hexdigest()
    if digest != RANKS_SHA256:
        raise ValueError(f"gpt2.tiktoken is damaged: sha256 {digest}, expected {RANKS_SHA256}; reinstall webtext")
    pairs = (line.split() for line in data.splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}
