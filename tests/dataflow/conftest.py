"""A Dataflow service on this machine, and a launcher that does not wait five seconds between two looks at it."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import pytest
import toy_webs
from processes import started

from webtext.pipeline.corpus import build_corpus
from webtext.pipeline.engine.beam_options import beam_options
from webtext.pipeline.engine.beam_stage import build_graph, run_stage
from webtext.pipeline.inputs import Inputs
from webtext.schemas.manifest import CorpusManifest

DRY_RUN = (
    *("--runner=DataflowRunner", "--dry_run=True", "--project=fake", "--region=us-central1", "--no_auth"),
    *("--temp_location=gs://fake/temp", "--staging_location=gs://fake/staging"),
    "--sdk_container_image=us-docker.pkg.dev/fake/webtext/worker:1",
)
NEEDS = "needs apache-beam[gcp]: pip install 'webtext[gcp]'"
HERE = Path(__file__).resolve().parent


@dataclass
class Dataflow:
    """The fake service, and the flags that send a pipeline to it."""

    endpoint: str
    journal: Path
    staging: Path

    @property
    def flags(self):
        return (
            "--runner=DataflowRunner",
            "--project=fake",
            "--region=us-central1",
            f"--dataflow_endpoint={self.endpoint}",
            "--no_auth",
            f"--temp_location={self.staging}",
            f"--staging_location={self.staging}",
            "--sdk_container_image=us-docker.pkg.dev/fake/webtext/worker:1",
        )

    def requests(self, method):
        """What was asked with this method so far."""
        lines = map(json.loads, self.journal.read_text().splitlines()) if self.journal.exists() else ()
        return [line for line in lines if line["method"] == method]

    def jobs(self):
        """Name and state of each job, in the order of their creation."""
        url = f"{self.endpoint}/v1b3/projects/fake/locations/us-central1/jobs"
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
            return json.load(answer)["jobs"]

    def cancel(self, job):
        """What `gcloud dataflow jobs cancel` asks for."""
        url = f"{self.endpoint}/v1b3/projects/fake/locations/us-central1/jobs/{job}"
        body = json.dumps({"requestedState": "JOB_STATE_CANCELLED"}).encode()
        request = urllib.request.Request(url, body, method="PUT")  # noqa: S310
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """A Dataflow service, in a process of its own that starts without what the tests have in memory."""
    pytest.importorskip("google.cloud.dataflow", reason=NEEDS)
    folder = tmp_path_factory.mktemp("dataflow")
    staging = folder / "staging"
    staging.mkdir()
    journal = folder / "requests.jsonl"
    environment = os.environ | {"PYTHONPATH": str(HERE.parent / "support")}  # the stages of tests, by name
    with (
        (folder / "service.log").open("wb") as log,
        started(
            [sys.executable, str(HERE / "fake_service.py"), str(journal)],
            3600,  # of all its tests
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
        ) as process,
    ):
        line = process.stdout.readline()
        assert line, (folder / "service.log").read_text()
        yield Dataflow(f"http://localhost:{int(line)}", journal, staging)


class _Hurry:
    """The module `time`, as the launcher of Dataflow sees it: its pauses of five seconds are a twentieth as long."""

    time = staticmethod(time.time)

    @staticmethod
    def sleep(seconds):
        time.sleep(seconds / 20)


@pytest.fixture
def hurry(monkeypatch):
    from apache_beam.runners.dataflow import dataflow_runner

    monkeypatch.setattr(dataflow_runner, "time", _Hurry)


def _graph_of(stage):
    pipeline = beam.Pipeline(options=beam_options(DRY_RUN))
    build_graph(pipeline, stage, list(stage.parts), 0, DRY_RUN)
    return pipeline.run().job.proto_pipeline


@pytest.fixture(scope="session")
def graph_of():
    """Gives the pipeline of a stage as the Dataflow runner would submit it."""
    pytest.importorskip("google.cloud.dataflow", reason=NEEDS)
    return _graph_of


@dataclass
class Web:
    """A small web, the corpus that the local engine makes of it, and what each stage of that build looked like."""

    folder: Path
    manifest: CorpusManifest
    stages: dict[str, tuple]  # by name: stage, graph for Dataflow, what its sources send to its parts


@pytest.fixture(scope="session")
def web(tmp_path_factory, graph_of):
    """Built once for all tests here."""
    folder = tmp_path_factory.mktemp("web")
    toy_webs.write_posts(folder / "posts" / "all.ndjson.zst", toy_webs.posts_of())
    toy_webs.write_archives(folder / "archives", toy_webs.records_of(8), 2)
    inputs = Inputs.find([str(folder / "posts" / "*")], [str(folder / "archives" / "*")])
    seen = {}

    def run(stage):
        blocks = []
        if stage.shuffle:
            wanted = frozenset(part.ordinal for part in stage.parts)
            blocks = [block for source in stage.shuffle.sources for block in stage.shuffle.emit(source, wanted)]
        seen[stage.name] = (stage, graph_of(stage), blocks)
        return run_stage(stage, flags=(), workers=0)

    return Web(folder, build_corpus(toy_webs.SETTINGS, inputs, str(folder / "work"), run), seen)


@pytest.fixture
def engines_wanted(request):
    """Skips what takes minutes unless it is asked for."""
    if not request.config.getoption("--engines", default=False):
        pytest.skip("runs a job for each stage: `make test-engines`")
