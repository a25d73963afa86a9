"""`webtext build`: Reddit submissions, URL lists or texts in, GPT-2 token shards out."""

from dataclasses import asdict, dataclass, field
from typing import Annotated

import tyro

from webtext.jobs.engine import EngineFlags
from webtext.jobs.terminal import say
from webtext.pipeline.own_texts.settings import TextFields
from webtext.pipeline.pages.commoncrawl.settings import CommonCrawlSettings
from webtext.pipeline.pages.crawl.settings import FetchSettings
from webtext.pipeline.settings import CorpusSettings


@dataclass(frozen=True)
class FetchFlags(FetchSettings):
    """Ask the live web for the pages of the links. Switched on by --fetch.contact."""

    contact: str = ""
    """E-mail address or URL at which the owner of a site can reach you. Sent with every request; switches this on."""
    opt_outs: Annotated[str, tyro.conf.Suppress] = "all"
    """Those of --opt-outs, which holds for every source."""

    def __post_init__(self) -> None:
        """Without contact nothing is fetched, and the other flags are refused."""
        if self.contact:
            super().__post_init__()
        elif asdict(self) != {name: flag.default for name, flag in self.__dataclass_fields__.items()}:
            raise ValueError("flags --fetch.* are given, but not --fetch.contact, without which nothing is fetched")

    def settings(self, opt_outs: str) -> FetchSettings | None:
        """None where nothing is to be fetched."""
        return FetchSettings(**asdict(self) | {"opt_outs": opt_outs}) if self.contact else None


@dataclass(frozen=True)
class BuildConfig(EngineFlags):
    """Build a corpus. A build that was stopped continues with the same command.

    Beam's own flags follow after --, for example: -- --runner=FlinkRunner --flink_master=host:8081
    """

    work: str
    """Folder of the build: a local path, or gs://... or s3://... for an engine with many machines."""
    submissions: tuple[str, ...] = ()
    """Reddit submissions: NDJSON dumps, tables (CSV, TSV) whose header names url and score, OpenWebText2's lists, plain
    or compressed: paths or glob patterns."""
    urls: tuple[str, ...] = ()
    """Plain URL lists, one URL a line: paths or glob patterns."""
    warcs: tuple[str, ...] = ()
    """Web archives to take the pages from: paths or glob patterns."""
    documents: tuple[str, ...] = ()
    """Texts that you have, instead of all the other inputs: JSON lines, Parquet or plain text files, plain or
    compressed: paths or glob patterns."""
    fields: TextFields = field(default_factory=TextFields)
    """Where the records of --documents have what."""
    strict: bool = False
    """End the build, with exit status 1, after the stage that read a cut or damaged input. Without this the build goes
    on with what could be read, and tells at its end."""
    fetch: FetchFlags = field(default_factory=FetchFlags)
    """Ask the live web."""
    commoncrawl: CommonCrawlSettings = field(default_factory=CommonCrawlSettings)
    """Take pages out of Common Crawl. Switched on by --commoncrawl.index."""
    corpus: Annotated[CorpusSettings, tyro.conf.arg(name="")] = field(default_factory=CorpusSettings)
    """What decides the content of the corpus; its fields are flags of their own."""

    def __post_init__(self) -> None:
        """Refuse what no build can start from."""
        super().__post_init__()
        if self.documents:
            self._refuse_links()
        elif not self.submissions and not self.urls:
            raise ValueError("nothing to start from: give --submissions or --urls, or --documents")
        elif self.fields != TextFields():
            raise ValueError("flags --fields.* are given, but not --documents, whose records have these fields")

    def _refuse_links(self) -> None:
        others = {
            "--submissions": self.submissions,
            "--urls": self.urls,
            "--warcs": self.warcs,
            "--fetch.contact": self.fetch.contact,
            "--commoncrawl.index": self.commoncrawl.index,
        }
        if given := [flag for flag, value in others.items() if value]:
            raise ValueError(
                f"--documents is given with {' and '.join(given)}: a build starts either from texts or from links; "
                "make two builds, each with a --work of its own"
            )


def run(config: BuildConfig) -> int:
    """Build the corpus, or what is still missing of it."""
    with config.engine() as run_stage:
        from webtext.pipeline.corpus import build_corpus
        from webtext.pipeline.inputs import Inputs, TextInputs

        crawl = config.commoncrawl if config.commoncrawl.index else None
        inputs = Inputs.find(
            [*config.submissions, *config.urls],
            config.warcs,
            config.fetch.settings(config.corpus.extract.opt_outs),
            crawl,
        )
        if config.documents:
            inputs = Inputs((), (), texts=TextInputs.find(config.documents, config.fields))
        manifest = build_corpus(config.corpus, inputs, config.work, run_stage, strict=config.strict)

    from rich.console import Console

    from webtext.jobs import report
    from webtext.jobs.funnel import print_funnel
    from webtext.pipeline.account.report import read_months
    from webtext.pipeline.engine import damage
    from webtext.pipeline.files import storage
    from webtext.pipeline.flow import CORPUS
    from webtext.pipeline.links.health import warnings

    damaged = damage.sentences(damage.of_build(manifest.build))
    print_funnel(manifest, Console(), [*warnings(read_months(config.work)), *damaged])
    documents, tokens = (sum(getattr(shard, unit) for shard in manifest.shards) for unit in ("documents", "tokens"))
    say(
        f"corpus: {storage.join(config.work, CORPUS)} with {tokens:,} tokens in {documents:,} documents, "
        f"content sha256 {manifest.content_sha256()}"
    )
    return report.run(report.ReportConfig(config.work))
