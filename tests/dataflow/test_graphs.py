"""What enters the shuffles of each stage of the recipe, as Dataflow gets it: packed bytes and parts.

Read from the graphs themselves: which collections a shuffle takes, by which coders, and what is in them.
"""

import pickle

import pyarrow.parquet as pq
import pytest
from apache_beam.portability import common_urns

from webtext.pipeline.engine.stage import Part, Stage, numbered

GROUP = common_urns.primitives.GROUP_BY_KEY.urn
RESHUFFLE = common_urns.composites.RESHUFFLE.urn
pytestmark = pytest.mark.timeout(900)  # the build of `web`, on a machine that may be busy

_PART = 4096  # bytes of the description of one part, here
_SAMPLE = 40  # characters


def transforms(graph, urn):
    return {name: node for name, node in graph.components.transforms.items() if node.spec.urn == urn}


def inside(graph, parent):
    """Names of all transforms below this one."""
    for name in graph.components.transforms[parent].subtransforms:
        yield name
        yield from inside(graph, name)


def coder_of_input(graph, node):
    [collection] = node.inputs.values()
    components = graph.components.coders

    def words(name):
        coder = components[name]
        short = coder.spec.urn.split(":")[2] if coder.spec.urn.startswith("beam:coder:") else coder.spec.urn
        return (short, *map(words, coder.component_coder_ids))

    return words(graph.components.pcollections[collection].coder_id)


@pytest.fixture(scope="module")
def texts(web):
    """The texts of its documents."""
    paths = sorted((web.folder / "work" / "documents").glob("*.documents.parquet"))
    return [text for path in paths for text in pq.read_table(path, columns=["text"])["text"].to_pylist()]


def test_the_web_has_every_kind_of_stage(web, texts):
    flow = {"posts", "links", "pages", "documents", "decisions", "shards"}
    assert flow | {"captures", "candidates"} <= web.stages.keys()
    assert {name for name, (stage, _, _) in web.stages.items() if stage.shuffle} >= {"pages", "candidates"}
    assert len(texts) > 20


def test_only_packed_bytes_and_parts_enter_a_shuffle(web):
    for name, (stage, graph, _) in web.stages.items():
        reshuffled = {inner for outer in transforms(graph, RESHUFFLE) for inner in inside(graph, outer)}
        groups = {group: node for group, node in transforms(graph, GROUP).items() if group not in reshuffled}
        # Reshuffles take lists of parts from Create and nothing that was computed.
        for node in transforms(graph, RESHUFFLE).values():
            [collection] = node.inputs.values()
            makers = [
                other.unique_name
                for other in graph.components.transforms.values()
                if collection in other.outputs.values() and not other.subtransforms
            ]
            assert all(maker.startswith(("parts list", "sources list", "empty blocks")) for maker in makers), name
        assert len(groups) == (1 if stage.shuffle else 0), name
        for node in groups.values():
            kind, key, value = coder_of_input(graph, node)
            assert (kind, key[0], value[0]) == ("kv", "varint", "bytes"), name


def test_what_is_shuffled_is_small_and_holds_no_text(web, texts):
    samples = [text[at : at + _SAMPLE].encode() for text in texts for at in (0, len(text) // 2)]
    for name, (stage, _, blocks) in web.stages.items():
        for part in [*stage.parts, *(stage.shuffle.sources if stage.shuffle else ())]:
            assert isinstance(part, Part)
            assert len(pickle.dumps(part)) < _PART, name
        for ordinal, block in blocks:
            assert (type(ordinal), type(block)) == (int, bytes), name
            assert not any(sample in block for sample in samples), name
    assert all(web.stages[name][2] for name in ("pages", "candidates"))


def test_the_graph_of_a_large_stage_is_far_below_the_limit_of_the_service(graph_of):
    """Dataflow refuses job requests over 10 MB. Parts are listed in the graph, compressed by Beam."""
    paths = [f"gs://bucket/folder/of/the/build/posts/{number:05d}.posts.arrow" for number in range(16)]
    stage = Stage("links", "gs://bucket/links", {}, (), numbered([{"posts": paths}] * 2048), print, "posts")
    assert graph_of(stage).ByteSize() < 200_000
