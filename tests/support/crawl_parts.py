"""The stage `fetch` on links of the loopback site, without an engine. Worker processes and a benchmark import it."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import loopback_site
import msgspec
from given_tables import write_table

from webtext.pipeline.archives import warc
from webtext.pipeline.engine import packed
from webtext.pipeline.engine.stage import (
    Shuffle,
    Stage,
    complete,
    emit_blocks,
    numbered,
    receipts_of,
    run_shuffled_part,
)
from webtext.pipeline.files import tabular
from webtext.pipeline.identity import urls
from webtext.pipeline.pages.crawl.settings import FetchSettings
from webtext.pipeline.pages.crawl.spool import JOURNAL, PREFIX, Entry
from webtext.pipeline.pages.crawl.stage import _RECORD, FetchPlan, emit_fetch, run_fetch, targets_of
from webtext.schemas import tables
from webtext.schemas.records import Reason

PARTS = 2
DELAY = 0.1
SETTINGS = FetchSettings(
    contact="crawl@example.org",
    delay=DELAY,
    max_delay=5.0,
    backoff=0.1,
    revisits=1,
    revisit_delay=0.5,
    connect_seconds=6.0,  # a busy machine takes seconds for a good page; hosts that never answer are waited for idly
    read_seconds=6.0,
    total_seconds=10.0,
    ports=(),
    years=1.0,
    allow_private=True,
)
LOST = {Reason.SOFT_404, Reason.MODIFIED_LATER}  # pages that were got, and stored, but are no more what was linked to


def write_links(path, found):
    write_table(path, tables.LINKS, [(urls.link_key(url), url, 3, 1_500_000_000, []) for url in found])


def fetch_stage(work, settings=SETTINGS, parts=PARTS):
    """The stage as the recipe makes it, on the links tables in `work`."""
    links = tuple(sorted(str(path) for path in Path(work).glob("*.links.parquet")))
    folder = str(Path(work) / "fetch")

    def shuffle(fingerprint):
        plan = FetchPlan(settings, 2_000_000, links, folder, fingerprint)
        sources = numbered({"links": [path]} for path in links)
        return Shuffle(sources, partial(emit_fetch, parts), partial(run_fetch, plan), bytes=0)

    stage = Stage(
        name="fetch",
        folder=folder,
        settings={},
        inputs=links,
        parts=numbered([{}] * parts),
        run=shuffle(""),
        unit="links",
    )
    return replace(stage, run=shuffle(stage.fingerprint))


def run_part(stage, part):
    """What an engine does with one part."""
    blocks = [
        block
        for source in stage.shuffle.sources
        for ordinal, block in emit_blocks(stage.shuffle, frozenset([part.ordinal]), source)
    ]
    run_shuffled_part(stage, (part.ordinal, blocks))


def run_stage(stage):
    """Without an engine: all parts that are not done, one after the other."""
    done = receipts_of(stage)
    for part in stage.parts:
        if part.name not in done:
            run_part(stage, part)
    return complete(stage)


def crawl_of(work, port):
    """The stage on all links of the site, in two tables."""
    found = [urls.canonicalize(target.url) for target in loopback_site.targets(port)]
    Path(work).mkdir(parents=True, exist_ok=True)
    for number in range(2):
        write_links(Path(work) / f"{number:05d}.links.parquet", found[number::2])
    return fetch_stage(work)


def rows_of(work):
    rows = {}
    for path in sorted((work / "fetch").glob("*.captures.parquet")):
        for row in tabular.read_columns(str(path)).to_pylist():
            assert row["url"] not in rows
            rows[row["url"]] = row | {"archive": str(path).replace(".captures.parquet", ".warc.gz")}
    return rows


def page_at(row):
    with open(row["archive"], "rb") as stream:
        return warc.read_page(stream, row["offset"], 10_000_000)


def site_page(url):
    host = {host.address: host for host in loopback_site.hosts()}[urls.host_of(url)]
    return loopback_site.page_of(host, urls.path_of(url))


def journalled(stage):
    """URLs that a journal has as finished, and not only until the next run."""
    found = set()
    blocks = [
        block
        for source in stage.shuffle.sources
        for block in emit_blocks(stage.shuffle, frozenset(part.ordinal for part in stage.parts), source)
    ]
    for part in stage.parts:
        path = Path(stage.folder) / f"{PREFIX}{part.name}" / JOURNAL
        if path.exists():
            mine = [block for ordinal, block in blocks if ordinal == part.ordinal]
            links = [path for source in stage.shuffle.sources for path in source.inputs["links"]]
            targets = targets_of(packed.gather(mine, _RECORD), links)
            entries = [
                msgspec.json.decode(line.split(b" ", 1)[1], type=Entry) for line in path.read_bytes().split(b"\n")[1:-1]
            ]
            found |= {targets[entry.row].url for entry in entries if not entry.again}
    return found
