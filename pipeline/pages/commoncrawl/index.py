"""Common Crawl's columnar index: which rows are captures of our links.

Each file is read a row group at a time, the column of hosts first, and nothing else where no link has one of them. Only
rows of hosts that links have are looked at, and of those only the first half of the link key is compared: the filter
has 8 bytes for each link and each host. What matches goes into one Arrow file for some index files together, whose
record batches go round the hash ranges of the link keys, as those of stage `posts` do: URLs and file names never pass
through an engine's shuffle.

Source: https://commoncrawl.org/columnar-index (names and meaning of the columns).
"""

import base64
import binascii
import gzip
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from webtext.pipeline.archives.http_payload import is_html, media_type
from webtext.pipeline.engine import exchange, packed
from webtext.pipeline.engine.stage import Part, PartOutput
from webtext.pipeline.files import storage, tabular
from webtext.pipeline.flow import INDEX, ROBOTS_FOUND
from webtext.pipeline.identity import urls
from webtext.pipeline.pages.commoncrawl import ranges
from webtext.pipeline.pages.commoncrawl.ranges import RangeReader
from webtext.pipeline.pages.commoncrawl.settings import CommonCrawlSettings
from webtext.schemas import tables
from webtext.schemas.records import Reason, Rejected

MATCHED = ".matches.arrow"

_REQUIRED: Final = ("url", "fetch_time", "fetch_status", "warc_filename", "warc_record_offset", "warc_record_length")
_HOST: Final = "url_host_name"
_OPTIONAL: Final = (
    _HOST,
    "content_mime_type",
    "content_mime_detected",
    "content_digest",
    "content_truncated",
)
_BATCH: Final = 65_536  # rows of the index that are looked at together
_MAX_RECORD: Final = 32 * 2**20  # bytes: the crawler cuts payloads at 1 MiB, since 2025 at 5 MiB
_FILE: Final = re.compile(r"[A-Za-z0-9_=+-][A-Za-z0-9._=+-]*(/[A-Za-z0-9_=+-][A-Za-z0-9._=+-]*)*")
# Hosts that are spelt alike in the index and in canonical URLs. All others (IP addresses, IDN, ...) are not judged.
_PLAIN_HOST: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.[a-z][a-z0-9-]*")


_SETTLED: Final = pa.array(["", Reason.ROBOTS_DISALLOWED.value, Reason.MINING_REFUSED.value])

U64 = npt.NDArray[np.uint64]


def find_index(settings: CommonCrawlSettings) -> tuple[storage.Found, ...]:
    """The files of the columnar index, in order of their paths. Files at URLs are not asked for before they are read.

    A name that ends in .paths or .paths.gz is a list of files behind the prefix, as Common Crawl publishes one for each
    crawl (crawl-data/CC-MAIN-*/cc-index-table.paths.gz); of those only the files of `subset=warc` hold pages, and
    those of `subset=robotstxt` what their sites said.

    Raises:
        OSError: a pattern names no file, or a list can't be read.
        ValueError: there is no index, a URL has wildcards, or the prefix does not end in a slash.
    """
    if not settings.prefix.endswith("/"):
        raise ValueError(f"the prefix {settings.prefix!r} must end in a slash: file names are put right behind it")
    if not settings.index:
        raise ValueError("Common Crawl needs its index: give the files of a columnar index, or a .paths list of them")
    found: dict[str, storage.Found] = {}
    with closing(RangeReader(settings)) as reader:
        for pattern in settings.index:
            if pattern.endswith((".paths", ".paths.gz")):
                names = _lines_of(reader, pattern)
                wanted = (name for name in names if "subset=" not in name or _SUBSETS.search(name))
                entries = [_named(settings.prefix + name) for name in wanted]
            else:
                entries = [_named(pattern)] if ranges.is_http(pattern) else storage.expand([pattern])
            found.update((entry.path, entry) for entry in entries)
    return tuple(found[path] for path in sorted(found))


_SUBSETS: Final = re.compile("subset=(?:warc|robotstxt)/")


def _named(path: str) -> storage.Found:
    if "*" in path:
        raise ValueError(f"{path!r}: a web server lists no files; give a .paths list instead of a wildcard")
    return storage.Found(path, 0, 0.0)


def _lines_of(reader: RangeReader, path: str) -> list[str]:
    with ranges.open_binary(reader, path) as stream:
        data = stream.read()
    text = (gzip.decompress(data) if path.endswith(".gz") else data).decode("ascii")
    return [line.strip() for line in text.splitlines() if line.strip()]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which links to look for: a range of hashes."""

    links: tuple[str, ...]  # link tables
    others: tuple[str, ...]  # capture tables: what is usable there is not wanted
    digest: str  # of what these files hold


class _Filter(NamedTuple):
    """Sorted hashes of what is wanted: 8 bytes for each link and each host."""

    keys: U64  # first halves of the link keys
    hosts: U64  # of the hosts without www.


@lru_cache(maxsize=1)
def _filter(wanted: Wanted) -> _Filter:
    have_hi, have_lo = _usable(wanted.others)
    keys: list[U64] = []
    hosts: set[int] = set()
    for path in wanted.links:
        for batch in tabular.batches(path, ["key", "url"], rows=_BATCH):
            hi, lo = packed.split_keys(batch["key"].to_pylist())
            mask = np.ones(len(hi), bool)
            if len(have_hi):
                at = np.minimum(np.searchsorted(have_hi, hi), len(have_hi) - 1)
                # Two usable captures with the same first half: the link is looked for again, which costs no more.
                mask = (have_hi[at] != hi) | (have_lo[at] != lo)
            keys.append(hi[mask])
            names = pc.unique(pc.replace_substring_regex(batch["url"], r"^[a-z]+://([^/:]*).*$", r"\1")).to_pylist()
            hosts.update(_host_hash(name) for name in names)
    return _Filter(
        np.unique(np.concatenate(keys)) if keys else np.empty(0, np.uint64),
        np.sort(np.fromiter(hosts, np.uint64, len(hosts))),
    )


def _usable(paths: Sequence[str]) -> tuple[U64, U64]:
    """Both halves of the keys that need no other capture, in order of the first.

    They have a page, or the site refused it: a refusal is an answer, which an old capture must not get around.
    """
    halves: list[tuple[U64, U64]] = []
    for path in paths:
        for batch in tabular.batches(path, ["key", "verdict"], rows=_BATCH):
            halves.append(packed.split_keys(batch.filter(pc.is_in(batch["verdict"], _SETTLED))["key"].to_pylist()))
    if not halves:
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    hi, lo = (np.concatenate(columns) for columns in zip(*halves, strict=True))
    order = np.lexsort((lo, hi))
    return hi[order], lo[order]


def _host_hash(host: str) -> int:
    # Both sides lose www. in the same way, also where link_key keeps it (www.com): the filter may only let more pass.
    return xxhash.xxh3_64_intdigest(host.removeprefix("www.").encode())


def _contains(among: U64, values: U64) -> npt.NDArray[np.bool_]:
    if not len(among):
        return np.zeros(len(values), bool)
    found: npt.NDArray[np.bool_] = among[np.minimum(np.searchsorted(among, values), len(among) - 1)] == values
    return found


def run_index(
    part: Part,
    output: PartOutput,
    *,
    settings: CommonCrawlSettings,
    wanted: Sequence[Wanted],
    groups: int,
    parts: int,
) -> None:
    """Stage `index`: files of the columnar index to the rows that are captures of links. Inputs: the files.

    There are `groups` such parts in each round. The ledger counts these rows; `index_rows` and the counts beside it
    tell of all others.
    """
    links = _filter(wanted[part.ordinal // groups])
    with (
        exchange.publish_rows(output, part.name + MATCHED, tables.MATCHES, parts) as rows,
        exchange.publish_rows(output, part.name + ROBOTS_FOUND, tables.MATCHES, 1) as robots,
        closing(RangeReader(settings)) as reader,
    ):
        for row in (row for path in part.inputs["index"] for row in _matching_rows(reader, path, links, output)):
            entry = _entry(*row)
            if urls.is_robots_txt(row[1]) and not isinstance(entry, Rejected):
                robots.add(*entry)
            if not _contains(links.keys, packed.split_keys([row[0]])[0])[0]:
                continue
            output.taken += 1
            if isinstance(entry, Rejected):
                output.reject(entry)
                continue
            rows.add(*entry)
            output.passed += 1
    output.rows = output.passed
    if robots.rows:
        output.counts["robots_txt"] = robots.rows


def _matching_rows(
    reader: RangeReader, path: str, wanted: _Filter, output: PartOutput
) -> Iterator[tuple[bytes, str, Mapping[str, Any]]]:
    """(link key, canonical URL, row) of the rows whose key begins like that of a link, and of its host's robots.txt."""
    try:
        with ranges.open_binary(reader, path) as stream, pq.ParquetFile(stream, pre_buffer=False) as table:
            names = table.schema_arrow.names
            missing = [column for column in _REQUIRED if column not in names]
            if missing:
                raise ValueError(f"{path}: no columnar index of Common Crawl: it has no column {missing[0]!r}")
            columns = [column for column in (*_REQUIRED, *_OPTIONAL) if column in names]
            for group in range(table.num_row_groups):
                if _HOST in names and not _has_host(table, group, wanted.hosts):
                    for count in ("index_rows", "index_rows_of_other_hosts"):
                        output.counts[count] += table.metadata.row_group(group).num_rows
                    continue
                for batch in table.iter_batches(_BATCH, [group], columns, use_threads=False):
                    yield from _matching_rows_in(batch, wanted, output)
    except pa.ArrowException as error:
        raise ValueError(f"{path}: not a Parquet file that can be read: {error}") from error


def _has_host(table: pq.ParquetFile, group: int, hosts: U64) -> bool:
    """Whether a row group has a row that may be wanted: by one column of a dozen, and the one that is the smallest."""
    batches = table.iter_batches(_BATCH, [group], [_HOST], use_threads=False)
    return any(_may_be_wanted(host, hosts) for batch in batches for host in pc.unique(batch[_HOST]).to_pylist())


def _matching_rows_in(
    batch: pa.RecordBatch, wanted: _Filter, output: PartOutput
) -> Iterator[tuple[bytes, str, Mapping[str, Any]]]:
    output.counts["index_rows"] += batch.num_rows
    places = np.arange(batch.num_rows)
    if _HOST in batch.schema.names:
        # Hosts come sorted, so a batch has few; what is left is a small share of the index.
        hosts = pc.dictionary_encode(batch[_HOST], null_encoding="encode")
        pass_host = np.array([_may_be_wanted(host, wanted.hosts) for host in hosts.dictionary.to_pylist()], bool)
        places = places[pass_host[hosts.indices.to_numpy(zero_copy_only=False)]]
        output.counts["index_rows_of_other_hosts"] += batch.num_rows - len(places)
    found: list[tuple[bytes, str]] = []
    kept: list[int] = []
    for place, url in zip(places.tolist(), batch["url"].take(pa.array(places)).to_pylist(), strict=True):
        try:
            canonical = urls.canonicalize(url or "")
        except ValueError:
            output.counts["index_rows_with_bad_url"] += 1
            continue
        found.append((urls.link_key(canonical), canonical))
        kept.append(place)
    if not found:
        return
    hi, _ = packed.split_keys([key for key, _ in found])
    of_host = [urls.is_robots_txt(url) and _has(wanted.hosts, urls.host_of(url)) for _, url in found]
    hits = np.flatnonzero(_contains(wanted.keys, hi) | np.array(of_host, bool)).tolist()
    chosen = batch.take(pa.array([kept[hit] for hit in hits], pa.int64()))
    if chosen.schema.field("fetch_time").type != pa.int64():
        seconds = pa.timestamp("s", getattr(chosen["fetch_time"].type, "tz", None))
        times = pc.cast(chosen["fetch_time"], seconds, safe=False).cast(pa.int64())
        chosen = chosen.set_column(chosen.schema.get_field_index("fetch_time"), "fetch_time", times)
    for hit, row in zip(hits, chosen.to_pylist(), strict=True):
        yield *found[hit], row


def _may_be_wanted(host: str | None, hosts: U64) -> bool:
    if host is None or not _PLAIN_HOST.fullmatch(host):
        return True
    return _has(hosts, host)


def _has(hosts: U64, host: str) -> bool:
    return bool(_contains(hosts, np.array([_host_hash(host)], np.uint64))[0])


def _entry(key: bytes, url: str, row: Mapping[str, Any]) -> tuple[Any, ...] | Rejected:
    """A row of tables.MATCHES. Index files are hostile: what could lead out of the archives is refused."""
    file, offset, length = row["warc_filename"], row["warc_record_offset"], row["warc_record_length"]
    if not isinstance(file, str) or not _FILE.fullmatch(file):
        return Rejected(INDEX, Reason.BAD_RECORD, key, url, f"file name {file!r} in the index")
    if not isinstance(offset, int) or not isinstance(length, int) or offset < 0 or not 0 < length <= _MAX_RECORD:
        return Rejected(INDEX, Reason.BAD_RECORD, key, url, f"bytes {offset!r} + {length!r} of {file} in the index")
    status = row["fetch_status"] or 0
    kind = next((t for t in (_type(row.get("content_mime_type")), _type(row.get("content_mime_detected"))) if t), "")
    # The record decides when it is read; here only what needs no reading is sorted out. The second argument stands
    # for a page whose type is not stated.
    verdict = Reason.HTTP_STATUS if status != 200 else "" if is_html(kind, b"<html>") else Reason.NOT_HTML
    return (
        key,
        url,
        max(0, row["fetch_time"] or 0),
        status,
        kind,
        str(verdict),
        _digest(row.get("content_digest")),
        row.get("content_truncated") or "",
        file,
        offset,
        length,
    )


def _type(value: str | None) -> str:
    return media_type((value or "").encode())  # "unk", which stands for none, is no type either


def _digest(value: str | None) -> bytes:
    try:
        return base64.b32decode((value or "").removeprefix("sha1:"))[:16].ljust(16, b"\0")
    except binascii.Error:
        return bytes(16)
