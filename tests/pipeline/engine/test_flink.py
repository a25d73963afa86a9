from webtext.pipeline.engine.beam_options import beam_options, runner_for


def server(*flags):
    options = beam_options(["--runner=FlinkRunner", *flags])
    return runner_for(options).default_job_server(options)


def test_pipelines_with_the_same_options_share_a_job_server():
    flags = ("--flink_master=jobmanager:8081", "--flink_version=1.19")
    assert server(*flags) is server(*flags)
    assert server(*flags) is not server("--flink_master=another:8081", "--flink_version=1.19")
    assert server(*flags) is not server(*flags, "--job_server_jvm_properties=-Xmx1g")


def test_other_engines_are_left_to_the_runner_that_the_options_name():
    assert runner_for(beam_options(["--runner=SparkRunner"])) is None
    assert runner_for(beam_options([])) is None
