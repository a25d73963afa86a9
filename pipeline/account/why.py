"""What became of one URL: its records out of the tables of every stage of a build, and one verdict.

Nothing is computed again: what a stage wrote is what is told. The tables of links, pages, documents and decisions are
partitioned by link key, so one part of each is read; posts, their refusals and captures lie by input file or domain, so
all of them are searched, with the columns and rows that are not needed left out.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from webtext.pipeline import flow
from webtext.pipeline.engine import exchange, packed, workdir
from webtext.pipeline.engine.stage import REJECTED, URL_KEPT, paths_of
from webtext.pipeline.files import storage, tabular
from webtext.pipeline.identity import names, urls
from webtext.pipeline.release import stage as shards
from webtext.schemas import tables
from webtext.schemas.manifest import ManifestError, StageManifest
from webtext.schemas.records import Reason

KEPT: Final = "kept"
NOT_LINKED: Final = "not_linked"
NOT_GIVEN: Final = "not_given"
NOT_A_URL: Final = "not_a_url"
UNDECIDED: Final = "undecided"

EXPLANATIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        KEPT: "The document is in the corpus.",
        NOT_LINKED: "No post and no list names this URL.",
        NOT_GIVEN: "No record has this URL or id.",
        NOT_A_URL: "This is no URL that a link could have, and no post gave it as one.",
        UNDECIDED: "The build has not come so far.",
        **{reason: f"{reason.words[0].upper()}{reason.words[1:]}." for reason in Reason},
    }
)
"""A sentence for people, by verdict: one for every Reason and for each verdict that is none."""

ARCHIVES: Final = "archives"
FETCHED: Final = "fetched"
COMMON_CRAWL: Final = "Common Crawl"
"""Where a capture is from."""

_OWN = ((flow.FETCH, FETCHED), (flow.COMMONCRAWL, COMMON_CRAWL))  # stages that write archives of their own
_CAPTURES = 10  # captures told of one URL
_ELSEWHERE = "the page that a redirect or revisit leads to"
_OF_ANOTHER = (Reason.DUPLICATE_POST, Reason.DUPLICATE_ID)  # refusals of one record where another goes on


@dataclass(frozen=True, slots=True)
class Post:
    """One post that passed the rules for posts."""

    id: str
    subreddit: str
    score: int
    created_utc: int
    title: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row of a rejected table."""

    stage: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class LinkScore:
    """The link that the posts made."""

    url: str  # may differ from the one asked for as urls.page_name allows
    score: int
    rule: str
    threshold: int


@dataclass(frozen=True, slots=True)
class Capture:
    """One response of the URL in the archives, or one attempt to fetch it."""

    captured_utc: int
    status: int  # 0 for no answer
    content_type: str
    verdict: str  # a Reason, or "" for one that can be a page
    archive: str
    offset: int  # -1 where nothing is stored
    chosen: bool
    source: str = ARCHIVES
    detail: str = ""  # of a failed fetch, or where a redirect or revisit leads


@dataclass(frozen=True, slots=True)
class Text:
    """What extraction made of the page."""

    title: str
    characters: int
    tokens: int  # without end-of-text
    language_probability: float


@dataclass(frozen=True, slots=True)
class Copy:
    """Another document of the cluster, and its similarity to the kept one."""

    url: str
    similarity: float
    reason: str  # a Reason, or "" for the kept document


@dataclass(frozen=True, slots=True)
class Place:
    """Where the document stands in the corpus."""

    shard: str  # file name in the corpus folder
    split: str
    row: int
    offset: int  # of its first token in the shard's token stream
    tokens: int  # end-of-text included


@dataclass(slots=True)
class Story:
    """All that a build knows of one URL. The fields of its JSON form have these names."""

    asked: str
    url: str = ""  # canonical; "" if it can't be parsed
    key: str = ""  # hex
    verdict: str = UNDECIDED
    explanation: str = ""
    known: bool = False  # whether a post, a list or an archive has it
    posts: list[Post] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)  # in the order of the stages
    link: LinkScore | None = None
    captures: list[Capture] = field(default_factory=list)  # the best first, at most ten
    captures_found: int = 0
    text: Text | None = None
    copy_of: Copy | None = None
    copies: list[Copy] = field(default_factory=list)  # that this document displaced
    place: Place | None = None
    stages_missing: list[str] = field(default_factory=list)  # which have not finished

    def to_object(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


class Build:
    """The work directory of a build, finished or not."""

    def __init__(self, work: str) -> None:
        """Open it.

        Raises:
            FileNotFoundError: no build has ever begun there.
            ManifestError: its build.json is damaged.
        """
        claim = workdir.read_claim(work)
        if claim is None:
            raise FileNotFoundError(f"{work} is no work directory of a build: it has no {workdir.CLAIM}")
        self.work = work
        self.settings = claim
        self.parts: int = self.settings["parts"]
        self.archives = [storage.Found.of_line(line).path for line in self.settings["input archives"]]
        self.of_texts = flow.TEXTS_CLAIM in self.settings  # not of links
        self.flow = flow.passed(self.of_texts, self.settings.get("dedup.paragraphs"))
        self.beside = (  # stages of this build that no link passes, but captures come from
            *([flow.FETCH] if "input live web" in self.settings else []),
            *([] if self.of_texts else [flow.CAPTURES]),
            *([flow.INDEX, flow.COMMONCRAWL] if "input crawl index" in self.settings else []),
        )
        self._stages: dict[str, StageManifest | None] = {}

    def stage(self, name: str) -> StageManifest | None:
        """The manifest of a stage, or None if it has not finished."""
        if name not in self._stages:
            try:
                self._stages[name] = workdir.finished(self.work, name)
            except (OSError, ManifestError):
                self._stages[name] = None
        return self._stages[name]

    def files(self, stage: str, ending: str) -> list[str]:
        """Paths of a finished stage's files with this ending; none before."""
        manifest = self.stage(stage)
        return [] if manifest is None else paths_of(self.work, manifest, ending)

    def part(self, stage: str, ordinal: int, ending: str) -> list[str]:
        """The one file of this part, or none if the stage has not finished."""
        return self.files(stage, ending)[ordinal : ordinal + 1]


def tell(build: Build, asked: str) -> Story:
    """The story of one URL."""
    story = Story(asked, stages_missing=[name for name in (*build.flow, *build.beside) if build.stage(name) is None])
    try:
        story.url = names.find_name(asked) if build.of_texts else urls.canonicalize(asked)
    except ValueError as error:
        story.refusals = list(_refusals(build, None, 0, asked))
        story.known = bool(story.refusals)
        story.verdict = Reason.BAD_URL if story.known else NOT_A_URL
        story.explanation = f"{EXPLANATIONS[story.verdict]} It {error}."
        return story
    key = names.key_of(story.url)
    story.key = key.hex()
    hi, _ = packed.split_keys([key])
    ordinal = int(packed.part_of(hi, build.parts)[0])
    story.refusals = list(_refusals(build, key, ordinal, asked))
    _tell_posts(build, story, key, ordinal)
    _tell_captures(build, story, key, ordinal)
    split = _tell_document(build, story, key, ordinal)
    _tell_copies(build, story, key)
    if split:
        story.place = _place(build, key, ordinal, split)
    story.known = bool(story.posts or story.refusals or story.captures or story.text)
    story.verdict, story.explanation = _verdict(build, story, split)
    return story


Found = Iterator[tuple[int, dict[str, Any]]]  # row number, columns
_IN_THIS_THREAD: Final = pa.ipc.IpcReadOptions(use_threads=False)


def _rows(path: str, columns: list[str], by: list[str], matches: Callable[[pa.Table], pa.ChunkedArray]) -> Found:
    """The rows whose columns `by` match. The other columns are read only of row groups that have such a row."""
    start = 0
    with tabular.open_parquet(path) as table:
        for group in range(table.num_row_groups):
            found = np.flatnonzero(matches(table.read_row_group(group, by, use_threads=False)).to_numpy())
            if len(found):
                rows = table.read_row_group(group, columns, use_threads=False).take(pa.array(found)).to_pylist()
                yield from zip((start + found).tolist(), rows, strict=True)
            start += table.metadata.row_group(group).num_rows


def _with_key(path: str, columns: list[str], key: bytes) -> Found:
    return _rows(path, columns, ["key"], lambda table: _equal(table["key"], key))


def _equal(keys: Any, key: bytes) -> Any:
    return pc.equal(keys, pa.scalar(key, keys.type))


def _refusals(build: Build, key: bytes | None, ordinal: int, asked: str) -> Iterator[Refusal]:
    """Every rejected row of the URL. A row without a key is known by the URL as it was posted."""
    own = f"{ordinal:05d}.{REJECTED}"

    def matches(table: pa.Table) -> Any:
        as_posted = pc.and_(_equal(table["key"], b""), pc.equal(table["url"], asked[:URL_KEPT]))
        return as_posted if key is None else pc.or_(as_posted, _equal(table["key"], key))

    for step in flow.steps(build.of_texts).values():
        for path in build.files(step.name, own if step.by_key else REJECTED) if step.refuses else ():
            for _, row in _rows(path, ["stage", "reason", "detail"], ["key", "url"], matches):
                yield Refusal(**row)


def _tell_posts(build: Build, story: Story, key: bytes, ordinal: int) -> None:
    columns = list(Post.__dataclass_fields__)
    for path in build.part(flow.LINKS, ordinal, flow.LINKS_TABLE):
        for _, row in _with_key(path, ["url", "score", "posts"], key):
            story.posts = [Post(**post) for post in row["posts"]]
            rule, threshold = build.settings["links.score_rule"], build.settings["links.score"]
            story.link = LinkScore(row["url"], row["score"], rule, threshold)
    if story.link is None:  # refused, or not merged yet: the posts are where they were read to
        found: list[Post] = []
        for batch in exchange.read(build.files(flow.POSTS, flow.POSTS_FILE), ordinal, build.parts):
            mine = batch.filter(_equal(batch.column("key"), key))
            found += [Post(**post) for post in mine.select(columns).to_pylist()]
        story.posts = sorted(set(found), key=lambda post: (post.created_utc, post.id))


def _tell_captures(build: Build, story: Story, key: bytes, ordinal: int) -> None:
    chosen, captured = None, 0
    for path in build.part(flow.PAGES, ordinal, flow.PAGES_TABLE):
        for _, row in _with_key(path, ["archive", "offset", "captured_utc"], key):
            chosen, captured = (row["archive"], row["offset"]), row["captured_utc"]
    columns = ["captured_utc", "status", "content_type", "verdict", "offset"]
    leads = {
        (path.removesuffix(flow.DETOURS_TABLE), row["offset"]): row["told"]
        for path in build.files(flow.CAPTURES, flow.DETOURS_TABLE)
        for _, row in _with_key(path, ["offset", "told"], key)
    }
    found = []
    for archive, path in zip(build.archives, build.files(flow.CAPTURES, flow.CAPTURES_TABLE), strict=False):
        for _, row in _with_key(path, columns, key):
            detail = leads.get((path.removesuffix(flow.CAPTURES_TABLE), row["offset"]), "")
            found.append(Capture(**row, archive=archive, chosen=(archive, row["offset"]) == chosen, detail=detail))
    failures = {refusal.reason: refusal.detail for refusal in story.refusals if refusal.stage == flow.FETCH}
    for stage, source in _OWN:
        for path in build.files(stage, flow.CAPTURES_TABLE):
            archive = path.removesuffix(flow.CAPTURES_TABLE) + flow.ARCHIVE
            for _, row in _with_key(path, columns, key):
                detail = failures.get(row["verdict"], "") if source == FETCHED else ""
                mine = chosen is not None and row["offset"] == chosen[1] and _is_own(build, chosen[0], archive)
                found.append(Capture(**row, archive=archive, chosen=mine, source=source, detail=detail))
    if chosen is not None and not any(capture.chosen for capture in found):
        found.append(Capture(captured, 200, "", "", *chosen, chosen=True, detail=_ELSEWHERE))
    posted = min((post.created_utc for post in story.posts), default=0)

    def rank(c: Capture) -> tuple[object, ...]:
        failed = c.verdict != ""
        # Of what is no page, the failed fetch explains the most.
        return (not c.chosen, failed, failed and c.source != FETCHED, abs(c.captured_utc - posted), c.archive, c.offset)

    found.sort(key=rank)
    story.captures, story.captures_found = found[:_CAPTURES], len(found)


def _is_own(build: Build, named: str, archive: str) -> bool:
    """Whether a page's archive is this one of the build's own, also if the work directory was moved since."""
    return named not in build.archives and named.split("/")[-2:] == archive.split("/")[-2:]


def _tell_document(build: Build, story: Story, key: bytes, ordinal: int) -> str:
    """Tell the document, and return the split that it is in, if any."""
    columns = ["title", "length", "token_count", "language_probability"]
    stages = [stage for stage in build.flow if stage in {flow.DOCUMENTS, flow.PARAGRAPHS}]
    for stage in stages:
        for path in build.part(stage, ordinal, flow.DOCUMENTS_TABLE):
            for at, row in _with_key(path, columns, key):
                story.text = Text(row["title"], row["length"], row["token_count"], row["language_probability"])
                if stage != stages[-1]:
                    continue
                for decisions in build.part(flow.DECISIONS, ordinal, flow.DECISIONS_TABLE):
                    with tabular.open_parquet(decisions) as table:
                        return str(table.read(["split"], use_threads=False)["split"][at].as_py())
    return ""


def _tell_copies(build: Build, story: Story, key: bytes) -> None:
    def matches(table: pa.Table) -> Any:
        return pc.or_(_equal(table["key"], key), _equal(table["kept_key"], key))

    columns = ["key", "url", "kept", "kept_url", "similarity", "reason"]
    for path in build.files(flow.CLUSTERS, flow.CLUSTERS_TABLE):
        for _, row in _rows(path, columns, ["key", "kept_key"], matches):
            if row["key"] != key:
                story.copies.append(Copy(row["url"], row["similarity"], row["reason"]))
            elif not row["kept"]:
                story.copy_of = Copy(row["kept_url"], row["similarity"], row["reason"])


def _place(build: Build, key: bytes, ordinal: int, split: str) -> Place | None:
    """The row of the document in its shard: each shard takes a range of the documents parts, see shards.shard_parts."""
    manifest = build.stage(flow.SHARDS)
    if manifest is None:
        return None
    names = [receipt.part for receipt in manifest.receipts if receipt.part.startswith(f"{split}-")]
    starts = [build.parts * number // len(names) for number in range(len(names))]
    name = names[max(number for number, start in enumerate(starts) if start <= ordinal)] + shards.TOKENS
    path = storage.join(build.work, flow.CORPUS, name)
    with storage.open_binary(path) as stream, pa.ipc.open_file(stream, options=_IN_THIS_THREAD) as reader:
        batch = reader.get_batch(0)
    row = pc.index(batch.column("key"), pa.scalar(key, tables.KEY)).as_py()
    if row < 0:
        missing = f"{path} has no document with key {key.hex()}"
        raise ValueError(f"{missing}, which stage {flow.DECISIONS} kept: build it again")
    start, end = batch.column("tokens").offsets[row : row + 2].to_pylist()
    return Place(name, split, row, start, end - start)


def _verdict(build: Build, story: Story, split: str) -> tuple[str, str]:
    if story.place:
        return KEPT, f"The document is in the {story.place.split} split of the corpus."
    stops = {*story.stages_missing, *(refusal.stage for refusal in story.refusals)}
    reached = {
        flow.TEXTS: story.text is not None or flow.DOCUMENTS in stops,
        flow.POSTS: bool(story.posts),
        flow.LINKS: story.link is not None,
        flow.PAGES: any(capture.chosen for capture in story.captures),
        flow.DOCUMENTS: story.text is not None,
        flow.PARAGRAPHS: flow.PARAGRAPHS not in stops,
        flow.DECISIONS: split != "",
        flow.SHARDS: False,
    }
    stopped = next(stage for stage in build.flow if not reached[stage])
    if stopped in story.stages_missing:
        return UNDECIDED, f"{EXPLANATIONS[UNDECIDED]} Stage {stopped} has not finished."
    final = [refusal.reason for refusal in story.refusals if refusal.stage == stopped]
    if stopped == flow.TEXTS and not final:
        return NOT_GIVEN, EXPLANATIONS[NOT_GIVEN]
    if stopped == flow.POSTS and not final:
        archived = " It is in the archives, though." if story.captures else ""
        return NOT_LINKED, EXPLANATIONS[NOT_LINKED] + archived
    final = [reason for reason in final if reason not in _OF_ANOTHER] or final
    if not final:
        raise ValueError(f"{story.url} came to stage {stopped} and has no record there: its tables are damaged")
    return final[-1], EXPLANATIONS[final[-1]]
