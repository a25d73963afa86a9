"""Checkpoints that are whole or not there: RUN/checkpoint-00000123 with tensors, and state.json that vouches for them.

A checkpoint is written under a temporary name, flushed to the disk and renamed, so a kill at any moment leaves the last
good one. state.json is written last and has the sha256 of each file: what was damaged afterwards is found and skipped.
Only safetensors and JSON are read, never pickle, so a checkpoint from elsewhere can't run code.
"""

import errno
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.gpt2 import GPT2, GPT2Config

FORMAT: Final = "webtext-checkpoint/1"
STATE: Final = "state.json"
MODEL: Final = "model.safetensors"
OPTIMIZER: Final = "optimizer.safetensors"
ADAM_STATE: Final = ("step", "exp_avg", "exp_avg_sq")  # PyTorch's names of what AdamW keeps for each parameter

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


def save(run: Path, state: State, model: GPT2, optimizer: torch.optim.Optimizer, keep: int) -> Path:
    """Publish the checkpoint of `state.step` in `run`, then delete all but the newest `keep`.

    Raises:
        OSError: it could not be written, for example because the disk is full. Older checkpoints are untouched.
    """
    final = run / f"checkpoint-{state.step:08}"
    temporary = run / f"{final.name}.tmp-{os.getpid()}"
    try:
        temporary.mkdir()
        save_file(model.state_dict(), temporary / MODEL)
        save_file(_optimizer_tensors(model, optimizer), temporary / OPTIMIZER)
        files = {name: _flush(temporary / name) for name in (MODEL, OPTIMIZER)}
        (temporary / STATE).write_text(json.dumps({"format": FORMAT, **asdict(state), "files": files}, indent=1) + "\n")
        _flush(temporary / STATE)
        _flush_folder(temporary)
        if final.exists():  # it was found damaged at the start of this run
            shutil.rmtree(final)
        temporary.rename(final)
        _flush_folder(run)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        free = shutil.disk_usage(run).free // 2**20
        why = f"the checkpoint of step {state.step} can't be written: {error}. {free} MiB are free; older ones are kept"
        number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
        raise OSError(number, why, str(final)) from error
    # Only up to this step: a later one was found damaged, and must not push out a good one.
    for _, old in _listed(run, up_to=state.step)[keep:]:
        shutil.rmtree(old)
    return final


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


def restore(checkpoint: Checkpoint, model: GPT2, optimizer: torch.optim.Optimizer) -> None:
    """Put the tensors of `checkpoint` into `model` and `optimizer`."""
    model.load_state_dict(load_file(checkpoint.path / MODEL))
    tensors = load_file(checkpoint.path / OPTIMIZER)
    for name, parameter in model.named_parameters():
        optimizer.state[parameter] = {kind: tensors[f"{kind}/{name}"].to(parameter.device) for kind in ADAM_STATE}


def load_model(checkpoint: Checkpoint, device: torch.device) -> GPT2:
    """The model of `checkpoint`, ready to use (not to train)."""
    model = GPT2(GPT2Config(**checkpoint.state.config["model"]))
    model.load_state_dict(load_file(checkpoint.path / MODEL))
    return model.to(device).eval()


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
        if (digest := _sha256(path / name)) != files.get(name):
            raise ValueError(f"{name} has sha256 {digest}, {STATE} says {files.get(name)}")
    return state


def _optimizer_tensors(model: GPT2, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Every tensor of the optimizer as KIND/PARAMETER, for example exp_avg/wte.weight."""
    return {
        f"{kind}/{name}": optimizer.state[parameter][kind]
        for name, parameter in model.named_parameters()
        for kind in ADAM_STATE
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
