"""What the pipelines move between workers: part descriptors and packed columns. No engine is started here."""

import pickle
from functools import partial

import apache_beam as beam
import pyarrow.parquet as pq
import pytest
import toy_webs
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, S3Options
from apache_beam.portability.api import beam_runner_api_pb2

from webtext.pipeline.corpus import build_corpus
from webtext.pipeline.engine import stage as stages
from webtext.pipeline.engine.beam_stage import FanOut, build_graph, run_stage
from webtext.pipeline.inputs import Inputs

GROUP = "beam:transform:group_by_key:v1"
RESHUFFLE = "beam:transform:reshuffle:v1"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The stages of a small build, each with the bytes that its sources sent, and the texts of its documents."""
    folder = tmp_path_factory.mktemp("graphs")
    toy_webs.write_posts(folder / "posts" / "all.ndjson.zst", toy_webs.posts_of())
    toy_webs.write_archives(folder / "archives", toy_webs.records_of(5), 2)
    seen = []

    def run(stage):
        blocks = []
        if stage.shuffle is not None:
            wanted = frozenset(part.ordinal for part in stage.parts)
            blocks = [pair for source in stage.shuffle.sources for pair in stage.shuffle.emit(source, wanted)]
        seen.append((stage, blocks))
        return run_stage(stage, (), 2)

    inputs = Inputs.find([str(folder / "posts" / "*")], [str(folder / "archives" / "*")])
    manifest = build_corpus(toy_webs.SETTINGS, inputs, str(folder / "work"), run)
    assert manifest.shards
    tables = [
        pq.read_table(path, columns=["text", "url"]) for path in folder.glob("work/documents/*.documents.parquet")
    ]
    rows = [row for table in tables for row in table.to_pylist()]
    return seen, rows


def graph_of(stage):
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    build_graph(pipeline, stage, list(stage.parts), 0, ())
    return pipeline.to_runner_api()


def coders_into(proto: beam_runner_api_pb2.Pipeline, urn):
    """(name, URN of the coder of the key, of the value) for each transform of this kind."""
    components = proto.components
    for transform in components.transforms.values():
        if transform.spec.urn == urn:
            [taken] = transform.inputs.values()
            coder = components.coders[components.pcollections[taken].coder_id]
            parts = [components.coders[i].spec.urn for i in coder.component_coder_ids] or [coder.spec.urn]
            yield transform.unique_name, parts


def test_only_part_descriptors_are_reshuffled_and_only_bytes_are_grouped(recorded):
    seen, _ = recorded
    shuffling = 0
    for stage, _ in seen:
        proto = graph_of(stage)
        reshuffled = {name for name, _ in coders_into(proto, RESHUFFLE)}
        assert reshuffled == ({"sources spread"} if stage.shuffle else {"parts spread"}), stage.name
        # A Reshuffle has a GroupByKey of its own inside, for engines that don't know it.
        own = {
            name: coders
            for name, coders in coders_into(proto, GROUP)
            if not any(name.startswith(outer + "/") for outer in reshuffled)
        }
        shuffling += bool(own)
        assert own == ({"by part": ["beam:coder:varint:v1", "beam:coder:bytes:v1"]} if stage.shuffle else {}), (
            stage.name
        )
    assert shuffling >= 2


def test_the_elements_of_a_reshuffle_are_names(recorded):
    seen, rows = recorded
    for stage, _ in seen:
        for part in [*stage.parts, *(stage.shuffle.sources if stage.shuffle else ())]:
            paths = [path for own in part.inputs.values() for path in own]
            assert all(len(path) < 300 and "\n" not in path for path in paths)
            assert len(pickle.dumps(part)) < 300 + 300 * len(paths)
            assert not any(row["url"] in path for row in rows[:20] for path in paths)


def test_no_text_and_no_url_is_in_what_sources_send(recorded):
    seen, rows = recorded
    assert len(rows) > 20
    snippets = [row["text"][at : at + 24].encode() for row in rows for at in (0, len(row["text"]) // 2)]
    snippets += [row["url"].encode()[:40] for row in rows]
    sent = 0
    for stage, blocks in seen:
        for ordinal, block in blocks:
            assert type(ordinal) is int
            assert type(block) is bytes
            sent += len(block)
            assert not any(snippet in block for snippet in snippets), stage.name
    assert sent > 1000


def test_a_stage_is_small_when_it_is_pickled(recorded):
    seen, _ = recorded
    for stage, _ in seen:
        assert len(pickle.dumps(partial(stages.run_part, stage))) < 100_000


def test_a_worker_of_an_engine_gets_the_flags_of_its_file_systems():
    before = FileSystems._pipeline_options
    try:
        FanOut(list, 0, ("--s3_endpoint_url=http://127.0.0.1:1",)).setup()
        assert FileSystems._pipeline_options.view_as(S3Options).s3_endpoint_url == "http://127.0.0.1:1"
    finally:
        FileSystems.set_options(before)
