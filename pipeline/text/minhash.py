"""MinHash signatures of 5-word shingles (Broder 1997), in numpy; each is a valid datasketch MinHash.

Scheme "webtext-1": words are maximal runs of Unicode word characters of the lower-cased text; a word's hash is XXH3-64
of its UTF-8 bytes; a shingle's hash is the base-`_BASE` polynomial of its five word hashes mod 2**64, finished by
MurmurHash3's fmix64, upper half; the 128 permutations are datasketch's scheme "affine32" with seed 1. A text of fewer
than five words has one shingle: all its words. Two signatures are comparable only if they are of one scheme.
"""

import functools
import hashlib
import re

import numpy as np
import numpy.typing as npt
import xxhash

SCHEME = "webtext-1"
PERMUTATIONS = 128
BANDS = 32  # of 4 rows each: finds 87 % of the pairs at 0.5 and 99 % at 0.6; verification removes the surplus
SHINGLE = 5  # words
LEAST_SHINGLES = 20  # of a text that can resemble another; a shorter one has equal texts as its only copies

_WORD = re.compile(r"\w+")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_BLANKED = {code: " " for code in range(128) if not _WORD.match(chr(code))}
_MOST_BLANKED = 16  # different characters that are replaced one by one
_BASE = np.uint64(0x9E3779B97F4A7C15)
_CHUNK = 4096  # shingles that are permuted at once: 2 MB of work space
_PERMUTATIONS_SHA256 = "b14750dd0abf30bb02469d6062895f1dee4f3bf2ef2d0a91310e8dafee9dc551"

Signature = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]


@functools.cache
def _permutations() -> tuple[Signature, Signature]:
    """Multipliers and offsets, shape (128, 1) each. A library that deals others would corrupt the corpus unseen."""
    from datasketch import MinHash  # imports half of scipy, which only those who sign should wait for

    table = MinHash(num_perm=PERMUTATIONS, seed=1, scheme="affine32").permutations
    digest = hashlib.sha256(np.ascontiguousarray(table, dtype="<u4").tobytes()).hexdigest()
    if digest != _PERMUTATIONS_SHA256:
        raise RuntimeError(f"datasketch deals other permutations than scheme {SCHEME} knows: {digest}")
    return table[0][:, None], table[1][:, None]


def fmix64(h: U64) -> U64:
    """MurmurHash3's 64-bit finalizer: every input bit reaches every output bit."""
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return h ^ (h >> np.uint64(33))


def _fmix32(h: Signature) -> Signature:
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


def words(text: str) -> list[str]:
    """What shingles are made of."""
    # The same as finding all matches of _WORD, in half of the time for English.
    text = text.lower()
    if not text.isascii():
        others = set(_NOT_ASCII.findall(text))
        if len(others) > _MOST_BLANKED or any(map(str.isalnum, others)):
            return _WORD.findall(text)
        for character in others:
            text = text.replace(character, " ")
    return text.translate(_BLANKED).split()


def shingles(text: str) -> Signature:
    """Distinct shingle hashes of a text, sorted; none only for a text without words."""
    found = words(text)
    hashes = np.fromiter(map(xxhash.xxh3_64_intdigest, map(str.encode, found)), np.uint64, len(found))
    width = min(SHINGLE, len(found))
    if not width:
        return np.empty(0, np.uint32)
    count = len(found) - width + 1
    total = np.zeros(count, np.uint64)
    for start in range(width):
        total = total * _BASE + hashes[start : start + count]
    combined = np.sort((fmix64(total) >> np.uint64(32)).astype(np.uint32))
    new = np.ones(count, np.bool_)  # by hand: np.unique takes seven times as long for a page
    np.not_equal(combined[1:], combined[:-1], out=new[1:])
    return combined[new]


def sign(hashes: Signature) -> Signature:
    """The signature, shape (128,), of a set of shingle hashes; all ones for the empty set, as in datasketch."""
    multipliers, offsets = _permutations()
    signature = np.full(PERMUTATIONS, 0xFFFFFFFF, np.uint32)
    mixed = _fmix32(hashes)
    for start in range(0, len(mixed), _CHUNK):
        permuted = multipliers * mixed[start : start + _CHUNK] + offsets
        np.minimum(signature, permuted.min(axis=1), out=signature)
    return signature


def signature(text: str) -> Signature:
    """The signature of a text; that of the empty set for a text too short to resemble another."""
    hashes = shingles(text)
    return sign(hashes if len(hashes) >= LEAST_SHINGLES else hashes[:0])


def text_hash(text: str) -> bytes:
    """16 bytes, equal for texts that differ in white space only."""
    return hashlib.blake2b(" ".join(text.split()).encode("utf-8", "replace"), digest_size=16).digest()


def bands(signatures: Signature) -> U64:
    """Band hashes, shape (n, 32), of signatures, shape (n, 128). The band's number is part of its hash."""
    rows = signatures.reshape(-1, BANDS, PERMUTATIONS // BANDS).astype(np.uint64)
    total = np.broadcast_to(np.arange(BANDS, dtype=np.uint64), rows.shape[:2])
    for row in range(rows.shape[2]):
        total = fmix64(total * _BASE + rows[:, :, row])
    return total
