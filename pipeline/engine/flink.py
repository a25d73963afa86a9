"""Flink with one job server for all stages of a build.

Beam's FlinkRunner starts a JVM of some 400 MB for each pipeline and ends it with the process: 14 of them in a build
(Beam 2.77, flink_runner.py; its SparkRunner keeps one).
"""

from typing import Any, Final

from apache_beam.options.pipeline_options import FlinkRunnerOptions, JobServerOptions, PipelineOptions
from apache_beam.runners.portability.flink_runner import FlinkRunner

_servers: Final[dict[str, Any]] = {}  # of this process, by the options that Beam starts one with


class OneServerFlinkRunner(FlinkRunner):
    """Beam's FlinkRunner, whose job server serves all pipelines that ask for the same one."""

    def default_job_server(self, options: PipelineOptions) -> Any:
        """The server that runs already, or a new one."""
        key = f"{options.view_as(FlinkRunnerOptions)} {options.view_as(JobServerOptions)}"
        if key not in _servers:
            _servers[key] = super().default_job_server(options)  # type: ignore[no-untyped-call]
        return _servers[key]
