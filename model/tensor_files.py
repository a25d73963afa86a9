"""The tensors of a checkpoint: safetensors files, checked by name, shape and type before any of them is read.

A run under FSDP writes a file for each rank; together they are read as one. The file format is checked by the library
safetensors: a header of at most 100 MB, whose tensors lie in the file one after the other and fill it.
"""

import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from webtext.schemas.manifest import file_sha256

Shape = tuple[int, ...]

MODEL: Final = "model.safetensors"
OPTIMIZER: Final = "optimizer.safetensors"
TYPE: Final = "F32"  # of all tensors


def part_name(name: str, part: int, parts: int) -> str:
    """File of the tensors that rank `part` of `parts` wrote, as Hugging Face names them."""
    return name if parts == 1 else name.replace(".", f"-{part + 1:05}-of-{parts:05}.")


def is_part(file: str, name: str) -> bool:
    """Is `file` one of those that hold the tensors called `name`?"""
    return bool(re.fullmatch(re.escape(name).replace(r"\.", r"(-[0-9]{5}-of-[0-9]{5})?\."), file))


def check_digest(path: Path, digest: str) -> None:
    """Compare a file with its sha256. Raises ValueError if they differ."""
    if (found := file_sha256(path)) != digest:
        raise ValueError(f"{path.name} has sha256 {found}, the checkpoint says {digest}: it was edited or damaged")


class TensorFiles:
    """The tensors called `name` in `folder`, out of the files of all ranks that wrote them."""

    def __init__(self, folder: Path, name: str, listed: Iterable[str]) -> None:
        """Open those of the files `listed` that are called so.

        Raises:
            ValueError: a file is missing, too much or no safetensors file.
            OSError: the folder can't be read.
        """
        expected = sorted(file for file in listed if is_part(file, name))
        present = sorted(path.name for path in folder.iterdir() if is_part(path.name, name))
        if present != expected or expected != [part_name(name, i, len(expected)) for i in range(len(expected))]:
            raise ValueError(f"of {name} there are {present}, the checkpoint lists {expected}")
        self._path = folder / name
        self._files = [_open(folder / file) for file in expected]
        self.names: set[str] = {tensor for file in self._files for tensor in file.keys()}  # noqa: SIM118 - no mapping

    def check(self, count: int, expected: Iterable[tuple[str, Shape]]) -> None:
        """Compare the tensors with those that belong here, `count` in all; reads headers only.

        Raises:
            ValueError: there are more or fewer tensors, or one has another name, shape or type.
        """
        if len(self.names) != count:
            raise ValueError(f"{self._path.name} has {len(self.names)} tensors, this model has {count}")
        for name, shape in expected:
            pieces = [file.get_slice(name) for file in self._files if name in file.keys()]  # noqa: SIM118
            if not pieces:
                raise ValueError(f"{self._path.name} has no tensor {name}")
            if types := {piece.get_dtype() for piece in pieces} - {TYPE}:
                raise ValueError(f"{self._path.name}: {name} has type {sorted(types)[0]}, expected {TYPE}")
            if (found := _joined([tuple(piece.get_shape()) for piece in pieces])) != shape:
                raise ValueError(f"{self._path.name}: {name} has shape {found}, expected {shape}")

    def read(self, name: str, least: float | None = None, most: float | None = None, *, gaps: bool = False) -> Tensor:
        """One whole tensor in memory of its own; only one at a time is in memory.

        Args:
            name: of the tensor.
            least: smallest value that makes sense.
            most: largest.
            gaps: NaN is a value too.

        Raises:
            ValueError: a value is not finite, or out of that range.
        """
        pieces = [file.get_tensor(name) for file in self._files if name in file.keys()]  # noqa: SIM118 - no mapping
        whole: Tensor = torch.cat(pieces) if len(pieces) > 1 else pieces[0].clone()  # FSDP cuts along the first axis
        fits = whole.isfinite() | whole.isnan() if gaps else whole.isfinite()
        fits = fits if least is None else fits & (whole >= least)
        fits = fits if most is None else fits & (whole <= most)
        if not fits.all():
            wrong = whole[~fits].flatten()[0].item()
            raise ValueError(f"{self._path}: {name} has the value {wrong}, which no training leaves there")
        return whole


def _open(path: Path) -> Any:
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{path.name} is no regular file")
    try:
        return safe_open(path, "pt")
    except SafetensorError as error:
        raise ValueError(f"{path.name} is no safetensors file: {error}") from error


def _joined(shapes: list[Shape]) -> Shape | list[Shape]:
    """The shape of pieces that were cut along the first axis; the shapes as they are if they don't fit together."""
    if len(shapes) == 1:
        return shapes[0]
    if len({(len(shape), shape[1:]) for shape in shapes}) > 1 or not shapes[0]:
        return shapes
    return (sum(shape[0] for shape in shapes), *shapes[0][1:])
