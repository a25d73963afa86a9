"""Checkpoints that somebody has changed on purpose: all digests are right, so only a reader's own checks find it."""

import json

from safetensors.torch import load_file, save_file

from webtext.model.checkpoint import STATE
from webtext.schemas.manifest import digest_of, file_sha256


def change_tensors(path, tensors):
    """Put `tensors` into a safetensors file; None takes one out."""
    save_file({name: value for name, value in (load_file(path) | tensors).items() if value is not None}, path)


def change_state(folder, change=lambda state: None):
    """Let `change` edit the state of a checkpoint in place, then make all its digests right."""
    whole = json.loads((folder / STATE).read_text())
    change(whole["state"])
    if isinstance(files := whole["state"].get("files"), dict):
        whole["state"]["files"] = {
            n: file_sha256(folder / n) if (folder / n).is_file() else d for n, d in files.items()
        }
    whole["sha256"] = digest_of(whole["state"])
    (folder / STATE).write_text(json.dumps(whole))
