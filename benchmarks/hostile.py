"""200 hostile archives, dumps, texts and pages, by seed: what each kind costs, and which take more than a page may.

python benchmarks/hostile.py [number of inputs]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from hostile_inputs import KINDS, generate, make_reader

from webtext.pipeline.engine.sandbox import Sandbox
from webtext.pipeline.settings import ExtractSettings
from webtext.schemas.records import Loss


def main() -> None:
    """Print a line for each loss and for each kind."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    budget = ExtractSettings()
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    lost = 0
    with Sandbox(make_reader, budget.cpu_seconds, budget.memory_mib) as sandbox:
        for seed in range(number):
            payload = generate(seed)
            [answer] = sandbox.run([payload])
            if isinstance(answer, Loss):
                lost += 1
                print(f"seed {seed}, {len(payload)} bytes: {answer.reason}: {answer.detail}", flush=True)
            else:
                seconds[KINDS[seed % len(KINDS)]].append(float(answer.split()[0]))
    for kind, took in seconds.items():
        print(f"{kind}: {len(took)} inputs, CPU at most {max(took):.1f} s, in the mean {sum(took) / len(took):.1f} s")
    print(f"{lost} of {number} over {budget.cpu_seconds:g} s or {budget.memory_mib} MiB")


if __name__ == "__main__":
    main()
