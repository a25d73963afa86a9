"""Loss curves as an SVG image or a page with one, written by hand: no library, no script, no network."""

import html
import math
from collections.abc import Callable, Sequence
from typing import Final

from webtext.model.curve import Curve, Point, smooth, thin
from webtext.schemas.visible import visible

Place = Callable[[Point], Point]  # from tokens and loss to x and y of the image

WIDTH: Final = 900
HEIGHT: Final = 520
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 20, 60  # margins around the plot
MOST_POINTS: Final = 600  # of a line: more would not be seen at this width

# Okabe and Ito, 2008: told apart with any colour vision. The yellow is left out: too light on white.
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")


def ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, about `most` of them."""
    span = high - low or 1.0
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def tokens_label(tokens: float) -> str:
    """A number of tokens, short: 250 k, 1.5 M, 10 B."""
    for size, unit in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k")):
        if tokens >= size:
            return f"{tokens / size:.4g}{unit}"
    return f"{tokens:.4g}"


def svg(curves: Sequence[Curve], weight: float) -> str:
    """The image. `weight` smooths the training losses, whose own values stay as a faint line; 0 draws them alone."""
    points = [point for curve in curves for point in (*curve.train, *curve.val)]
    xs = ticks(0.0, max(x for x, _ in points))
    ys = ticks(min(y for _, y in points), max(y for _, y in points))

    def place(point: Point) -> Point:
        x = LEFT + (point[0] - xs[0]) / (xs[-1] - xs[0]) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - (point[1] - ys[0]) / (ys[-1] - ys[0]) * (HEIGHT - TOP - BOTTOM)
        return x, y

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        ' font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="Loss over tokens">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        *_axes(xs, ys, place),
    ]
    for number, curve in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        if weight and len(curve.train) > 1:
            parts.append(_line(thin(curve.train, MOST_POINTS), place, f'stroke="{colour}" stroke-opacity="0.25"'))
        shown = thin(smooth(curve.train, weight), MOST_POINTS)
        parts.append(_line(shown, place, f'stroke="{colour}" stroke-width="1.5"'))
        val = thin(curve.val, MOST_POINTS)
        parts.append(_line(val, place, f'stroke="{colour}" stroke-width="1.5" stroke-dasharray="6 3"'))
        parts += [_dot(place(point), colour) for point in (val if len(val) <= 60 else val[-1:])]
    return "\n".join([*parts, *_legend(curves), "</svg>"]) + "\n"


def page(curves: Sequence[Curve], weight: float) -> str:
    """A page with the image and the figures of each run."""
    rows = "\n".join(_row(curve) for curve in curves)
    title = html.escape(visible("Loss of " + ", ".join(curve.name for curve in curves)))
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 15px system-ui, sans-serif; color: #222; background: #fff; max-width: 900px; margin: 2em auto;
  padding: 0 1em }}
svg {{ max-width: 100%; height: auto }}
table {{ border-collapse: collapse; margin-top: 1em }}
td, th {{ padding: .25em .8em; border-bottom: 1px solid #ddd; text-align: right }}
td:first-child, th:first-child {{ text-align: left }}
</style>
<h1>Loss</h1>
{svg(curves, weight)}<table>
<tr><th>run</th><th>tokens</th><th>last training loss</th><th>last validation loss</th><th>lowest validation loss</th>
<th>perplexity there</th></tr>
{rows}
</table>
<p>Cross-entropy in nats per token. Solid: training, an average of neighbouring steps; faint: each step. Dashed:
validation.</p>
</html>
"""


def _axes(xs: Sequence[float], ys: Sequence[float], place: Place) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    decimals = max(0, -math.floor(math.log10(ys[1] - ys[0]) + 1e-9))
    if round(ys[1] - ys[0], decimals) != ys[1] - ys[0]:
        decimals += 1  # steps of 0.25
    for value in xs:
        x, _ = place((value, ys[0]))
        parts.append(f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="#eee"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{tokens_label(value)}</text>')
    for value in ys:
        _, y = place((xs[0], value))
        parts.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#eee"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.{decimals}f}</text>')
    middle = (TOP + bottom) / 2
    return [
        *parts,
        f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#444"/>',
        f'<text x="{(LEFT + right) / 2:.0f}" y="{HEIGHT - 14}" text-anchor="middle">tokens seen</text>',
        f'<text transform="translate(18 {middle:.0f}) rotate(-90)" text-anchor="middle">loss, nats per token</text>',
    ]


def _legend(curves: Sequence[Curve]) -> list[str]:
    lines = []
    for number, curve in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        entries = [("training", "")] * bool(curve.train) + [("validation", ' stroke-dasharray="6 3"')] * bool(curve.val)
        lines += [(f"{_shortened(curve.name)}, {what}", colour, dash) for what, dash in entries]
    parts = []
    for row, (text, colour, dash) in enumerate(lines):
        y = TOP + 16 + 18 * row
        x = WIDTH - RIGHT - 10
        parts.append(f'<path d="M{x - 30} {y - 4}H{x}" stroke="{colour}" stroke-width="2"{dash}/>')
        parts.append(f'<text x="{x - 38}" y="{y}" text-anchor="end">{html.escape(visible(text))}</text>')
    return parts


def _shortened(name: str) -> str:
    return name if len(name) <= 40 else name[:37] + "..."


def _line(points: Sequence[Point], place: Place, style: str) -> str:
    if len(points) < 2:
        return ""
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in map(place, points))
    return f'<path d="M{path}" fill="none" {style}/>'


def _dot(at: Point, colour: str) -> str:
    return f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="2.5" fill="{colour}"/>'


def _row(curve: Curve) -> str:
    tokens = max(points[-1][0] for points in (curve.train, curve.val) if points)
    lowest = min((loss for _, loss in curve.val), default=None)
    cells = [
        html.escape(visible(curve.name)),
        f"{tokens:,.0f}",
        *(f"{points[-1][1]:.4f}" if points else "" for points in (curve.train, curve.val)),
        "" if lowest is None else f"{lowest:.4f}",
        "" if lowest is None else _perplexity(lowest),
    ]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _perplexity(loss: float) -> str:
    return f"{math.exp(loss):,.2f}" if loss < 100 else ""
