"""The job of a stage as a jar for spark-submit, where the launcher can't reach the cluster."""

import subprocess

import engine_services as services
import pytest
import toy_webs
from engine_builds import Web, build
from engine_parts import SPARK_ITSELF, SPARK_JOB_SERVER


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("engines_wanted")
def test_a_stage_leaves_as_a_jar_and_the_next_launch_goes_on_behind_it(tmp_path):
    services.need(SPARK_JOB_SERVER, SPARK_ITSELF)
    toy_webs.write_posts(tmp_path / "posts" / "all.ndjson.zst", toy_webs.posts_of()[:200])
    web = Web(str(tmp_path / "posts" / "*"), str(toy_webs.MINIWEB / "pages-00000.warc.gz"))
    jar, work = tmp_path / "stage.jar", tmp_path / "work"
    with services.spark(tmp_path / "engine") as engine, services.worker_pool(tmp_path) as pool:
        flags = (*engine.flags, *pool.flags, f"--output_executable_path={jar}")
        with pytest.raises(RuntimeError, match=r"stage posts: its job is in .*stage\.jar; run it, then"):
            build(tmp_path / "first.log", web, str(work), flags)
        assert not list(work.glob("posts/*"))
        command, environment = services.spark_submit()
        subprocess.run([*command, str(jar)], env=environment, check=True, timeout=600, cwd=tmp_path)
        assert list(work.glob("posts/*.receipt.json"))
        with pytest.raises(RuntimeError, match="stage links: its job is in"):
            build(tmp_path / "second.log", web, str(work), flags)
        assert (work / "posts" / "manifest.json").exists()
