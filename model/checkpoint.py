"""Checkpoints that are whole or not there: RUN/checkpoint-00000123 with tensors, and state.json that vouches for them.

A checkpoint is written under a temporary name, flushed to the disk and renamed, so a kill at any moment leaves the last
good one. state.json is written last and has the sha256 of each file: what was damaged afterwards is found and skipped.
Only safetensors and JSON are read, never pickle, so a checkpoint from elsewhere can't run code. A run under FSDP writes
one file of each kind for each rank; a checkpoint of any number of them is read by any number of ranks.
"""

import errno
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from webtext.model.distributed import Ranks
from webtext.model.gpt2 import GPT2, tensor_count, tensor_shapes
from webtext.model.optim import moment_shapes
from webtext.model.settings import TrainSettings
from webtext.model.spikes import GUARD, GUARD_SHAPE
from webtext.model.state import State
from webtext.model.tensor_files import MODEL, OPTIMIZER, TensorFiles, check_digest, is_part, part_name
from webtext.schemas.manifest import file_sha256

T = TypeVar("T")

STATE: Final = "state.json"

_NAME: Final = re.compile(r"checkpoint-([0-9]{8,})")
_TEMPORARY: Final = re.compile(r"checkpoint-[0-9]{8,}\.tmp-[0-9]+")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint whose files are those that it was written with, and of the shapes that its state asks for."""

    path: Path
    state: State


def save(  # noqa: PLR0917 - what belongs to a checkpoint
    run: Path,
    state: State,
    model: GPT2,
    optimizers: list[torch.optim.Optimizer],
    guard: Tensor,
    ranks: Ranks = Ranks(),  # noqa: B008 - frozen
) -> Path:
    """Publish the checkpoint of `state.step` in `run`, then delete all but the newest `state.train.keep`.

    All ranks call it. The first one writes, or each its part of a model that FSDP has cut.

    Raises:
        OSError: it could not be written, for example because the disk is full. Older checkpoints are untouched.
    """
    final = run / f"checkpoint-{state.step:08}"
    temporary = ranks.agree(run / f"{final.name}.tmp-{os.getpid()}")
    parts = ranks.world if any(isinstance(p, DTensor) for p in model.parameters()) else 1
    weights = model.state_dict()  # first: FSDP gives back the whole weights that a validation has gathered
    tensors = {MODEL: weights, OPTIMIZER: _optimizer_tensors(model, optimizers, state.train) | {GUARD: guard}}

    def write_tensors() -> dict[str, str]:
        if ranks.rank >= parts:
            return {}
        temporary.mkdir(exist_ok=True)
        digests = {}
        for name, content in tensors.items():
            path = temporary / part_name(name, ranks.rank, parts)
            save_file(_of_rank(content, ranks), path)
            digests[path.name] = _flush(path)
        return digests

    def publish(files: dict[str, str]) -> None:
        if not ranks.first:
            return
        (temporary / STATE).write_bytes(replace(state, files=files).to_json())
        _flush(temporary / STATE)
        _flush_folder(temporary)
        if final.exists():  # it was found damaged at the start of this run
            shutil.rmtree(final)
        temporary.rename(final)
        _flush_folder(run)

    try:
        written = _on_all(ranks, write_tensors)
        _on_all(ranks, lambda: publish({name: digest for part in written for name, digest in part.items()}))
    except (OSError, SafetensorError) as error:
        if ranks.first:
            shutil.rmtree(temporary, ignore_errors=True)
        free = shutil.disk_usage(run).free // 2**20
        why = f"the checkpoint of step {state.step} can't be written: {error}. {free} MiB are free; older ones are kept"
        number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
        raise OSError(number, why, str(final)) from error
    if ranks.first:
        # Only up to this step: a later one was found damaged, and must not push out a good one.
        for _, old in _listed(run, up_to=state.step)[state.train.keep :]:
            shutil.rmtree(old)
    return final


def _on_all(ranks: Ranks, work: Callable[[], T]) -> list[T]:
    """What `work` gives on each rank. An error on one is raised on all, so that none waits for it."""
    failed: OSError | SafetensorError | None = None
    value: T | None = None
    try:
        value = work()
    except (OSError, SafetensorError) as error:
        failed = error
    outcomes = ranks.gather((value, failed))
    for _, anywhere in outcomes:
        if anywhere is not None:
            raise anywhere
    return [cast(T, value) for value, _ in outcomes]


def latest(run: Path) -> Checkpoint | None:
    """The newest checkpoint of `run` that is whole, or None where none was ever finished.

    Raises:
        ValueError: there are checkpoints, and none can be read.
    """
    listed = _listed(run)
    why: OSError | ValueError | None = None
    for _, path in listed:
        try:
            return opened(path)
        except (OSError, ValueError) as error:
            why = why or error
            _log.warning("skipping %s: %s", path, error)
    if listed:
        raise ValueError(
            f"{run} has {len(listed)} checkpoints and none can be read; delete the folder to start again. "
            f"{listed[0][1].name}: {why}"
        )
    return None


def opened(path: Path) -> Checkpoint:
    """The checkpoint in the folder `path`, the one way in: nothing of it is built or copied before all of it fits.

    Its state has its own digest, which holds the files' digests. Names, shapes and types of all tensors must be those
    of the model and the optimizer that the state describes.

    Raises:
        ValueError: it is damaged, or none of this version.
        OSError: a file is missing or can't be read.
    """
    state = State.read(path / STATE)
    TensorFiles(path, MODEL, state.files).check(tensor_count(state.model), tensor_shapes(state.model))
    TensorFiles(path, OPTIMIZER, state.files).check(*_optimizer_shapes(state))
    for file, digest in state.files.items():
        if not (is_part(file, MODEL) or is_part(file, OPTIMIZER)):
            raise ValueError(f"{STATE} lists {file!r}, which belongs to no checkpoint")
        check_digest(path / file, digest)
    return Checkpoint(path, state)


def restore(checkpoint: Checkpoint, model: GPT2, optimizers: list[torch.optim.Optimizer]) -> Tensor:
    """Put the tensors of `checkpoint` into `model` and `optimizers`, however many ranks wrote and read them.

    Returns:
        What the spike guard remembers.

    Raises:
        ValueError: a tensor holds what is no number.
    """
    path, state = checkpoint.path, checkpoint.state
    weights, moments = (TensorFiles(path, name, state.files) for name in (MODEL, OPTIMIZER))
    owners = {p: optimizer for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    least, most = {"step": 0.0, "exp_avg_sq": 0.0}, {"step": float(state.step)}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(_cut_as(weights.read(name), parameter))
            owners[parameter].state[parameter] = {
                kind: _cut_as(moments.read(f"{kind}/{name}", least.get(kind), most.get(kind)), parameter)
                for kind in moment_shapes(name, tuple(parameter.shape), state.train)
            }
    return moments.read(GUARD, gaps=True)


def load_model(checkpoint: Checkpoint, device: torch.device) -> GPT2:
    """The model of `checkpoint`, ready to use (not to train). Raises ValueError if a weight is no number."""
    with torch.device("meta"):  # first weights would be overwritten
        model = GPT2(checkpoint.state.model)
    stored = TensorFiles(checkpoint.path, MODEL, checkpoint.state.files)
    model.load_state_dict({name: stored.read(name) for name in stored.names}, assign=True)
    return model.to(device).eval()


def newest_model(run: Path, device: torch.device) -> GPT2:
    """The model of a run's newest checkpoint, ready to use.

    Raises:
        ValueError: the folder has no checkpoint.
    """
    if not run.is_dir() or (newest := latest(run)) is None:
        raise ValueError(f"{run} has no checkpoint: give the folder that `webtext pretrain --out` wrote to")
    return load_model(newest, device)


def _of_rank(tensors: Mapping[str, Tensor], ranks: Ranks) -> dict[str, Tensor]:
    """This rank's part of what FSDP has cut; all the rest, which every rank has, goes into the first one's file."""
    return {
        name: tensor.to_local().contiguous() if isinstance(tensor, DTensor) else tensor
        for name, tensor in tensors.items()
        if ranks.first or isinstance(tensor, DTensor)
    }


def _cut_as(whole: Tensor, parameter: Tensor) -> Tensor:
    """`whole` where `parameter` is, and this rank's part of it where FSDP has cut that."""
    if not isinstance(parameter, DTensor) or not whole.dim():
        return whole.to(parameter.device)
    return distribute_tensor(
        whole.to(parameter.device), parameter.device_mesh, parameter.placements, src_data_rank=None
    )


def remove_unfinished(run: Path) -> None:
    """Delete what killed runs left behind. Only for the one process that writes to `run`."""
    for path in run.iterdir():
        if _TEMPORARY.fullmatch(path.name):
            shutil.rmtree(path)


def _listed(run: Path, up_to: int | None = None) -> list[tuple[int, Path]]:
    """Published checkpoints as (step, folder), newest first, whole or not."""
    found: Iterator[tuple[int, Path]] = (
        (int(match[1]), path) for path in run.iterdir() if (match := _NAME.fullmatch(path.name))
    )
    return sorted((entry for entry in found if up_to is None or entry[0] <= up_to), reverse=True)


def _optimizer_shapes(state: State) -> tuple[int, Iterator[tuple[str, tuple[int, ...]]]]:
    """How many tensors the optimizer and the spike guard keep, and the name and shape of each."""

    def shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
        for name, shape in tensor_shapes(state.model):
            for kind, kept in moment_shapes(name, shape, state.train).items():
                yield f"{kind}/{name}", kept
        yield GUARD, GUARD_SHAPE

    # Three for each parameter, one for each of the four matrices of a block that are Muon's.
    count = 3 * tensor_count(state.model) - (8 * state.model.n_layer if state.train.optimizer == "muon" else 0)
    return count + 1, shapes()


def _optimizer_tensors(
    model: GPT2, optimizers: list[torch.optim.Optimizer], settings: TrainSettings
) -> dict[str, Tensor]:
    """Every tensor that an optimizer keeps, as KIND/PARAMETER with PyTorch's kinds, for example exp_avg/wte.weight."""
    owners = {p: optimizer for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    tensors = {}
    for name, parameter in model.named_parameters():
        kept = owners[parameter].state.get(parameter, {})
        for kind in moment_shapes(name, tuple(parameter.shape), settings):
            # Where no update was taken yet, what the first one begins with.
            nothing = torch.zeros(()) if kind == "step" else torch.zeros_like(parameter)
            tensors[f"{kind}/{name}"] = kept.get(kind, nothing)
    return tensors


def _flush(path: Path) -> str:
    """Force `path` to the disk; returns its sha256."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return file_sha256(path)


def _flush_folder(path: Path) -> None:
    """Force the names in `path` to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
