"""`webtext curve`: draw the loss curves of runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tyro

from webtext.jobs.terminal import say
from webtext.model.curve import Curve, read, smooth

ENDINGS: Final = (".html", ".svg", ".png")


@dataclass(frozen=True)
class CurveConfig:
    """Draw the training and validation losses of runs over the tokens they have seen; also of runs still going on."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders that `webtext pretrain --out` wrote to, or log files."""
    output: Path | None = None
    """File to write, .html, .svg or .png (needs matplotlib); without it, curve.html in the folder of the first run."""
    smooth: float = 0.8
    """How much of each training loss is taken from the ones before it, 0 to below 1; 0 draws them as they are."""

    def __post_init__(self) -> None:
        if not 0 <= self.smooth < 1:
            raise ValueError(f"smooth is {self.smooth}, allowed is 0 to below 1")
        if self.output is not None and self.output.suffix not in ENDINGS:
            raise ValueError(f"output is {str(self.output)!r}, expected a name that ends in {', '.join(ENDINGS)}")


def run(config: CurveConfig) -> int:
    """Draw and say where."""
    if not config.runs:
        raise ValueError("no run is given: name the folder of one, or of several to compare")
    curves = named_apart([read(run) for run in config.runs], config.runs)
    first = config.runs[0]
    output = config.output or (first if first.is_dir() else first.parent) / "curve.html"
    if output.suffix == ".png":
        write_png(curves, config.smooth, output)
    else:
        from webtext.model.curve_page import page, svg

        draw = page if output.suffix == ".html" else svg
        output.write_text(draw(curves, config.smooth), encoding="utf-8")
    say(f"curve: {output}")
    return 0


def named_apart(curves: Sequence[Curve], runs: Sequence[Path]) -> list[Curve]:
    """Curves whose names tell them apart: where folders are called the same, by their paths."""
    names = [curve.name for curve in curves]
    return [
        Curve(str(run), curve.train, curve.val) if names.count(curve.name) > 1 else curve
        for curve, run in zip(curves, runs, strict=True)
    ]


def write_png(curves: Sequence[Curve], weight: float, output: Path) -> None:
    """The same by matplotlib, which is the extra `plot`."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        message = f"{output}: a PNG needs matplotlib: pip install 'webtext[plot]', or give a name that ends in .html"
        raise ValueError(message) from error
    from webtext.model.curve_page import COLOURS, tokens_label

    figure = Figure(figsize=(9, 5.2), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)  # no window, no state of pyplot
    axes = figure.add_subplot(xlabel="tokens seen", ylabel="loss, nats per token")
    for number, curve in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        if curve.train:
            if weight:
                axes.plot(*zip(*curve.train, strict=True), color=colour, alpha=0.25, linewidth=1)
            shown = smooth(curve.train, weight)
            axes.plot(*zip(*shown, strict=True), color=colour, linewidth=1.5, label=f"{curve.name}, training")
        if curve.val:
            label = f"{curve.name}, validation"
            axes.plot(
                *zip(*curve.val, strict=True), color=colour, linestyle="--", marker="o", markersize=3, label=label
            )
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda tokens, _: tokens_label(tokens))
    axes.grid(color="#eee")
    axes.legend()
    figure.savefig(output, metadata={"Software": None})  # else it names its version
