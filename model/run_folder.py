"""The folder of a run: one trainer at a time, one experiment for ever."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from webtext.model.checkpoint import Checkpoint
from webtext.model.data import Corpus
from webtext.model.settings import FREE_TO_CHANGE, FREE_TO_GROW, GPT2Config, TrainSettings
from webtext.model.state import Change


def changes(resumed: Checkpoint, config: GPT2Config, settings: TrainSettings, corpus: Corpus) -> tuple[Change, ...]:
    """What a run goes on with, other than before. Refuses another experiment: ValueError names what differs."""
    advice = "Use the same value, or another folder for a new run"
    then = resumed.state
    found = []
    for group, now, before in (("model", config, then.model), ("train", settings, then.train)):
        for name, value in asdict(now).items():
            setting, other = f"{group}.{name}", getattr(before, name)
            if value == other:
                continue
            grows = setting == FREE_TO_GROW and value > other
            if setting not in FREE_TO_CHANGE and not grows:
                less = "may only grow: it " if setting == FREE_TO_GROW else ""
                raise ValueError(
                    f"{setting} {less}is {value!r}, the run in {resumed.path.parent} has {other!r}. {advice}"
                )
            found.append(Change(then.step, setting, other, value))
    now_sha256 = corpus.manifest.content_sha256()
    if now_sha256 != then.corpus_sha256:
        raise ValueError(
            f"{corpus.folder} has content_sha256 {now_sha256}, the run in {resumed.path.parent} was trained on "
            f"{then.corpus_sha256}. {advice}"
        )
    return tuple(found)


@contextlib.contextmanager
def alone(run: Path, *, first: bool = True) -> Iterator[None]:
    """Own the folder of the run, or let the first rank: two trainers in it would destroy each other's files."""
    if not first:
        yield
        return
    run.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(run / ".lock", os.O_RDWR | os.O_CREAT), "w") as lock:  # to write only would wait for a pipe
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"{run} is in use by another process; wait for it, or choose another folder") from error
        yield
