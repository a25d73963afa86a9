"""A part that writes slowly enough to be killed in the middle. A module of its own, so that processes can import it."""

import time
from pathlib import Path

import toy_stages

from webtext.pipeline.engine import stage as machinery
from webtext.schemas.records import Reason, Rejected

ROWS = 3000


class Slow:
    """Two tables and a file of bytes, written bit by bit. The pause takes no part in the stage's fingerprint."""

    def __init__(self, pause):
        """Seconds for each tenth of the part; below 0 the part fails in the middle."""
        self.pause = pause

    def __call__(self, part, output):
        with output.table("numbers", toy_stages.NUMBERS) as table, output.file(f"{part.name}.bytes") as sink:
            for n in range(ROWS):
                if n % 3:
                    table.add(n)
                    output.passed += 1
                else:
                    output.reject(Rejected("slow", Reason.TOO_SHORT, b"", f"n:{n}", "third"))
                output.taken += 1
                sink.write(n.to_bytes(4, "little") * 50)
                if self.pause < 0 and n == ROWS // 2:
                    raise OSError("the input is gone")
                if self.pause > 0 and not n % (ROWS // 10):
                    time.sleep(self.pause)
        output.rows = output.passed


def slow_stage(folder, pause=0.0):
    return toy_stages.even_stage(folder, 1, run=Slow(pause))


def publish_in_turn(barrier, folder, rounds):
    """One of two processes that run the same part in many folders, each time at the same moment."""
    for number in range(rounds):
        stage = slow_stage(Path(folder) / str(number))
        barrier.wait(60)
        machinery.run_part(stage, stage.parts[0])


def publish_slowly(barrier, folder, pause):
    stage = slow_stage(folder, pause)
    barrier.wait(60)
    machinery.run_part(stage, stage.parts[0])
