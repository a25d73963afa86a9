"""Builds on Dataflow, as far as that goes without an account: the launcher, what it submits, and what that computes.

The service is fake_service.py: it gets what the real one gets, and runs the staged pipeline of each job.
"""

import threading
import time
from pathlib import Path

import pytest
import toy_stages
import toy_webs

from webtext.jobs import cli
from webtext.pipeline.engine import stage as machinery
from webtext.pipeline.engine.beam_stage import run_stage
from webtext.pipeline.engine.stage import StageError
from webtext.schemas.manifest import CorpusManifest

pytestmark = pytest.mark.usefixtures("hurry")


@pytest.mark.parametrize("make", [toy_stages.even_stage, toy_stages.shuffle_stage])
def test_a_stage_is_submitted_and_waited_for(service, tmp_path, make, capsys):
    run_stage(make(tmp_path / "there"), service.flags, 2)
    job = service.jobs()[-1]
    page = f"https://console.cloud.google.com/dataflow/jobs/us-central1/{job['id']}?project=fake"
    assert page in capsys.readouterr().err
    run_stage(make(tmp_path / "here"), (), 0)
    assert toy_stages.contents(tmp_path / "there") == toy_stages.contents(tmp_path / "here")
    assert job["currentState"] == "JOB_STATE_DONE"


def test_a_failed_job_tells_the_error_of_the_part_and_the_same_command_continues(service, tmp_path):
    trap = str(tmp_path / "trap")

    def fail_once(part, output):
        if part.ordinal == 1 and Path(trap).exists():
            raise OSError("part one can't be read")
        toy_stages.keep_even("", part, output)

    Path(trap).touch()
    stage = toy_stages.even_stage(tmp_path / "work", run=fail_once)
    with pytest.raises(StageError, match=r"even: (.|\n)*part one can't be read(.|\n)*same command does the others"):
        run_stage(stage, service.flags, 2)
    assert service.jobs()[-1]["currentState"] == "JOB_STATE_FAILED"
    assert "00001" not in machinery.receipts_of(stage)
    Path(trap).unlink()
    assert run_stage(stage, service.flags, 2).tally.taken == 40


def test_a_cancelled_job_is_an_error_and_costs_only_what_was_not_done(service, tmp_path):
    gate = str(tmp_path / "gate")

    def wait_in_part_two(part, output):
        while part.ordinal == 2 and not Path(gate).exists():
            time.sleep(0.05)
        toy_stages.keep_even("", part, output)

    work = tmp_path / "work"
    stage = toy_stages.even_stage(work, run=wait_in_part_two)

    def cancel():
        while len(service.jobs()) == before or service.jobs()[-1]["currentState"] != "JOB_STATE_RUNNING":
            time.sleep(0.05)
        service.cancel(service.jobs()[-1]["id"])

    before = len(service.jobs())
    threading.Thread(target=cancel, daemon=True).start()
    with pytest.raises(StageError, match="State: CANCELLED"):
        run_stage(stage, service.flags, 2)
    # Its worker wakes up while the next job does the same part: the service promises no more than to stop it soon.
    Path(gate).touch()
    assert run_stage(stage, service.flags, 2).tally.taken == 40
    assert set(machinery.receipts_of(stage)) == {"00000", "00001", "00002", "00003"}


def test_two_jobs_of_one_name_are_refused_by_the_service(service, tmp_path):
    """So --job_name keeps a second launcher out, where no lock on a folder can."""
    gate = str(tmp_path / "gate")

    def wait(part, output):
        while not Path(gate).exists():
            time.sleep(0.05)
        toy_stages.keep_even("", part, output)

    flags = (*service.flags, "--job_name=one-build")
    first = threading.Thread(target=run_stage, args=(toy_stages.even_stage(tmp_path, run=wait), flags, 2), daemon=True)
    first.start()
    while not any(job["name"] == "one-build" for job in service.jobs()):
        time.sleep(0.05)
    with pytest.raises(StageError, match="already an active job named one-build"):
        run_stage(toy_stages.even_stage(tmp_path, run=wait), flags, 2)
    Path(gate).touch()
    first.join(60)
    assert not first.is_alive()


@pytest.mark.timeout(900)  # fourteen jobs, on a machine that may be busy
@pytest.mark.usefixtures("engines_wanted")
def test_a_whole_build_makes_the_same_corpus(service, web, tmp_path, capsys):
    folder, local = web.folder, web.manifest
    before = len(service.jobs())
    status = cli.main(
        [
            *("build", "--work", str(tmp_path), "--parts", str(toy_webs.SETTINGS.parts)),
            *("--submissions", str(folder / "posts" / "*"), "--warcs", str(folder / "archives" / "*")),
            *("--links.score-rule", toy_webs.SETTINGS.links.score_rule),
            *("--shards.tokens", str(toy_webs.SETTINGS.shards.tokens)),
            *("--shards.val-fraction", str(toy_webs.SETTINGS.shards.val_fraction)),
            *("--", *service.flags, "--max_num_workers=4", "--worker_machine_type=n2d-standard-2"),
        ]
    )
    assert status == 0, capsys.readouterr().err
    there = CorpusManifest.from_json((tmp_path / "corpus" / "manifest.json").read_bytes())
    assert there.stages == local.stages
    assert there.content_sha256() == local.content_sha256()
    assert toy_webs.digests(tmp_path) == toy_webs.digests(folder / "work")
    assert (tmp_path / "report.html").exists()

    assert [job["currentState"] for job in service.jobs()[before:]] == ["JOB_STATE_DONE"] * len(web.stages)
    pool = service.requests("POST")[-1]["body"]["environment"]["workerPools"][0]
    assert pool["machineType"] == "n2d-standard-2"
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 4
    [image] = {container["containerImage"] for container in pool["sdkHarnessContainerImages"]}
    assert image == "us-docker.pkg.dev/fake/webtext/worker:1"
