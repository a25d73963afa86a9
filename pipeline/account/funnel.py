"""The funnel of a build: each stage with what it took and every reason for which something was lost, in words."""

from dataclasses import dataclass

from webtext.pipeline import flow
from webtext.schemas.manifest import CorpusManifest, Tally
from webtext.schemas.records import Reason


@dataclass(frozen=True, slots=True)
class FunnelRow:
    """One stage of the funnel: `taken` = `passed` + the sum of `reasons`."""

    stage: str
    title: str
    unit: str  # of `taken`, `passed` and `reasons`
    taken: int
    passed: int
    reasons: tuple[tuple[Reason, int], ...]  # most frequent first, then by name
    rules: tuple[tuple[str, int], ...]  # of the filters and opt-outs that refused, in order of their names
    kinds: tuple[tuple[str, int], ...]  # of the pages that passed
    becomes: str  # what passed, in words: "8 posts, which are 5 links"
    fate: str = "do not go on"  # of those that did not

    @property
    def lost(self) -> int:
        """How many did not pass."""
        return self.taken - self.passed


def funnel_rows(manifest: CorpusManifest) -> list[FunnelRow]:
    """The stages that a link passes, in order, with every reason for which something was lost."""
    return [funnel_row(stage, tally, flow.TEXTS in manifest.stages) for stage, tally in manifest.stages.items()]


def funnel_row(stage: str, tally: Tally, of_texts: bool = False) -> FunnelRow:
    """One stage; `of_texts` in a build from texts."""
    step = flow.steps(of_texts).get(stage, flow.Step(stage, stage, "records"))
    reasons = sorted(((Reason(name), count) for name, count in tally.rejected.items()), key=lambda r: (-r[1], r[0]))
    becomes = f"{tally.passed:,} {step.takes}"
    if step.makes and tally.rows == tally.passed:
        becomes = f"{tally.rows:,} {step.makes}"
    elif step.makes:
        becomes += f", which are {tally.rows:,} {step.makes}"
    rules = tuple(count for count in tally.counts.items() if count[0].startswith((flow.RULE, flow.OPT_OUT)))
    kinds = tuple((name.removeprefix(flow.KIND), n) for name, n in tally.counts.items() if name.startswith(flow.KIND))
    return FunnelRow(
        stage, step.title, step.takes, tally.taken, tally.passed, tuple(reasons), rules, kinds, becomes, step.lost
    )


def beside(manifest: CorpusManifest, stage: str) -> Tally:
    """The ledger of a stage that no link passes; an empty one where the manifest has none."""
    found = manifest.build.get("stages")
    for entry in found if isinstance(found, list) else []:
        if isinstance(entry, dict) and entry.get("stage") == stage:
            counts = entry.get("counts")
            numbers = {str(name): number for name, number in counts.items()} if isinstance(counts, dict) else {}
            return Tally(counts={name: number for name, number in numbers.items() if isinstance(number, int)})
    return Tally()
