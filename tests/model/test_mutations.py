"""Hostile runs and corpora through the commands: the short form of benchmarks/train_mutations.py."""

import os
import re
import sys
from pathlib import Path

import pytest
from processes import finished

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_each_mutation_is_noticed_or_changes_nothing():
    script = str(ROOT / "benchmarks/train_mutations.py")
    command = [sys.executable, script, "--checkpoints=12", "--corpora=5", "--seed=7"]
    done = finished(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for what in (
        "checkpoint, pretrain: [0-9]+ right",
        "checkpoint, sample: [0-9]+ one line",
        "corpus, pretrain: [0-9]+",
    ):
        assert re.search(f"^{what}", done.stdout, re.M), done.stdout
