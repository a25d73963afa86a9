"""One progress bar per stage, drawn from the receipts: exact on every engine, and with nothing to do for the parts.

What a stage's parts say of themselves meanwhile, if they do, is shown below the bar.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from webtext.pipeline.engine.stage import Stage, read_receipt
from webtext.pipeline.files import storage
from webtext.schemas.manifest import RECEIPT, Receipt
from webtext.schemas.visible import visible

_LOCAL, _REMOTE = 0.25, 5.0  # seconds between two looks at the receipts


class _Bar(Progress):
    """A bar with a line below it."""

    below = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, and the line if it says anything."""
        yield from super().get_renderables()
        if self.below:
            yield Text(visible(self.below), "dim")


@contextmanager
def watch(stage: Stage) -> Iterator[Callable[[str], None]]:
    """Draw the stage's bar on standard error while the block runs; without a terminal, only its last state.

    Gives a function that prints a line above the bar.
    """
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
    with _Bar(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(stage.name, total=len(stage.parts), ledger="")
        seen: dict[str, Receipt] = {}

        def look() -> None:
            names: Iterable[str] = ()
            with suppress(OSError):  # of a store; it is asked again
                names = storage.listing(stage.folder)
            for name in names:
                part = name.removesuffix(RECEIPT)
                if name.endswith(RECEIPT) and part not in seen:
                    with suppress(OSError):
                        receipt = read_receipt(stage.folder, part)
                        if receipt is not None and receipt.fingerprint == stage.fingerprint:
                            seen[part] = receipt
            taken = sum(receipt.tally.taken for receipt in seen.values())
            passed = sum(receipt.tally.passed for receipt in seen.values())
            progress.update(task, completed=len(seen), ledger=f"{taken:,} {stage.unit}, {passed:,} pass")
            progress.below = stage.live(time.time()) if stage.live and not done.is_set() else ""

        def poll() -> None:
            while not done.wait(_LOCAL if storage.is_local(stage.folder) else _REMOTE):
                look()

        thread = threading.Thread(target=poll, daemon=True, name="progress")
        thread.start()
        try:
            yield lambda line: progress.console.print(visible(line), markup=False, highlight=False, soft_wrap=True)
        finally:
            done.set()
            thread.join()
            look()
