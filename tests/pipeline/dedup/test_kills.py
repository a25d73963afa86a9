"""SIGKILL to a process that looks for copies, and the same command again: not a byte is different.

WEBTEXT_TEST_KILLS says how many kills there are on the way, 2 if it is not set.
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import toy_documents
from processes import started

from webtext.pipeline.dedup.groups import Sizes
from webtext.pipeline.dedup.recipe import find_copies
from webtext.pipeline.settings import CorpusSettings

KILLS = int(os.environ.get("WEBTEXT_TEST_KILLS", "2"))
DOCUMENTS = 40  # of a group
SEARCH = f"""
import sys
from functools import partial
from pathlib import Path
from webtext.pipeline.dedup.groups import Sizes
from webtext.pipeline.dedup.recipe import find_copies
from webtext.pipeline.engine.beam_stage import run_stage
from webtext.pipeline.files import storage
from webtext.pipeline.settings import CorpusSettings
from webtext.schemas.manifest import StageManifest

work = sys.argv[1]
documents = StageManifest.from_json(Path(work, "documents", "manifest.json").read_bytes())
with storage.lock(work):
    find_copies(CorpusSettings(), work, documents, partial(run_stage, flags=(), workers=2), Sizes({DOCUMENTS}))
"""


def texts():
    source = random.Random(7)
    for number in range(80):
        words = [f"w{source.randrange(10**6)}" for _ in range(150)]
        for copy in range(1 + number % 4):
            yield f"https://example.org/{number}/{copy}", " ".join([*words, *(["more"] * copy)])


def digests(work):
    """sha256 of every file of every stage, receipts and manifests too."""
    return {
        str(path.relative_to(work)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in work.glob("*/*")
        if not path.name.startswith(".")
    }


def receipts(work):
    return sum(1 for _ in work.glob("*/*.receipt.json"))


def search(work):
    return started([sys.executable, "-c", SEARCH, work], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def kill_at(work, done):
    """Search until so many parts have a receipt, then kill. False where it ended before that was seen."""
    with search(work) as process:
        while receipts(work) < done and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        return process.wait() == -signal.SIGKILL


def test_kills_change_nothing(tmp_path):
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    documents = toy_documents.write_documents(calm, dict(texts()), parts=6)
    assert toy_documents.write_documents(killed, dict(texts()), parts=6) == documents
    before = receipts(calm)
    find_copies(CorpusSettings(), str(calm), documents, toy_documents.run_here, Sizes(documents=DOCUMENTS))
    parts = receipts(calm) - before
    assert parts > 30
    marks = [before + parts * (number + 1) // (KILLS + 1) for number in range(KILLS)]
    assert [kill_at(killed, mark) for mark in marks] == [True] * KILLS
    assert before < receipts(killed) < before + parts
    with search(killed) as last:
        _, errors = last.communicate()
    assert last.returncode == 0, errors.decode()
    assert digests(killed) == digests(calm)
    assert not [path for path in Path(killed).glob("*/.*") if path.name.endswith(".tmp")]
