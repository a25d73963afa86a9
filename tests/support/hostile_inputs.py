"""Hostile archives, dumps, texts and pages by seed, and what reads them, bytes to bytes, in a sandbox."""

import bz2
import gzip
import io
import lzma
import random
import tempfile
import time
from functools import partial
from pathlib import Path

import page_mutations
import zstandard

from webtext.pipeline.archives import warc
from webtext.pipeline.documents.extract import extract_page, load_models
from webtext.pipeline.files.lines import TruncatedInputError
from webtext.pipeline.links.dumps import Post, read_posts
from webtext.pipeline.links.rules import Lists, select_post
from webtext.pipeline.opt_outs import licence, tdmrep
from webtext.pipeline.opt_outs.page import of_page
from webtext.pipeline.opt_outs.robots_rules import RobotsRules, decode_text
from webtext.pipeline.own_texts.readers import read_texts
from webtext.pipeline.own_texts.record import DamagedFileError, Text
from webtext.pipeline.own_texts.settings import TextFields
from webtext.pipeline.settings import ExtractSettings, LinkSettings
from webtext.pipeline.text import walls
from webtext.pipeline.text.judge import judge
from webtext.schemas.records import Loss, Rejected

KINDS = ("archive", "dump", "text", "page")
LIMIT = 2_000_000  # bytes of an input, and of a page
_gzip = partial(gzip.compress, mtime=0)
_UNPACKED = 50_000_000  # bytes that go into a compression
_UNITS = (
    *(b" ", b"\n", b"\r\n", b"\0", b"a", b"-", b".", b"0", b"<", b"=", b'"', b"%61", b"&amp;", b"//", b"\xa0"),
    *(b"\xe5\xad\x97", b"&#9", b"<!--", b"<meta ", b"index.html/", b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08"),
    *(b"a-", b"a.", b"a@a.", b"[1", b'."', b" " * 999 + b"x", b"WARC/1.0\r\n", b"charset=", b"{", b"["),
    *(b"http://a.b/?a=1\n", b"a: - - x 0\n\n", b"{}\n", b"a\n"),
)
_PACKERS = (bytes, bytes, _gzip, zstandard.compress, bz2.compress, lzma.compress)


def _run(rng, most):
    """One unit, or two in turns, many times."""
    unit = b"".join(rng.sample(_UNITS, rng.choice((1, 1, 2))))
    return unit * (int(most * 10 ** -rng.uniform(0, 3)) // len(unit) + 1)


def _field(rng):
    return _run(rng, 60_000).replace(b"\n", b" ").replace(b"\r", b" ")[:60_000]


def _record(rng):
    body = rng.choice((b"", b"<html>" + _run(rng, LIMIT)))
    coding = rng.choice((b"", b"gzip", b"br", b"zstd", b"gzip, gzip, gzip"))
    if coding.startswith(b"gzip"):
        body = _gzip(body)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=%b\r\n" % rng.choice((b"utf-8", _field(rng)))
    if coding:
        head += b"Content-Encoding: %b\r\n" % coding
    block = head + b"\r\n" + body
    length = rng.choice((len(block), len(block), len(block) // 2, 10**12, 0))
    url = rng.choice((b"http://a.b/c", b"http://a.b/" + _field(rng)))
    fields = b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: %b\r\nContent-Length: %d\r\n\r\n" % (url, length)
    return fields + block + b"\r\n\r\n" + rng.choice((b"", b"", b"junk\r\n"))


def _archive(rng):
    pieces = [rng.choice((_record, _record, lambda rng: _run(rng, LIMIT)))(rng) for _ in range(rng.choice((1, 3, 10)))]
    pack = rng.choice(_PACKERS[:4])
    if rng.random() < 0.5:
        return b"".join(map(pack, pieces))
    return pack(b"".join(pieces) * rng.choice((1, _UNPACKED // sum(map(len, pieces)) + 1)))


def _lines(rng, line):
    long = rng.choice((line, line, lambda rng: _run(rng, LIMIT)))(rng)
    return rng.choice(_PACKERS)((long + b"\n") * rng.choice((1, 3, min(10**6, _UNPACKED // (len(long) + 1)) + 1)))


def _post(rng):
    url = (b"http://a.b/" + _field(rng)[:4000] + rng.choice((b"/x/amp", b"", b"/index.html"))).decode("latin-1")
    return b'{"id": "a", "score": 9, "created_utc": 1400000001, "is_self": false, "url": "%b"}' % (
        url.replace("\\", "").replace('"', "").replace("\0", "").encode()
    )


def _json_text(rng):
    text = _run(rng, LIMIT).decode("utf-8", "ignore").replace("\\", "").replace('"', "").replace("\0", "")
    return b'{"text": "%b"}' % " ".join(text.splitlines()).encode()


def _page(rng):
    if rng.random() < 0.5:
        return b"<html><title>404 not found</title><p>" + _run(rng, LIMIT)
    page = b"<html><head><meta name=robots content=all><title>Not found</title><body>" + b"<p>Some text.</p>" * 50
    return page_mutations.mutate([page], rng.randrange(10**9))


def generate(seed):
    """Hostile input number `seed`: its kind and a blank before its bytes."""
    rng = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    match kind:
        case "archive":
            data = _archive(rng)
        case "dump":
            data = _lines(rng, _post)
        case "text":
            data = _lines(rng, _json_text)
        case _:
            data = _page(rng)
    return kind.encode() + b" " + data[:LIMIT]


def make_reader():
    """What reads such an input to its end and says what it cost, and how many records were taken and refused."""
    load_models()
    lists = Lists.load(LinkSettings())

    def archive(data):
        found = list(warc.index_archive(io.BytesIO(data), "x", LIMIT))
        pages = warc.PageReader(io.BytesIO(data), LIMIT)
        for capture in (each for each in found if isinstance(each, warc.Capture)):
            pages.read(capture.offset)
        return found

    def dump(data):
        found = []
        try:
            for post in read_posts(io.BytesIO(data), "x", 3):
                found.append(select_post(post, LinkSettings(), lists) if isinstance(post, Post) else post)
        except TruncatedInputError as error:
            found.append(error)
        return found

    def text(data):
        found = []
        settings = ExtractSettings(language_probability=0, filters="gopher,c4,fineweb", mask=True)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.jsonl"
            path.write_bytes(data)
            try:
                for each in read_texts(str(path), "x", TextFields()):
                    found.append(judge(each.text, settings) if isinstance(each, Text) else each)
            except DamagedFileError as error:
                found.append(error)
        return found

    def page(data):
        walls.gone(data[:65_536].decode("utf-8", "replace"))
        list(of_page([("Content-Usage", "train-ai=n," + data[:65_536].decode("latin-1"))], b"noai" + data))
        target = "/" + "a" * 4000
        robots = decode_text(b"User-agent: *\nContent-Usage: /" + data[:100] + b"\nDisallow: /" + data[:500_000])
        rules = RobotsRules.parse(robots, "webtext")
        rules.allows(target)
        for found in (rules.opt_outs, tdmrep.parse(decode_text(data[:500_000])).of):
            list(found(target))
        list(licence.parse(data[:500_000], "a.example", "robots.txt line 1: License: /").of(target))
        return [extract_page(data, ExtractSettings())]

    readers = {"archive": archive, "dump": dump, "text": text, "page": page}

    def read(payload):
        kind, data = payload.split(b" ", 1)
        start = time.process_time()
        found = readers[kind.decode()](data)
        rejected = sum(isinstance(each, Rejected | Loss) for each in found)
        return b"%.2f s of CPU, %d taken, %d rejected" % (time.process_time() - start, len(found), rejected)

    return read
