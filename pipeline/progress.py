"""One progress bar per stage, drawn from the receipts: exact on every engine, and with nothing to do for the parts."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pipeline import storage
from pipeline.stage import RECEIPT, Stage
from schemas.manifest import ManifestError, Receipt

_LOCAL, _REMOTE = 0.25, 5.0  # seconds between two looks at the receipts


@contextmanager
def watch(stage: Stage) -> Iterator[None]:
    """Draw the stage's bar on standard error while the block runs; without a terminal, only its last state."""
    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("parts  {task.fields[ledger]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    done = threading.Event()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(stage.name, total=len(stage.parts), ledger="")
        seen: dict[str, Receipt] = {}

        def look() -> None:
            for name in storage.listing(stage.folder):
                part = name.removesuffix(RECEIPT)
                if name.endswith(RECEIPT) and part not in seen:
                    try:
                        receipt = Receipt.from_json(storage.read_bytes(storage.join(stage.folder, name)))
                    except (ManifestError, OSError):
                        continue
                    if receipt.fingerprint == stage.fingerprint:
                        seen[part] = receipt
            taken = sum(receipt.tally.taken for receipt in seen.values())
            passed = sum(receipt.tally.passed for receipt in seen.values())
            progress.update(task, completed=len(seen), ledger=f"{taken:,} {stage.unit}, {passed:,} pass")

        def poll() -> None:
            while not done.wait(_LOCAL if storage.is_local(stage.folder) else _REMOTE):
                look()

        thread = threading.Thread(target=poll, daemon=True, name="progress")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            look()
