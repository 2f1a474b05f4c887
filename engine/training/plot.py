"""The metrics of all stages: as one SVG, and the losses as curves for a model card."""

import math
from collections.abc import Sequence
from pathlib import Path

from engine.training.blocks import write_whole
from engine.training.metrics import Row, read_metrics
from engine.training.recipe import RecipeError

LOSS = "loss (nats a token)"
OTHERS = (("norm", "gradient norm"), ("tokens_per_second", "tokens a second"))
Point = tuple[float, float]

WIDTH, HEIGHT = 360, 220  # of a panel in pixels
LEFT, TOP, RIGHT, BOTTOM = 58, 34, 22, 34  # its margins
SMOOTH = 0.02  # the drawn line is a mean over this share of the rows
STYLE = """
svg { background: #fff; font: 12px system-ui, sans-serif; }
text { fill: #222; } .axis { stroke: #999; } .grid { stroke: #e4e4e4; }
.raw { fill: none; stroke: #9db8dd; } .mean { fill: none; stroke: #1f5fae; stroke-width: 1.8; }
@media (prefers-color-scheme: dark) {
svg { background: #171717; } text { fill: #ddd; } .axis { stroke: #777; } .grid { stroke: #333; }
.raw { stroke: #3d5675; } .mean { stroke: #7fb2f0; } }
"""


def plot_metrics(work: Path, stages: Sequence[str]) -> Path:
    """Draws the stages in `work` that have rows, one line of panels each; returns the file."""
    found = [(stage, rows) for stage in stages if (rows := read_metrics(work / stage))]
    if not found:
        raise RecipeError(f"there are no metrics in {work}; train a stage there first")
    panels = [
        [(f"{name}: {LOSS}", points) for name, points in losses_of(stage, rows).items()]
        + [
            (f"{stage}: {label}", [(r["step"], r[name]) for r in rows if name in r])
            for name, label in OTHERS
        ]
        for stage, rows in found
    ]
    width, height = WIDTH * max(map(len, panels)), HEIGHT * len(found)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}"><style>{STYLE}</style>'
    ]
    for i, row in enumerate(panels):
        for j, (title, points) in enumerate(row):
            panel = _panel(title, points)
            parts.append(f'<g transform="translate({j * WIDTH} {i * HEIGHT})">{panel}</g>')
    path = work / "metrics.svg"
    write_whole(path, "\n".join([*parts, "</svg>\n"]).encode())
    return path


def losses_of(stage: str, rows: Sequence[Row]) -> dict[str, list[Point]]:
    """The curves of a stage's loss: one, or one for each kind of batch that it was trained on."""
    kinds = dict.fromkeys(kind for row in rows for kind in row.get("losses", {}))
    if not kinds:
        return {stage: [(row["step"], row["loss"]) for row in rows if "loss" in row]}
    return {
        f"{stage}, {kind}": [
            (row["step"], row["losses"][kind]) for row in rows if kind in row.get("losses", {})
        ]
        for kind in kinds
    }


def curves_of(work: Path, stages: Sequence[str], most: int = 60) -> dict[str, list[list[float]]]:
    """The losses of all stages for a model card: means of up to `most` equal parts of the rows."""
    found = {}
    for stage in stages:
        for name, points in losses_of(stage, read_metrics(work / stage)).items():
            size = -(-len(points) // most)
            parts = [points[i : i + size] for i in range(0, len(points), size or 1)]
            found[name] = [[p[-1][0], round(sum(y for _, y in p) / len(p), 3)] for p in parts]
    return {name: points for name, points in found.items() if points}


def _panel(title: str, points: Sequence[Point]) -> str:
    text = f'<text x="{LEFT}" y="20">{title}</text>'
    points = [(x, y) for x, y in points if math.isfinite(y)]
    if not points:
        return text + f'<text x="{LEFT}" y="{HEIGHT // 2}">nothing yet</text>'
    ticks_x = ticks(0, max(x for x, _ in points))
    ticks_y = ticks(min(y for _, y in points), max(y for _, y in points))

    def across(x: float) -> float:
        return LEFT + (x - ticks_x[0]) / (ticks_x[-1] - ticks_x[0]) * (WIDTH - LEFT - RIGHT)

    def down(y: float) -> float:
        share = (y - ticks_y[0]) / (ticks_y[-1] - ticks_y[0])
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def line(drawn: Sequence[Point], kind: str) -> str:
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in drawn)
        return f'<polyline class="{kind}" points="{path}"/>'

    end, low = WIDTH - RIGHT, HEIGHT - BOTTOM
    for y in ticks_y:
        text += f'<line class="grid" x1="{LEFT}" x2="{end}" y1="{down(y):.1f}" y2="{down(y):.1f}"/>'
        text += f'<text x="{LEFT - 6}" y="{down(y) + 4:.1f}" text-anchor="end">{y:,.6g}</text>'
    for x in ticks_x:
        text += f'<text x="{across(x):.1f}" y="{low + 18}" text-anchor="middle">{x:,.6g}</text>'
    text += f'<line class="axis" x1="{LEFT}" x2="{end}" y1="{low}" y2="{low}"/>'
    return text + line(points, "raw") + line(_mean(points), "mean")


def _mean(points: Sequence[Point]) -> list[Point]:
    reach = round(len(points) * SMOOTH / 2)
    out = []
    for i, (x, _) in enumerate(points):
        near = [y for _, y in points[max(0, i - reach) : i + reach + 1]]
        out.append((x, sum(near) / len(near)))
    return out


def ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers, the first at or below `low`, the last at or above `high`."""
    span = (high - low) or abs(high) or 1.0
    size = 10.0 ** math.floor(math.log10(span / 3))
    step = size * next(m for m in (1, 2, 5, 10) if span / (size * m) <= 4)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [i * step for i in range(first, max(last, first + 1) + 1)]
