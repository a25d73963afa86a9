"""Beam's own flags: which ones a build takes, which it refuses, and why. Every pipeline starts from `beam_options`."""

import argparse
import difflib
import functools
import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
    _BeamArgumentParser,
)

from webtext.pipeline.files import storage

_LOG = logging.getLogger(__name__)

LOCAL_RUNNER: Final = "FnApiRunner"

# The first two try to download Prism at every run and fall back to FnApiRunner or the third, which is slower: the same
# command would mean another engine on another machine (Beam 2.77 direct_runner.py).
_SWITCHING_RUNNERS: Final = ("DirectRunner", "SwitchingDirectRunner", "BundleBasedDirectRunner")

# Options of the Java job servers, which the Python SDK does not declare: it asks the server for them at submission
# (portable_runner.py, DescribePipelineOptions), too late to refuse a typo. Spelled in snake case, as the server does.
# A switch takes no value; where the server's default is true it turns the thing off, as portable_runner.py has it.
# Sources: https://beam.apache.org/documentation/runners/flink/ (Beam 2.71), and the javadoc of SparkPipelineOptions and
# SparkCommonPipelineOptions (Beam 2.77).
# fmt: off
_JOB_SERVER_VALUES: Final = (
    # Flink
    "auto_watermark_interval", "checkpoint_timeout_millis", "checkpointing_interval", "checkpointing_mode",
    "execution_mode_for_batch", "execution_retry_delay", "file_input_split_max_size_m_b", "flink_conf_dir",
    "job_check_interval_in_secs", "latency_tracking_interval", "max_bundle_size", "max_bundle_time_mills",
    "min_pause_between_checkpoints", "num_concurrent_checkpoints", "number_of_execution_retries",
    "report_checkpoint_duration", "savepoint_path", "shutdown_sources_after_idle_ms", "state_backend",
    "state_backend_factory", "state_backend_storage_path", "tolerable_checkpoint_failure_number",
    # Spark
    "batch_interval_millis", "bundle_size", "checkpoint_dir", "checkpoint_duration_millis", "max_records_per_batch",
    "min_read_time_millis", "read_time_percentage", "spark_master", "storage_level",
)
_JOB_SERVER_SWITCHES: Final = (
    # Flink
    "allow_non_restored_state", "attached_mode", "auto_balance_write_files_sharding_enabled", "disable_metrics",
    "enable_stable_input_drain", "externalized_checkpoints_enabled", "faster_copy",
    "finish_bundle_before_checkpointing", "force_slot_sharing_group", "force_unaligned_checkpoint_enabled",
    "object_reuse", "operator_chaining", "retain_externalized_checkpoints_on_cancellation",
    "unaligned_checkpoint_enabled",
    # Spark
    "cache_disabled", "enable_spark_metric_sinks", "prefer_group_by_key_to_handle_huge_values",
    "uses_provided_spark_context",
)
# fmt: on


def beam_options(flags: Sequence[str]) -> PipelineOptions:
    """Beam's options from Beam's flags, with the local engine pinned to FnApiRunner in memory when none is named.

    With `--job_endpoint=embed` (a job service inside this process, for tests of the portable path) it also switches off
    the time-based output buffer of that service, which otherwise drops bytes; the setting holds for the whole process.

    Raises:
        ValueError: a flag that Beam and its job servers don't know, a value that Beam refuses, an argument that is no
            flag, or a flag that would lose records.
    """
    given = _checked(flags)
    options = PipelineOptions(list(flags))
    options.view_as(StandardOptions).runner = _runner(given.runner)
    if given.job_endpoint == "embed":
        from apache_beam.runners.portability.fn_api_runner import worker_handlers  # half a second

        worker_handlers.DATA_BUFFER_TIME_LIMIT_MS = 0
    return options


def is_local(options: PipelineOptions) -> bool:
    """Whether the pipeline runs in this process, so that parallel work is ours to arrange."""
    return bool(options.view_as(StandardOptions).runner == LOCAL_RUNNER)


def runner_for(options: PipelineOptions) -> Any:
    """The runner to give to a pipeline; None for the one that the options name."""
    if options.view_as(StandardOptions).runner != "FlinkRunner":
        return None
    from webtext.pipeline.engine.flink import OneServerFlinkRunner

    return OneServerFlinkRunner()  # type: ignore[no-untyped-call]


def check_job(options: PipelineOptions, folder: str) -> None:
    """Refuse a submission from which no part of a stage could come back.

    Args:
        options: of the pipeline.
        folder: where the parts are to write.

    Raises:
        ValueError: flags that start no job, or a folder that the engine's machines can't reach.
    """
    given = options.get_all_options()
    for flag in ("dry_run", "template_location"):
        if given.get(flag):
            raise ValueError(
                f"--{flag} is refused: it starts no job, and each stage reads what the one before it wrote"
            )
    if given["runner"] != "DataflowRunner" or not storage.is_local(folder):
        return
    if urlsplit(str(given.get("dataflow_endpoint"))).hostname not in ("localhost", "127.0.0.1"):
        raise ValueError(f"Dataflow's machines can't write to {folder}: give a --work that begins with gs://")


def job_page(options: PipelineOptions, job: Any) -> str:
    """Where a person watches a job of Dataflow; empty for other engines."""
    given = options.view_as(GoogleCloudOptions)
    if options.view_as(StandardOptions).runner != "DataflowRunner":
        return ""
    return f"https://console.cloud.google.com/dataflow/jobs/{given.region}/{job.job_id()}?project={given.project}"


@functools.cache
def known_flags() -> frozenset[str]:
    """Every flag that Beam's Python SDK or one of its job servers takes, with the leading dashes."""
    return frozenset(_spellings(_parser()))


def _parser() -> argparse.ArgumentParser:
    # Beam builds the same parser inside PipelineOptions.get_all_options, but only warns of what it does not know.
    parser = _BeamArgumentParser(prog="Beam", usage="flags of Apache Beam", allow_abbrev=False, exit_on_error=False)
    for options in PipelineOptions.__subclasses__():
        if options.__module__.startswith("apache_beam."):
            options._add_argparse_args(parser)
    declared = set(_spellings(parser))
    for name in _JOB_SERVER_VALUES:
        if f"--{name}" not in declared:
            parser.add_argument(f"--{name}")
    for name in _JOB_SERVER_SWITCHES:
        if f"--{name}" not in declared:
            parser.add_argument(f"--{name}", action="store_true")
    return parser


def _spellings(parser: argparse.ArgumentParser) -> list[str]:
    return [name for action in parser._actions for name in action.option_strings]


def _checked(flags: Sequence[str]) -> argparse.Namespace:
    if any("data_buffer_time_limit_ms" in flag for flag in flags):
        raise ValueError(
            "data_buffer_time_limit_ms is refused: its buffer loses elements in Beam 2.77, without an error"
        )
    try:
        given, rest = _parser().parse_known_args(list(flags))
    except argparse.ArgumentError as error:
        raise ValueError(f"Beam: {error}") from error
    for argument in rest:
        if argument.startswith("-"):
            name = argument.partition("=")[0]
            raise ValueError(f"unknown Beam flag {name}{_nearest(name, known_flags())}")
    if rest:
        raise ValueError(f"unexpected argument {rest[0]!r} among Beam's flags")
    # Both other modes flush what goes to the workers from a timer thread, which drops what is written meanwhile
    # (data_plane.py, TimeBasedBufferingClosableOutputStream): 2 of 10 runs of a join of 20,000 elements were wrong.
    if given.direct_running_mode != "in_memory":
        raise ValueError(
            f"--direct_running_mode={given.direct_running_mode} is refused: it loses elements in Beam 2.77, "
            "without an error; use --workers for parallel work"
        )
    if given.direct_num_workers != 1:
        raise ValueError(
            f"--direct_num_workers={given.direct_num_workers} is refused: it has an effect only in running modes that "
            "lose elements in Beam 2.77; use --workers for parallel work"
        )
    if given.no_wait_until_finish:
        raise ValueError("--no_wait_until_finish is refused: each stage reads what the stage before it wrote")
    if given.streaming:
        raise ValueError("--streaming is refused: a corpus build is a batch job")
    return given


def _runner(name: str | None) -> str:
    if name is None:
        return LOCAL_RUNNER
    module, _, last = name.rpartition(".")
    known: list[str] = StandardOptions.KNOWN_RUNNER_NAMES
    by_lower_case = {runner.lower(): runner for runner in known}
    # Beam takes any case and "flink" for "FlinkRunner" (runner.py create_runner); so do we.
    runner = by_lower_case.get(last.lower()) or by_lower_case.get(f"{last.lower()}runner")
    if runner in _SWITCHING_RUNNERS:
        _warn_of_switching(runner)
        return LOCAL_RUNNER
    if module:  # the class of a third party, or the long name of one of Beam's
        return runner if runner is not None and module.startswith("apache_beam.") else name
    if runner is None:
        raise ValueError(f"unknown Beam runner {name}{_nearest(name, known)}; known: {', '.join(known)}")
    return runner


@functools.cache
def _warn_of_switching(runner: str) -> None:
    # Once per process: each stage of a build makes its options anew.
    _LOG.warning("%s picks another engine from run to run; using %s", runner, LOCAL_RUNNER)


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
