"""The whole recipe on real pages: the same corpus however the inputs are cut, on every engine, after any kill."""

import os
import random
import signal
import subprocess
import sys
import time

import memory_store
import pytest
import toy_webs
from processes import started

from webtext.pipeline.settings import CorpusSettings, DedupSettings
from webtext.schemas.manifest import CorpusManifest

EMBEDDED = ("--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK")


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """A web of about sixty pages in two archives and one dump, and its corpus."""
    folder = tmp_path_factory.mktemp("web")
    toy_webs.write_posts(folder / "posts" / "all.ndjson.zst", toy_webs.posts_of())
    toy_webs.write_archives(folder / "archives", toy_webs.records_of(5), 2)
    manifest = toy_webs.build(folder / "work", folder / "posts" / "*", folder / "archives" / "*")
    return folder, manifest


def assert_same(web, work, manifest):
    folder, first = web
    assert toy_webs.digests(work) == toy_webs.digests(folder / "work")
    assert manifest.content_sha256() == first.content_sha256()


def test_the_web_is_worth_the_test(web):
    folder, manifest = web
    shards = {shard.split: shard for shard in manifest.shards}
    assert shards["train"].documents > 10
    assert shards["val"].documents > 0
    assert len(manifest.shards) > 3
    assert {"exact_duplicate", "near_duplicate"} <= set(manifest.stages["decisions"].rejected)
    stored = (folder / "work" / "corpus" / "manifest.json").read_bytes()
    assert CorpusManifest.from_json(stored) == manifest


def test_one_worker_makes_the_same_corpus(web, tmp_path):
    folder, _ = web
    manifest = toy_webs.build(tmp_path, folder / "posts" / "*", folder / "archives" / "*", workers=1)
    assert_same(web, tmp_path, manifest)


def test_other_files_with_the_same_posts_and_records_make_the_same_corpus(web, tmp_path):
    lines = toy_webs.posts_of()
    records = list(toy_webs.records_of(5))
    shuffle = random.Random(1).shuffle
    shuffle(lines)
    shuffle(records)
    for number in range(3):
        toy_webs.write_posts(tmp_path / "posts" / f"{number}.ndjson.zst", lines[number::3])
    toy_webs.write_archives(tmp_path / "archives", records, 5)
    manifest = toy_webs.build(tmp_path / "work", tmp_path / "posts" / "*", tmp_path / "archives" / "*")
    assert_same(web, tmp_path / "work", manifest)


def test_another_engine_makes_the_same_corpus(web, tmp_path):
    folder, _ = web
    manifest = toy_webs.build(tmp_path, folder / "posts" / "*", folder / "archives" / "*", flags=EMBEDDED)
    assert_same(web, tmp_path, manifest)


def test_a_build_killed_at_any_moment_continues_to_the_same_corpus(web, tmp_path):
    folder, _ = web
    code = (
        "import sys, toy_webs\n"
        "if __name__ == '__main__':\n"
        "    toy_webs.build(sys.argv[1], sys.argv[2] + '/posts/*', sys.argv[2] + '/archives/*')\n"
    )
    script = tmp_path / "build.py"
    script.write_text(code)
    environment = os.environ | {"PYTHONPATH": os.path.dirname(toy_webs.__file__)}
    command = [sys.executable, str(script), str(tmp_path / "work"), str(folder)]
    kills = 0
    for delay in (2.0, 3.0, 4.0):
        with started(command, env=environment, stderr=subprocess.DEVNULL) as process:
            time.sleep(delay)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
    assert kills
    manifest = toy_webs.build(tmp_path / "work", folder / "posts" / "*", folder / "archives" / "*")
    assert_same(web, tmp_path / "work", manifest)


def test_every_link_ends_in_one_state(web):
    _, manifest = web
    stages = manifest.stages
    for tally in stages.values():
        assert tally.balance() == 0
    urls = stages["links"].counts["urls"]
    lost = stages["links"].counts["urls_below_score"] + sum(
        sum(stages[name].rejected.values()) for name in ("pages", "documents", "decisions")
    )
    assert urls == lost + stages["shards"].passed
    assert stages["shards"].passed == sum(shard.documents for shard in manifest.shards)


def test_a_work_directory_of_another_build_is_refused(web):
    folder, _ = web
    other = CorpusSettings(
        links=toy_webs.SETTINGS.links, shards=toy_webs.SETTINGS.shards, parts=3, dedup=DedupSettings(threshold=0.6)
    )
    with pytest.raises(ValueError, match=r"dedup\.threshold was 0\.5, is 0\.6"):
        toy_webs.build(folder / "work", folder / "posts" / "*", folder / "archives" / "*", settings=other)
    with pytest.raises(ValueError, match="input archives: 1 gone or changed, 0 new"):
        toy_webs.build(folder / "work", folder / "posts" / "*", folder / "archives" / "pages-0*")


def test_a_finished_build_is_only_checked(web):
    folder, manifest = web
    tables = [*(folder / "work").rglob("*.parquet"), *(folder / "work").rglob("*.arrow")]
    before = [path.stat().st_mtime_ns for path in tables]
    assert toy_webs.build(folder / "work", folder / "posts" / "*", folder / "archives" / "*") == manifest
    assert [path.stat().st_mtime_ns for path in tables] == before
    assert len(tables) > 20


def test_inputs_work_and_corpus_may_be_in_an_object_store(web):
    folder, manifest = web
    base = f"{memory_store.SCHEME}://bucket"
    for path in [*folder.glob("posts/*"), *folder.glob("archives/*")]:
        memory_store.MemoryStore.objects[f"{base}/{path.parent.name}/{path.name}"] = path.read_bytes()
    # Worker processes have no part in this one's memory.
    made = toy_webs.build(f"{base}/work", f"{base}/posts/*", f"{base}/archives/*", workers=0)
    assert made.content_sha256() == manifest.content_sha256()
    stored = memory_store.MemoryStore.objects[f"{base}/work/corpus/train-00000.arrow"]
    assert stored == (folder / "work" / "corpus" / "train-00000.arrow").read_bytes()
    assert toy_webs.build(f"{base}/work", f"{base}/posts/*", f"{base}/archives/*", workers=0) == made
