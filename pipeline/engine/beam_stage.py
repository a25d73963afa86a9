"""How a stage runs on Beam: one element is one part, and a part is files to files.

On the local engine the DoFn fans its parts out over a process pool of ours. On a cluster the same DoFn runs in place,
because there the engine owns the processes. Only receipts count: a part that an engine runs twice, or in two places at
once, publishes the same bytes under the same names.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from webtext.pipeline.engine import stage as stages
from webtext.pipeline.engine.beam_options import beam_options, check_job, is_local, job_page, runner_for
from webtext.pipeline.engine.pool import Pool
from webtext.pipeline.engine.progress import watch
from webtext.pipeline.engine.stage import Part, Stage
from webtext.pipeline.files import storage
from webtext.schemas.manifest import StageManifest

# Bytes that one pipeline may shuffle on the local engine, which takes about four times that memory. Each further
# pipeline reads the sources again: 8 million documents make 33 rounds over 4 GB of signatures.
_LOCAL_SHUFFLE = 128 * 2**20

_STAY = "finished parts stay, the same command does the others"

_RAISED = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception): .*$", re.MULTILINE)

# It prints the traceback of each error that is raised anyway, and then told in one line.
logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)


class FanOut(beam.DoFn):
    """Calls `function(element)`, which returns a list, and emits its items."""

    def __init__(self, function: Callable[[Any], list[Any]], workers: int, flags: tuple[str, ...]) -> None:
        """`workers` processes of our own; 0 means in place."""
        self._function = function
        self._workers = workers
        self._flags = flags
        self._pool: Pool | None = None

    def setup(self) -> None:
        """Give this process the flags of its file systems: not every Beam worker knows its pipeline's options."""
        if not self._workers:
            storage.configure(self._flags)

    def start_bundle(self) -> None:
        """Start the pool. A local stage is one bundle, so this happens once."""
        if self._workers:
            self._pool = Pool(self._function, self._workers, self._flags)

    def process(self, element: Any) -> Iterator[Any]:
        """Hand the element out; emit what has become ready."""
        if self._pool is None:
            yield from self._function(element)
        else:
            for results in self._pool.submit(element):
                yield from results

    def finish_bundle(self) -> Iterator[Any]:
        """Emit the rest and end the pool."""
        if self._pool is not None:
            for results in self._pool.drain():
                yield from (WindowedValue(result, MIN_TIMESTAMP, (GlobalWindow(),)) for result in results)
            self._pool.close()
            self._pool = None

    def teardown(self) -> None:
        """End the pool if a part failed."""
        if self._pool is not None:
            self._pool.close()


def build_graph(root: Any, stage: Stage, todo: list[Part], workers: int, flags: tuple[str, ...]) -> Any:
    """Add the stage to a pipeline: Create, Reshuffle and ParDo of parts; a shuffle stage has a GroupByKey."""

    def spread(label: str, parts: Iterable[Part]) -> Any:
        # Create would reshuffle once more by itself.
        return (
            root | f"{label} list" >> beam.Create(list(parts), reshuffle=False) | f"{label} spread" >> beam.Reshuffle()
        )

    def fan_out(function: Callable[[Any], list[Any]]) -> beam.ParDo:
        return beam.ParDo(FanOut(function, workers, flags))

    if stage.shuffle is None:
        return spread("parts", todo) | stage.name >> fan_out(partial(stages.run_part, stage))
    wanted = frozenset(part.ordinal for part in todo)
    blocks = spread("sources", stage.shuffle.sources) | "pack" >> fan_out(
        partial(stages.emit_blocks, stage.shuffle, wanted)
    ).with_output_types(tuple[int, bytes])
    # Every wanted part is to run, also one that no source sends anything to.
    empty = root | "empty blocks" >> beam.Create(
        [(ordinal, b"") for ordinal in sorted(wanted)], reshuffle=False
    ).with_output_types(tuple[int, bytes])
    return (
        (blocks, empty)
        | beam.Flatten()
        | "by part" >> beam.GroupByKey()
        | stage.name >> fan_out(partial(stages.run_shuffled_part, stage))
    )


def run_stage(stage: Stage, flags: tuple[str, ...], workers: int) -> StageManifest:
    """Bring a stage to its manifest: skip it if it is complete, else run the parts that have no receipt.

    Raises:
        StageError: a part failed, its files can't be read or written, or the ledger is not closed. Finished parts stay.
    """
    try:
        return _run_stage(stage, flags, workers)
    except OSError as error:
        raise stages.StageError(f"stage {stage.name}: {error}; {_STAY}") from error


def _run_stage(stage: Stage, flags: tuple[str, ...], workers: int) -> StageManifest:
    before = stages.completed(stage)
    if before is not None:
        return before
    done = stages.receipts_of(stage)
    todo = [part for part in stage.parts if part.name not in done]
    if todo:
        options = beam_options(flags)
        check_job(options, stage.folder)
        local = is_local(options)
        with watch(stage) as tell:
            for some in _rounds(stage, todo) if local else [todo]:
                _run_pipeline(stage, some, options, workers if local else 0, flags, tell=tell)
        if jar := options.view_as(PortableOptions).output_executable_path:
            raise stages.StageError(
                f"stage {stage.name}: its job is in {jar}; run it, then give the same command again"
            )
    return stages.complete(stage)


def _rounds(stage: Stage, todo: list[Part]) -> list[list[Part]]:
    """The parts in as many pipelines as keep what the local engine shuffles, all of it in memory, within bounds."""
    if stage.shuffle is None:
        return [todo]
    size = max(1, len(stage.parts) * _LOCAL_SHUFFLE // max(stage.shuffle.bytes, 1))
    return [todo[start : start + size] for start in range(0, len(todo), size)]


def _run_pipeline(
    stage: Stage,
    todo: list[Part],
    options: PipelineOptions,
    workers: int,
    flags: tuple[str, ...],
    *,
    tell: Callable[[str], None],
) -> None:
    job: Any = None
    try:
        pipeline = beam.Pipeline(runner_for(options), options=options)
        build_graph(pipeline, stage, todo, workers, flags)
        job = pipeline.run()
        if page := job_page(options, job):
            tell(f"stage {stage.name}: {page}")
        state = job.wait_until_finish()
    except KeyboardInterrupt:
        if job is not None and not workers:
            with suppress(Exception):  # an engine that can't cancel is left to itself
                job.cancel()
        raise
    except Exception as error:
        if _was_interrupted(error):
            raise KeyboardInterrupt from error
        # Beam repeats the message of what a part raised, and adds where in its graph that was.
        message = _cause(str(error).split(" [while running")[0])
        raise stages.StageError(f"stage {stage.name}: {message}; {_STAY}") from error
    if state != "DONE":
        raise stages.StageError(f"stage {stage.name}: the engine ended the job in state {state}")


def _cause(message: str) -> str:
    """What a worker raised, if the message is its traceback; else the message."""
    raised = _RAISED.findall(message) if "Traceback" in message else []
    return raised[-1] if raised else message


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether a Ctrl-C is behind this: Beam turns it into an error of the element that was at work."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
