"""The figures of a report as PNG: small twins of those of the RETRO paper.

Drawn with Pillow, which the page brings; the only file that imports it. What a figure was made
with stands in its text chunk "Comment".
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from engine.training.plot import ticks

SCALE = 2  # pixels a unit below
WIDTH, HEIGHT = 520, 360
LEFT, TOP, RIGHT, BOTTOM = 64, 58, 92, 52
# colours that people who see few colours tell apart (Okabe and Ito), and a mark for each
COLOURS = ((0x22, 0x22, 0x22), (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00))
GRID, TEXT = (0xE4, 0xE4, 0xE4), (0x22, 0x22, 0x22)
MORE = "bits per byte more than without passages, less is better"

Place = tuple[float, float, float | None, float | None]  # x, y, and the interval of y


@dataclass(frozen=True)
class Line:
    name: str
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Figure:
    """`names` replace the numbers along x; x counts from 0 then."""

    title: str
    measure: str
    across: str
    lines: tuple[Line, ...]
    names: tuple[str, ...] = ()


def draw_figures(report: Mapping[str, Any]) -> dict[str, bytes]:
    """File name -> PNG, of what the report's part "text" has."""
    part = report["parts"].get("text")
    if not part or not part["measured"]:
        return {}
    comment = (
        f"{report['command']}; {report['date']}; seed {report['seed']}; weights "
        f"{report['model']['fingerprint']}; database {report['database']['fingerprint']}; "
        f"{part['documents']} documents, {part['bytes']} bytes"
        + ("" if report["complete"] else "; incomplete")
    )
    return {name: draw(figure, comment) for name, figure in figures_of(part).items()}


def figures_of(part: Mapping[str, Any]) -> dict[str, Figure]:
    ways = ("off", "on", "random")
    alphas = [row for row in part["up_to"] if row["chunks"]]
    by_k, by_size = part["neighbours"], part["database"]
    return {
        "overlap.png": Figure(
            "Chunks that overlap by no more than alpha",
            "bits per byte, less is better",
            "alpha",
            tuple(
                Line(way, tuple(place(row["alpha"], row[way]) for row in alphas)) for way in ways
            ),
        ),
        "neighbours.png": Figure(
            "Passages shown for each chunk",
            MORE,
            "k",
            (Line("on", tuple(place(i, r["more_than_off"]) for i, r in enumerate(by_k))),),
            tuple(str(row["k"]) for row in by_k),
        ),
        "database.png": Figure(
            "Size of the database, nested random subsets",
            MORE,
            "passages",
            (Line("on", tuple(place(i, r["more_than_off"]) for i, r in enumerate(by_size))),),
            tuple(f"{row['passages']:,}" for row in by_size),
        ),
    }


def place(x: float, found: Mapping[str, float | None] | None) -> Place:
    """None is what others are compared with."""
    if found is None:
        return x, 0.0, None, None
    y = found["value"]
    assert y is not None
    return x, y, found["low"], found["high"]


def draw(figure: Figure, comment: str) -> bytes:
    image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), "white")
    canvas = Canvas(image, figure)
    canvas.frame()
    ends = sorted((line.places[-1][1], i) for i, line in enumerate(figure.lines) if line.places)
    rows: dict[int, float] = {}
    for y, i in ends:  # names one above the other where lines end together
        row = canvas.down(y)
        rows[i] = min(row, min(rows.values(), default=row + 14) - 14)
    for i, line in enumerate(figure.lines):
        if line.places:
            canvas.line(line, i, rows[i])
    told = PngImagePlugin.PngInfo()
    told.add_itxt("Comment", comment)
    out = io.BytesIO()
    image.save(out, "PNG", pnginfo=told, optimize=True)
    return out.getvalue()


class Canvas:
    """An image with the axes of a figure."""

    def __init__(self, image: Image.Image, figure: Figure):
        self._draw, self._figure = ImageDraw.Draw(image), figure
        places = [p for line in figure.lines for p in line.places]
        ys = [y for _, *rest in places for y in rest if y is not None and math.isfinite(y)]
        self._y = ticks(min(ys), max(ys))
        self._x = (
            [float(i) for i in range(max(2, len(figure.names)))]
            if figure.names
            else ticks(min(x for x, *_ in places), max(x for x, *_ in places))
        )

    def across(self, x: float) -> float:
        share = (x - self._x[0]) / (self._x[-1] - self._x[0])
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def down(self, y: float) -> float:
        share = (y - self._y[0]) / (self._y[-1] - self._y[0])
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def frame(self) -> None:
        low = HEIGHT - BOTTOM
        self.text(LEFT, 12, self._figure.title, size=15)
        self.text(LEFT, 34, f"{self._figure.measure}; bars: 95 %", size=11)
        for y in self._y:
            self.stroke([(LEFT, self.down(y)), (WIDTH - RIGHT, self.down(y))], GRID)
            self.text(LEFT - 8, self.down(y), f"{y:.6g}", anchor="rm")
        for i, x in enumerate(self._x):
            names = self._figure.names
            name = (names[i] if i < len(names) else "") if names else f"{x:.6g}"
            self.text(self.across(x), low + 14, name, anchor="mm")
        self.stroke([(LEFT, low), (WIDTH - RIGHT, low)], TEXT)
        middle = (LEFT + WIDTH - RIGHT) / 2
        self.text(middle, HEIGHT - 16, self._figure.across, anchor="mm")

    def line(self, line: Line, number: int, row: float) -> None:
        colour = COLOURS[number % len(COLOURS)]
        several = len(self._figure.lines) > 1
        aside = 3 * (number - 1) if several else 0  # bars side by side
        drawn = [(self.across(x), self.down(y)) for x, y, *_ in line.places]
        self.stroke(drawn, colour, 2)
        for x, _, least, most in line.places:
            if least is not None and most is not None:
                at = self.across(x) + aside
                self.stroke([(at, self.down(least)), (at, self.down(most))], colour)
        for x, y in drawn:
            self.mark(x, y, number, colour)
        self.text(drawn[-1][0] + 10, row, line.name, anchor="lm", colour=colour)

    def mark(self, x: float, y: float, number: int, colour: tuple[int, int, int]) -> None:
        r = 4
        shapes = (
            [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
            [(x, y - r - 1), (x + r + 1, y), (x, y + r + 1), (x - r - 1, y)],
            [(x, y - r - 1), (x + r + 1, y + r), (x - r - 1, y + r)],
        )
        shape = shapes[number % len(shapes)]
        self._draw.polygon([(a * SCALE, b * SCALE) for a, b in shape], fill=colour)

    def stroke(
        self, points: Sequence[tuple[float, float]], colour: tuple[int, int, int], width: int = 1
    ) -> None:
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self._draw.line(scaled, fill=colour, width=width * SCALE, joint="curve")

    def text(
        self, x: float, y: float, text: str, *,
        size: int = 12, anchor: str = "la", colour: tuple[int, int, int] = TEXT,
    ) -> None:  # fmt: skip
        font = ImageFont.load_default(size * SCALE)
        self._draw.text((x * SCALE, y * SCALE), text, fill=colour, font=font, anchor=anchor)
