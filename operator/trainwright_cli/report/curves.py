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
CHARACTER = 7.5  # the width of one, at most, at the page's size of texts in figures
NUM_TICKS = 5
SMALLEST_RANGE = 1e-9  # of the values: in a smaller one labels would have more digits than a float
COLORS = (
    *("#2f6fde", "#d9531e", "#2a9d5c", "#8e44ad", "#b8860b"),
    *("#c2185b", "#0097a7", "#7c8a2e", "#6d4c41"),
)
_UNITS = ((1e9, "B"), (1e6, "M"), (1e3, "k"))
_LARGEST = 1e12

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

    @property
    def spacing(self) -> float:
        """From one tick to the next: 1, 2 or 5 times a power of ten."""
        raw = (self.high - self.low) / NUM_TICKS
        magnitude = 10.0 ** math.floor(math.log10(raw))
        return next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= raw)

    def ticks(self) -> list[float]:
        """Return the multiples of the spacing inside the axis."""
        step = self.spacing
        first = math.ceil(self.low / step - 1e-9)
        return [index * step for index in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def labels(self) -> list[tuple[float, str]]:
        """Return the pixel and the text of each tick."""
        spacing = self.spacing
        return [(self.place(value), format_tick(value, spacing)) for value in self.ticks()]


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
    y_axis = _axis([y for _, y in points], HEIGHT - BOTTOM, TOP)
    left = max(LEFT, _longest(y_axis.labels()) + 10)
    x_axis = _axis([x for x, _ in points], left, WIDTH - RIGHT)
    lines = [
        _polyline(curve, COLORS[index % len(COLORS)], x_axis, y_axis)
        for index, curve in enumerate(finite)
        if curve.points
    ]
    parts = [*_grid(x_axis, y_axis), *lines, _label(x_label, x_axis)]
    title = escape(f"{y_label} over {x_label}")
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
        f"{''.join(parts)}</svg>{_legend(finite) if len(finite) > 1 else ''}"
    )


def _axis(values: Sequence[float], start: float, end: float) -> Axis:
    low, high = min(values), max(values)
    if high - low <= abs(high) * SMALLEST_RANGE:
        margin = abs(low) * 0.1 or 1.0
        low, high = low - margin, high + margin
    return Axis(low, high, start, end)


def _grid(x_axis: Axis, y_axis: Axis) -> list[str]:
    parts = []
    for y, text in y_axis.labels():
        parts.append(
            f'<line class="grid" x1="{x_axis.start:g}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{x_axis.start - 6:g}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        )
    for place, text in _without_overlaps(x_axis.labels()):
        x = min(place, WIDTH - len(text) * CHARACTER / 2)  # the last one must not be cut
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{text}</text>'
        )
    return parts


def _without_overlaps(labels: Sequence[tuple[float, str]]) -> Sequence[tuple[float, str]]:
    """Return every n-th label, as many as have room beside each other."""
    if len(labels) < 2:
        return labels
    return labels[:: math.ceil((_longest(labels) + 4) / (labels[1][0] - labels[0][0]))]


def _longest(labels: Sequence[tuple[float, str]]) -> float:
    """Return the room that the longest of the texts takes (unit: pixels)."""
    return max((len(text) for _, text in labels), default=0) * CHARACTER


def _label(x_label: str, x_axis: Axis) -> str:
    """The x axis' name; what the y axis shows is the figure's title."""
    return (
        f'<text x="{(x_axis.start + x_axis.end) / 2}" y="{HEIGHT - 4}" text-anchor="middle">'
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


def format_tick(value: float, spacing: float) -> str:
    """Return a short number that differs from its neighbours': `1.2k`, `3M`, `2.304`, `0.05`, `2e-05`."""
    size = abs(value)
    if size < spacing / 2:
        return "0"
    digits = max(_exponent(size) - _exponent(spacing) + 1, 1)
    if size >= _LARGEST:
        return f"{value:.{digits}g}"
    limit, suffix = next((unit for unit in _UNITS if size >= unit[0]), (1.0, ""))
    whole_digits = _exponent(size / limit) + 1  # with less of them, `g` would write 2e+02
    return f"{value / limit:.{max(digits, whole_digits)}g}{suffix}"


def _exponent(size: float) -> int:
    return math.floor(math.log10(size) + 1e-9)  # the logarithm of 1000 may come out a bit smaller
