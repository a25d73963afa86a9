"""Small webs out of the shipped mini web, and builds of them: for tests that need the whole recipe."""

import hashlib
import io
import json
from functools import partial
from pathlib import Path

import zstandard
from warcio.archiveiterator import ArchiveIterator
from warcio.warcwriter import WARCWriter

from webtext.pipeline.corpus import build_corpus
from webtext.pipeline.engine.beam_stage import run_stage
from webtext.pipeline.identity.urls import canonicalize, link_key
from webtext.pipeline.inputs import Inputs
from webtext.pipeline.settings import CorpusSettings, LinkSettings, ShardSettings

ROOT = Path(__file__).resolve().parents[2]
MINIWEB = ROOT / "examples" / "miniweb"
SETTINGS = CorpusSettings(
    links=LinkSettings(score_rule="per-post"), shards=ShardSettings(tokens=20_000, val_fraction=0.1), parts=3
)


def posts_of(folder=MINIWEB):
    """The lines of the folder's submissions."""
    data = zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(
        (folder / "submissions.ndjson.zst").read_bytes()
    )
    return data.read().splitlines()


def write_posts(path, lines):
    """A dump of these lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zstandard.compress(b"".join(line + b"\n" for line in lines)))


def records_of(share, folder=MINIWEB):
    """About one in `share` of the records of the folder's archives, chosen by URL, copies with their originals."""
    with_copies = {
        row["url"]: row.get("of", row["url"])
        for row in map(json.loads, (folder / "expected.jsonl").read_text().splitlines())
    }
    for path in sorted(folder.glob("*.warc.gz")):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, no_record_parse=False):
                url = record.rec_headers.get_header("WARC-Target-URI")
                if url is None:
                    continue
                original = with_copies.get(url, url)
                if hashlib.sha256(link_key(canonicalize(original))).digest()[0] % share == 0:
                    record.raw_stream = io.BytesIO(record.raw_stream.read())
                    yield record


def write_archives(folder, records, files):
    """The records dealt out to so many archives."""
    folder.mkdir(parents=True, exist_ok=True)
    streams = [(folder / f"pages-{number}.warc.gz").open("wb") for number in range(files)]
    for number, record in enumerate(records):
        record.raw_stream.seek(0)
        WARCWriter(streams[number % files], gzip=True).write_record(record)
    for stream in streams:
        stream.close()


def build(work, submissions, archives, workers=2, flags=(), settings=SETTINGS):
    """The manifest of a build in the folder `work`."""
    inputs = Inputs.find([str(submissions)], [str(archives)])
    return build_corpus(settings, inputs, str(work), partial(run_stage, flags=flags, workers=workers))


def digests(work):
    """sha256 of each file of the corpus, the manifest left out."""
    corpus = Path(work) / "corpus"
    return {
        str(path.relative_to(corpus)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(corpus.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }
