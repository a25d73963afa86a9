import logging

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import DirectOptions, PortableOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import worker_handlers
from apache_beam.testing.util import assert_that, equal_to

from webtext.pipeline.engine import beam_options as engine
from webtext.pipeline.engine.beam_options import beam_options, check_job, is_local, known_flags


def runner(*flags: str) -> str:
    return beam_options(flags).view_as(StandardOptions).runner


def test_the_default_is_the_local_engine_in_memory():
    options = beam_options([])
    assert options.view_as(StandardOptions).runner == "FnApiRunner"
    assert options.view_as(DirectOptions).direct_running_mode == "in_memory"
    assert is_local(options)


def test_a_pipeline_runs_with_it():
    with beam.Pipeline(options=beam_options([])) as pipeline:
        assert_that(pipeline | beam.Create([1, 2]), equal_to([1, 2]))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("SparkRunner", "SparkRunner"),
        ("flink", "FlinkRunner"),
        ("dataflowrunner", "DataflowRunner"),
        ("PrismRunner", "PrismRunner"),
        ("fnapirunner", "FnApiRunner"),
        ("apache_beam.runners.portability.spark_runner.SparkRunner", "SparkRunner"),
        ("other.package.SparkRunner", "other.package.SparkRunner"),
        ("other.package.MyRunner", "other.package.MyRunner"),
    ],
)
def test_other_engines_pass(given, expected):
    assert runner(f"--runner={given}") == expected
    assert is_local(beam_options(["--runner", given])) == (expected == "FnApiRunner")


@pytest.mark.parametrize("given", ["DirectRunner", "direct", "SwitchingDirectRunner", "BundleBasedDirectRunner"])
def test_runners_that_switch_engines_become_the_local_one_with_one_warning(given, caplog):
    engine._warn_of_switching.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert [runner(f"--runner={given}"), runner(f"--runner={given}")] == ["FnApiRunner", "FnApiRunner"]
    assert len([r for r in caplog.records if r.name == "webtext.pipeline.engine.beam_options"]) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--direct_running_mode=multi_processing"], "multi_processing is refused: it loses elements .* use --workers"),
        (["--direct_running_mode", "multi_threading"], "multi_threading is refused"),
        (["--direct-running-mode=multi_threading"], "--direct-running-mode; did you mean --direct_running_mode"),
        (["--runner=SparkRunner", "--direct_running_mode=multi_threading"], "is refused"),
        (["--direct_num_workers=4"], "--direct_num_workers=4 is refused.*use --workers"),
        (["--direct_num_workers", "0"], "--direct_num_workers=0 is refused"),
        (["--experiments=data_buffer_time_limit_ms=1000"], "data_buffer_time_limit_ms is refused"),
        (["--experiment", "a,data_buffer_time_limit_ms=1"], "data_buffer_time_limit_ms is refused"),
        (["--environment_config", '{"data_buffer_time_limit_ms": 5}'], "data_buffer_time_limit_ms is refused"),
        (["--no_wait_until_finish"], "--no_wait_until_finish is refused"),
        (["--streaming"], "--streaming is refused"),
    ],
)
def test_flags_that_would_lose_records_are_refused(flags, message):
    with pytest.raises(ValueError, match=message):
        beam_options(flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--sprk_master_url=x"], r"unknown Beam flag --sprk_master_url; did you mean --spark_master_url\?"),
        (["--max_bundle_sise", "3"], r"unknown Beam flag --max_bundle_sise; did you mean --max_bundle_size\?"),
        (["--run=SparkRunner"], "unknown Beam flag --run"),  # a prefix is not a spelling
        (["--flink_mast", "h:1"], "unknown Beam flag --flink_mast"),
        (["-runner=SparkRunner"], r"unknown Beam flag -runner; did you mean --runner\?"),
        (["--runner=SparkRunner", "junk"], "unexpected argument 'junk'"),
        (["--runner=SprakRunner"], r"unknown Beam runner SprakRunner; did you mean SparkRunner\?"),
        (["--flink_version=1.2"], "Beam: argument --flink_version: invalid choice"),
        (["--parallelism=many"], "Beam: argument --parallelism: invalid int value"),
        (["--runner"], "Beam: argument --runner: expected one argument"),
    ],
)
def test_what_beam_would_only_warn_of_is_refused(flags, message):
    with pytest.raises(ValueError, match=message):
        beam_options(flags)


def test_job_server_options_pass_through():
    flags = [
        "--runner=FlinkRunner",
        "--max_bundle_size=5",
        "--object_reuse",
        "--execution_mode_for_batch",
        "BATCH_FORCED",
    ]
    kept = beam_options(flags).get_all_options(drop_default=True, retain_unknown_options=True)
    assert kept["max_bundle_size"] == "5"
    assert kept["object_reuse"] is True
    assert kept["execution_mode_for_batch"] == "BATCH_FORCED"


def test_known_flags_come_from_beam_and_from_its_job_servers():
    assert {"--runner", "--flink_master", "--experiments", "--project", "--bundle_size"} <= known_flags()


def test_the_embedded_job_service_loses_its_timed_buffer(monkeypatch):
    monkeypatch.setattr(worker_handlers, "DATA_BUFFER_TIME_LIMIT_MS", 1000)
    beam_options(["--runner=PortableRunner", "--job_endpoint=localhost:8099"])
    assert worker_handlers.DATA_BUFFER_TIME_LIMIT_MS == 1000
    options = beam_options(["--runner=PortableRunner", "--job_endpoint=embed"])
    assert worker_handlers.DATA_BUFFER_TIME_LIMIT_MS == 0
    assert options.view_as(PortableOptions).job_endpoint == "embed"
    assert not is_local(options)


@pytest.mark.parametrize(
    ("flags", "folder", "message"),
    [
        (["--runner=DataflowRunner"], "/srv/work", "Dataflow's machines can't write to /srv/work"),
        (["--runner=dataflow", "--template_location=gs://a/t"], "gs://a/w", "--template_location is refused"),
        (["--runner=DataflowRunner", "--dry_run=True"], "gs://a/w", "--dry_run is refused"),
    ],
)
def test_a_job_from_which_nothing_could_come_back_is_refused(flags, folder, message):
    with pytest.raises(ValueError, match=message):
        check_job(beam_options(flags), folder)


@pytest.mark.parametrize(
    ("flags", "folder"),
    [
        ([], "/srv/work"),
        (["--runner=DataflowRunner"], "gs://a/w"),
        (["--runner=DataflowRunner", "--dataflow_endpoint=http://localhost:1"], "/srv/work"),
        (["--runner=SparkRunner"], "/shared/work"),
    ],
)
def test_other_jobs_pass(flags, folder):
    check_job(beam_options(flags), folder)
