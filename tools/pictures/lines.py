"""A panel of lines over time, with its legend as a table below: name and last value."""

import math
from datetime import UTC, datetime

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from tools.pictures import theme
from tools.pictures.canvas import Box, Canvas
from tools.pictures.dashboard import Panel
from tools.pictures.series import Curve, PanelData
from tools.pictures.units import format_value

LEGEND_ROW = 13.0
MAXIMUM_LEGEND_ROWS = 5
LEFT, BELOW = 46.0, 15.0
"""Room for the texts of both axes (unit: pixels)."""
HEADROOM = 1.08
EDGE = 0.06
TICKS = (5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)


def draw_lines(canvas: Canvas, box: Box, panel: Panel, data: PanelData) -> None:
    """Lines, axes and legend."""
    rows = min(len(data.curves), MAXIMUM_LEGEND_ROWS)
    legend = rows * LEGEND_ROW + 4
    axes = canvas.axes(box.inner(LEFT, 2, 4, legend + BELOW))
    style_axes(axes, panel)
    draw_curves(axes, panel, data)
    axes.set_xlim(data.times[0], data.times[-1])
    axes.set_xticks(choose_ticks(data.times[0], data.times[-1]))
    set_limits(axes, panel, data.curves)
    for mark in data.marks:
        color = theme.NAMED.get(mark.color, mark.color)
        axes.axvline(mark.at, color=color, linewidth=0.8, linestyle=(0, (3, 2)), alpha=0.8)
    draw_legend(canvas, box.inner(0, box.height - legend, 0, 0), panel, data.curves)


def draw_trend(canvas: Canvas, box: Box, panel: Panel, data: PanelData) -> None:
    """Lines over the values of another query, axes and legend."""
    lines = pair_curves(panel, data.curves)
    rows = min(len(lines), MAXIMUM_LEGEND_ROWS)
    legend = rows * LEGEND_ROW + 4
    axes = canvas.axes(box.inner(LEFT, 2, 4, legend + BELOW))
    style_axes(axes, panel)
    axes.xaxis.set_major_locator(MaxNLocator(5, prune="both"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for index, (_, points) in enumerate(lines):
        axes.plot(*zip(*points, strict=True), color=theme.line_color(index), linewidth=1.2)
    curves = [curve for curve, _ in lines]
    axes.set_xlim(*(f(x for _, points in lines for x, _ in points) for f in (min, max)))
    set_limits(axes, panel, curves)
    draw_legend(canvas, box.inner(0, box.height - legend, 0, 0), panel, curves)


def pair_curves(panel: Panel, curves: list[Curve]) -> list[tuple[Curve, list[tuple[float, float]]]]:
    """Each curve of the second query with its points over the first: ascending, the newest counts."""
    x_letter, y_letter = (target.letter for target in panel.targets)
    over = {curve.labels[panel.join]: curve for curve in curves if curve.letter == x_letter}
    lines = []
    for curve in curves:
        other = over.get(curve.labels[panel.join])
        if curve.letter != y_letter or other is None:
            continue
        points = dict(zip(other.values, curve.values, strict=True))
        known = sorted((x, y) for x, y in points.items() if not math.isnan(x + y))
        lines.append((curve, known))
    return [(curve, points) for curve, points in lines if points]


def choose_ticks(start: float, end: float) -> list[float]:
    """At most five round times, none so near an edge that its text would leave the panel."""
    length = end - start
    tick = next((tick for tick in TICKS if length / tick <= 5), TICKS[-1])
    first = math.ceil((start + length * EDGE) / tick) * tick
    return [
        first + tick * index for index in range(5) if first + tick * index <= end - length * EDGE
    ]


def draw_curves(axes: Axes, panel: Panel, data: PanelData) -> None:
    """The lines; stacked ones as areas on top of each other."""
    below = [0.0] * len(data.times)
    for index, curve in enumerate(data.curves):
        color = theme.line_color(index)
        if not panel.is_stacked:
            axes.plot(data.times, curve.values, color=color, linewidth=1.2)
            continue
        above = [
            low + (0.0 if math.isnan(value) else value)
            for low, value in zip(below, curve.values, strict=True)
        ]
        axes.fill_between(data.times, below, above, color=color, alpha=0.4, linewidth=0)
        axes.plot(data.times, above, color=color, linewidth=0.9)
        below = above


def style_axes(axes: Axes, panel: Panel) -> None:
    """Grid, ticks and their texts as Grafana draws them."""
    axes.set_facecolor(theme.PANEL)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.grid(color=theme.GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=theme.TICK_SIZE, labelcolor=theme.FAINT, pad=2)
    axes.xaxis.set_major_formatter(FuncFormatter(format_time))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: format_value(value, panel.unit, None))
    )


def format_time(at: float, _: object = None) -> str:
    """A tick of the time axis (UTC)."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def set_limits(axes: Axes, panel: Panel, curves: list[Curve]) -> None:
    """The vertical range: the panel's own bounds where it has them, else around the data."""
    if panel.is_stacked:
        axes.set_ylim(bottom=panel.minimum)
        return
    values = [value for curve in curves for value in curve.values if not math.isnan(value)]
    low, high = min(values), max(values)
    margin = (high - low) * (HEADROOM - 1) or abs(high) * 0.1 or 1.0
    bottom = low - margin if panel.minimum is None else panel.minimum
    top = high + margin if panel.maximum is None else panel.maximum
    axes.set_ylim(bottom, max(top, bottom + margin))
    if panel.unit == "bytes":
        # Round in powers of two: 16 GiB, not 15 GB.
        exponent = math.ceil(math.log2((max(top, bottom + margin) - bottom) / 5))
        axes.yaxis.set_major_locator(MultipleLocator(2.0**exponent))


def draw_legend(canvas: Canvas, box: Box, panel: Panel, curves: list[Curve]) -> None:
    """One row per series: colour, name, last value; the last row counts those that do not fit."""
    shown = curves[:MAXIMUM_LEGEND_ROWS]
    hidden = len(curves) - len(shown)
    if hidden:
        shown = shown[:-1]
    size = theme.LEGEND_SIZE
    for index, curve in enumerate(shown):
        top = box.top + index * LEGEND_ROW
        value = format_value(curve.last, panel.unit, panel.decimals)
        room = box.width - 18 - canvas.measure(value, size) - 8
        canvas.rectangle(Box(box.left + 1, top + 5, 11, 2.2), theme.line_color(index), order=3)
        canvas.text(box.left + 17, top + 1, canvas.shorten(curve.legend, size, room), size=size)
        canvas.text(box.left + box.width - 2, top + 1, value, size=size, ha="right")
    if hidden:
        top = box.top + len(shown) * LEGEND_ROW
        text = f"and {hidden + 1} more (scroll)"
        canvas.text(box.left + 17, top + 1, text, size=size, color=theme.FAINT)
