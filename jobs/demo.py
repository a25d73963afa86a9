"""`webtext demo`: the whole way at the size of a toy, from Reddit posts to a sample of a language model."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from webtext.jobs.terminal import say

MINI_WEB = Path("examples", "miniweb")


@dataclass(frozen=True)
class DemoConfig:
    """Build a corpus from the shipped mini web, check it, train a tiny GPT-2 on it, and let that write.

    Takes two to four minutes on two cores. Run it again and it takes up what is there: a complete build is not redone,
    training goes on to its last step, and a finished model just writes.
    """

    out: str = "demo"
    """Folder for everything: work/ has the build and its report, run/ the model."""
    seconds: float = 180.0
    """Longest time to train in one go. A machine that needs longer stops there with a checkpoint."""
    steps: int = 0
    """Updates of the model; 0 for those of the preset `tiny`. A model keeps the number that it was begun with."""
    workers: int = 0
    """Processes of the build; 0 for one per usable core."""

    def __post_init__(self) -> None:
        """Refuse what can't be run."""
        for name in ("seconds", "steps", "workers"):
            if not getattr(self, name) >= 0:  # so that NaN is refused too
                raise ValueError(f"--{name} is {getattr(self, name)}, expected 0 or more")


def run(config: DemoConfig) -> int:
    """Build, verify, train, sample; stops at the first step that fails, with its status."""
    from webtext.jobs import build, sample, verify
    from webtext.jobs.config import parse

    mini_web = find_mini_web(Path.cwd(), Path(__file__).resolve().parents[1])
    work, model = os.path.join(config.out, "work"), os.path.join(config.out, "run")
    corpus = os.path.join(work, "corpus")

    _headline("1/4 build a corpus from the mini web")
    flags = ["--config=demo", f"--work={work}", f"--workers={config.workers}"]
    flags += ["--submissions", str(mini_web / "submissions.ndjson.zst"), "--warcs", str(mini_web / "*.warc.gz")]
    if status := build.run(parse(build.BuildConfig, "build", flags, prog="webtext demo")):
        return status

    _headline("2/4 check every file of it")
    if status := verify.run(verify.VerifyConfig(corpus)):
        return status

    _headline("3/4 train a tiny GPT-2 on it")
    flags = ["--config=tiny", f"--data={corpus}", f"--out={model}"]
    if config.steps:
        flags += [f"--train.steps={config.steps}", f"--train.warmup={min(config.steps, 20)}"]
    if status := train(flags, config.seconds):
        return status
    for line in losses(Path(model, "log.jsonl")):
        say(line)

    _headline("4/4 let it write; it has read for a minute or two, so expect words, not sense")
    if status := sample.run(sample.SampleConfig(Path(model), prompt="The", max_tokens=80, seed=0)):
        return status

    _headline("done")
    for name, path in (("report", os.path.join(work, "report.html")), ("corpus", corpus), ("model", model)):
        say(f"{name + ':':7} {path}")
    return 0


def train(flags: Sequence[str], seconds: float) -> int:
    """Run `webtext pretrain` with these flags for at most so many seconds. Returns 0 if it ended or was told to.

    It is a process of its own because SIGTERM is how a training run is told to save a checkpoint and stop. Also, the
    model then shares neither memory nor threads with Beam.
    """
    # A thread of OpenMP spins while it waits, and on a busy machine takes the core from the one it waits for. With
    # three others at work on two cores, 16 steps took 15 and 21 s with this, 22 and 78 s without.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "webtext.jobs.cli", "pretrain", *flags], env=environment
    ) as process:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.terminate()
            status = process.wait()
            if status == -signal.SIGTERM:
                raise ValueError(f"training had not begun after --seconds {seconds:g}: give more") from None
            if status != 128 + signal.SIGTERM:
                return status
            print(f"{seconds:g} seconds are over; `webtext demo` again goes on to the last step")
            return 0
        except KeyboardInterrupt:
            process.wait()  # Ctrl-C reached it too, and it is saving a checkpoint
            raise


def find_mini_web(*roots: Path) -> Path:
    """The folder of the mini web in the first of `roots` that has it, relative to the current directory if inside it.

    Raises:
        ValueError: none has it.
    """
    for root in roots:
        folder = root / MINI_WEB
        if folder.is_dir():
            return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    places = " or ".join(dict.fromkeys(str(root / MINI_WEB) for root in roots))
    raise ValueError(
        f"the mini web is not in {places}: it comes with the source, not with the package; run `webtext demo` there"
    )


def losses(log: Path) -> list[str]:
    """First and last training and validation loss of a run, one line each, from its log."""
    steps = [json.loads(line) for line in log.read_text().splitlines()]
    lines = []
    for name, words in (("loss", "training loss"), ("val_loss", "validation loss")):
        have = [step for step in steps if name in step]
        if have:
            first, last = have[0], have[-1]
            lines.append(
                f"{words:>15}: {first[name]:.3f} at step {first['step']}, {last[name]:.3f} at step {last['step']}"
            )
    return lines


def _headline(text: str) -> None:
    print(f"\n== {text}", flush=True)
