"""Checkpoints that are whole or not there: RUN/checkpoint-00000123 with tensors, and state.json that vouches for them.

A checkpoint is written under a temporary name, flushed to the disk and renamed, so a kill at any moment leaves the last
good one. state.json is written last and has the sha256 of each file: what was damaged afterwards is found and skipped.
Only safetensors and JSON are read, never pickle, so a checkpoint from elsewhere can't run code. A run under FSDP writes
one file of each kind for each rank; a checkpoint of any number of them is read by any number of ranks.
"""

import errno
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from webtext.model.distributed import Ranks
from webtext.model.gpt2 import GPT2, GPT2Config

T = TypeVar("T")

FORMAT: Final = "webtext-checkpoint/2"
STATE: Final = "state.json"
MODEL: Final = "model.safetensors"
OPTIMIZER: Final = "optimizer.safetensors"

_NAME: Final = re.compile(r"checkpoint-(\d{8,})")
_TEMPORARY: Final = re.compile(r"checkpoint-\d{8,}\.tmp-\d+")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class State:
    """What a run has to know to go on exactly, beside the tensors.

    There is no random state and no loader state: dropout and the order of the windows are functions of seed and step.
    """

    step: int  # updates done
    config: dict[str, Any]  # {"model": ..., "train": ...}, every field
    corpus_sha256: str  # of the content part of the corpus manifest
    arithmetic: dict[str, Any]  # device, dtype, threads and PyTorch version: equal losses need equal ones
    metrics: dict[str, float]  # of the last step, for readers

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """The state in `data`. Raises ValueError if it is no checkpoint state of this version."""
        d = json.loads(data)
        if not isinstance(d, dict) or d.pop("format", None) != FORMAT:
            raise ValueError(f"not a state of format {FORMAT}")
        d.pop("files", None)
        try:
            state = cls(**d)
            GPT2Config(**state.config["model"])
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a state of format {FORMAT}: {error!r}") from error
        return state


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint whose files are those that it was written with."""

    path: Path
    state: State


def save(  # noqa: PLR0917 - what belongs to a checkpoint
    run: Path,
    state: State,
    model: GPT2,
    optimizers: list[torch.optim.Optimizer],
    keep: int,
    extra: Mapping[str, Tensor] | None = None,
    ranks: Ranks = Ranks(),  # noqa: B008 - frozen
) -> Path:
    """Publish the checkpoint of `state.step` in `run`, then delete all but the newest `keep`.

    All ranks call it. The first one writes, or each its part of a model that FSDP has cut.

    Raises:
        OSError: it could not be written, for example because the disk is full. Older checkpoints are untouched.
    """
    final = run / f"checkpoint-{state.step:08}"
    temporary = ranks.agree(run / f"{final.name}.tmp-{os.getpid()}")
    parts = ranks.world if any(isinstance(p, DTensor) for p in model.parameters()) else 1
    tensors = {MODEL: model.state_dict(), OPTIMIZER: _optimizer_tensors(model, optimizers) | dict(extra or {})}

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
        (temporary / STATE).write_text(json.dumps({"format": FORMAT, **asdict(state), "files": files}, indent=1) + "\n")
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
        for _, old in _listed(run, up_to=state.step)[keep:]:
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
        ValueError: there are checkpoints, and each is damaged.
    """
    listed = _listed(run)
    for _, path in listed:
        try:
            return Checkpoint(path, _checked_state(path))
        except (OSError, ValueError) as error:
            _log.warning("skipping %s: %s", path, error)
    if listed:
        raise ValueError(f"{run} has {len(listed)} checkpoints and all are damaged; delete the folder to start again")
    return None


def restore(checkpoint: Checkpoint, model: GPT2, optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Put the tensors of `checkpoint` into `model` and `optimizers`, however many ranks wrote and read them.

    Returns:
        The extra tensors that it was saved with.

    Raises:
        ValueError: the optimizers are not those that it was saved with.
    """
    weights, moments = _Stored(checkpoint, MODEL), _Stored(checkpoint, OPTIMIZER)
    owners = {p: optimizer for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    kinds_of: dict[str, list[str]] = {}
    for key in moments.names:
        kind, _, name = key.partition("/")
        kinds_of.setdefault(name, []).append(kind)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(_cut_as(weights.read(name), parameter))
            owners[parameter].state[parameter] = {
                kind: _cut_as(moments.read(f"{kind}/{name}"), parameter) for kind in kinds_of.pop(name, [])
            }
    return {f"{kinds[0]}/{name}": moments.read(f"{kinds[0]}/{name}") for name, kinds in kinds_of.items()}


def load_model(checkpoint: Checkpoint, device: torch.device) -> GPT2:
    """The model of `checkpoint`, ready to use (not to train)."""
    model = GPT2(GPT2Config(**checkpoint.state.config["model"]))
    stored = _Stored(checkpoint, MODEL)
    model.load_state_dict({name: stored.read(name) for name in stored.names})
    return model.to(device).eval()


def newest_model(run: Path, device: torch.device) -> GPT2:
    """The model of a run's newest checkpoint, ready to use.

    Raises:
        ValueError: the folder has no checkpoint.
    """
    if not run.is_dir() or (newest := latest(run)) is None:
        raise ValueError(f"{run} has no checkpoint: give the folder that `webtext pretrain --out` wrote to")
    return load_model(newest, device)


class _Stored:
    """The tensors of one kind, out of the files of all ranks that wrote them."""

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        listed = [path for path in checkpoint.path.iterdir() if _is_part(path.name, name)]
        self._files: list[Any] = [safe_open(path, "pt") for path in sorted(listed)]
        self.names: list[str] = list(self._files[0].keys())

    def read(self, name: str) -> Tensor:
        """One whole tensor; only one at a time is in memory."""
        pieces = [file.get_tensor(name) for file in self._files if name in file.keys()]  # noqa: SIM118 - no mapping
        whole: Tensor = pieces[0] if len(pieces) == 1 else torch.cat(pieces)  # FSDP cuts along the first axis
        return whole


def part_name(name: str, part: int, parts: int) -> str:
    """File of the tensors that rank `part` of `parts` wrote, as Hugging Face names them."""
    return name if parts == 1 else name.replace(".", f"-{part + 1:05}-of-{parts:05}.")


def _is_part(file: str, name: str) -> bool:
    return bool(re.fullmatch(re.escape(name).replace(r"\.", r"(-\d{5}-of-\d{5})?\."), file))


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


def _checked_state(path: Path) -> State:
    """The state of the checkpoint at `path`, after comparing every file with its digest."""
    data = (path / STATE).read_bytes()
    state = State.from_json(data)
    files = json.loads(data).get("files", {})
    for name in (MODEL, OPTIMIZER):
        present = {file.name for file in path.iterdir() if _is_part(file.name, name)}
        listed = {file for file in files if _is_part(file, name)}
        if not listed or present != listed:
            raise ValueError(f"of {name} there are {sorted(present)}, {STATE} lists {sorted(listed)}")
    for file, digest in files.items():
        if (found := _sha256(path / Path(file).name)) != digest:
            raise ValueError(f"{file} has sha256 {found}, {STATE} says {digest}")
    return state


def _optimizer_tensors(model: GPT2, optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Every tensor that an optimizer keeps, as KIND/PARAMETER with PyTorch's kinds, for example exp_avg/wte.weight."""
    return {
        f"{kind}/{name}": tensor
        for name, parameter in model.named_parameters()
        for optimizer in optimizers
        if parameter in optimizer.state
        for kind, tensor in optimizer.state[parameter].items()
    }


def _flush(path: Path) -> str:
    """Force `path` to the disk; returns its sha256."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush_folder(path: Path) -> None:
    """Force the names in `path` to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
