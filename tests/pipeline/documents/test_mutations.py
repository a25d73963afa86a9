"""Hostile pages, archives of other projects and loads beside: every page is a document or has a reason."""

import gzip
import multiprocessing
import random
import time
from functools import partial
from pathlib import Path

import page_mutations
import pytest
import toy_webs

from webtext.pipeline.archives import warc
from webtext.pipeline.archives.warc import RawPage
from webtext.pipeline.documents.sandboxed import make_extractor, request, verdict
from webtext.pipeline.engine.sandbox import Sandbox
from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text.document import Document
from webtext.schemas.records import Loss

SHARED = Path("../shared/data")
SETTINGS = ExtractSettings()
URL = "http://example.org/"


def raw(payload, charset=None):
    return RawPage(URL, 200, "text/html", charset, payload, truncated=False)


def real_pages(step=1):
    found = sorted(SHARED.glob("html/*/html/*.gz"))[::step]
    # Without the real pages, some of the mini web that is shipped.
    return [gzip.decompress(path.read_bytes()) for path in found] or [
        record.content_stream().read() for record in toy_webs.records_of(20)
    ]


def answers(requests, batch=32):
    with Sandbox(partial(make_extractor, SETTINGS), SETTINGS.cpu_seconds, SETTINGS.memory_mib) as sandbox:
        for at in range(0, len(requests), batch):
            yield from sandbox.run(requests[at : at + batch])


def test_mutated_pages_are_documents_or_have_a_reason():
    pages = real_pages(4)
    requests = [request(raw(page_mutations.mutate(pages, seed))) for seed in range(100)]
    found = [verdict(answer) for answer in answers(requests)]
    assert len(found) == 100
    assert any(isinstance(each, Document) for each in found)
    failures = [(seed, each) for seed, each in enumerate(found) if isinstance(each, Loss)]
    assert [x for x in failures if x[1].reason.startswith("extract_")] == []


def test_every_response_of_every_archive_is_a_document_or_has_a_reason():
    files = [path for path in sorted(SHARED.glob("warc/*/*")) if path.is_file()]
    if not files:
        pytest.skip("../shared/data/warc is absent")
    requests = []
    for path in files:
        with path.open("rb") as stream:
            captures = [c for c in warc.index_archive(stream, path.name, 2_000_000) if isinstance(c, warc.Capture)]
            for capture in captures:
                page = warc.read_page(stream, capture.offset, 2_000_000)
                requests.append(request(page))  # what is no page too: images, redirects, errors
    assert len(requests) > 200
    found = [verdict(answer) for answer in answers(requests)]
    assert len(found) == len(requests)
    assert [x for x in found if isinstance(x, Loss) and x.reason.startswith("extract_")] == []


def spin():
    while True:
        pass


def test_order_batches_and_a_busy_machine_do_not_change_a_document():
    pages = real_pages(12)
    requests = [request(raw(page)) for page in pages]
    first = list(answers(requests))
    assert not any(isinstance(answer, Loss) for answer in first)
    order = list(range(len(requests)))
    random.Random(1).shuffle(order)
    loops = [multiprocessing.get_context("fork").Process(target=spin, daemon=True) for _ in range(2)]
    for loop in loops:
        loop.start()
    try:
        again = list(answers([requests[n] for n in order], batch=5))
    finally:
        for loop in loops:
            loop.kill()
            loop.join()
    assert {n: again[at] for at, n in enumerate(order)} == dict(enumerate(first))


def test_a_stuck_page_delays_its_part_by_its_budget_only():
    tag = b"<p " + b"".join(b"a%d " % n for n in range(20)) + b">x</p>"
    stuck = b"<html>" + tag * 20_000  # passes the guards, and takes 1.5 s
    settings = ExtractSettings(cpu_seconds=0.5)
    good = request(raw(real_pages(12)[0]))
    with Sandbox(partial(make_extractor, settings), settings.cpu_seconds, settings.memory_mib) as sandbox:
        [expected] = sandbox.run([good])
        start = time.monotonic()
        before, failed, after = sandbox.run([good, request(raw(stuck)), good])
        waited = time.monotonic() - start
    assert before == after == expected
    assert verdict(failed).reason == "extract_timeout"
    assert waited < 60  # 1 s of CPU time and a new child, on a machine shared with others
