"""Line charts as inline SVG: no script, no external resource, readable in light and dark.

Called by `page` for every figure of a report.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# As wide as a figure is shown, so that its texts have the size of the page's.
WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 38
NUM_TICKS = 5
COLORS = (
    *("#2f6fde", "#d9531e", "#2a9d5c", "#8e44ad", "#b8860b"),
    *("#c2185b", "#0097a7", "#7c8a2e", "#6d4c41"),
)

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """One line: its name and its points (x, y); points that are not finite are left out."""

    name: str
    points: Sequence[Point]
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """Linear axis from `low` to `high` over pixels `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """Return the pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round values inside the axis: steps of 1, 2 or 5 times a power of ten."""
        raw = (self.high - self.low) / NUM_TICKS
        magnitude = 10.0 ** math.floor(math.log10(raw))
        step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= raw)
        first = math.ceil(self.low / step - 1e-9)
        return [index * step for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


def draw_curves(curves: Sequence[Curve], *, x_label: str, y_label: str) -> str:
    """Return an SVG element with axes, one polyline per curve and a legend.

    Without a single finite point it returns a sentence that says so.
    """
    finite = [
        Curve(curve.name, [p for p in curve.points if all(map(math.isfinite, p))], curve.dashed)
        for curve in curves
    ]
    points = [point for curve in finite for point in curve.points]
    if not points:
        return '<p class="empty">Nothing was measured.</p>'
    x_axis = _axis([x for x, _ in points], LEFT, WIDTH - RIGHT)
    y_axis = _axis([y for _, y in points], HEIGHT - BOTTOM, TOP)
    lines = [
        _polyline(curve, COLORS[index % len(COLORS)], x_axis, y_axis)
        for index, curve in enumerate(finite)
        if curve.points
    ]
    parts = [*_grid(x_axis, y_axis), *lines, _label(x_label)]
    title = escape(f"{y_label} over {x_label}")
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
        f"{''.join(parts)}</svg>{_legend(finite) if len(finite) > 1 else ''}"
    )


def _axis(values: Sequence[float], start: float, end: float) -> Axis:
    low, high = min(values), max(values)
    if low == high:
        margin = abs(low) * 0.1 or 1.0
        low, high = low - margin, high + margin
    return Axis(low, high, start, end)


def _grid(x_axis: Axis, y_axis: Axis) -> list[str]:
    parts = []
    for value in y_axis.ticks():
        y = y_axis.place(value)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{format_tick(value)}</text>'
        )
    for value in x_axis.ticks():
        x = x_axis.place(value)
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
            f"{format_tick(value)}</text>"
        )
    return parts


def _label(x_label: str) -> str:
    """The x axis' name; what the y axis shows is the figure's title."""
    return (
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
    )


def _polyline(curve: Curve, color: str, x_axis: Axis, y_axis: Axis) -> str:
    places = [(x_axis.place(x), y_axis.place(y)) for x, y in curve.points]
    if len(places) == 1:
        (x, y) = places[0]
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>'
    dash = ' stroke-dasharray="5 3"' if curve.dashed else ""
    coordinates = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline points="{coordinates}" stroke="{color}"{dash}/>'


def _legend(curves: Sequence[Curve]) -> str:
    items = (
        f'<li><i style="background:{COLORS[index % len(COLORS)]}"></i>{escape(curve.name)}</li>'
        for index, curve in enumerate(curves)
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def format_tick(value: float) -> str:
    """Return a short number: `1.2k`, `3M`, `0.05`, `2e-05`."""
    size = abs(value)
    for limit, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= limit:
            return f"{value / limit:.4g}{suffix}"
    return "0" if size < 1e-15 else f"{value:.3g}"
