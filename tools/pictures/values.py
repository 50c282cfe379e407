"""Panels of single values: big numbers, bars, a table."""

import math

from tools.pictures import theme
from tools.pictures.canvas import Box, Canvas
from tools.pictures.dashboard import Panel
from tools.pictures.series import Curve, PanelData
from tools.pictures.units import format_value

ROW_HEIGHT = 22.0
BAR_NAME, BAR_VALUE = 0.34, 58.0
"""Room for a bar's name (share of the panel) and for its value (unit: pixels)."""


def draw_stat(canvas: Canvas, box: Box, panel: Panel, data: PanelData) -> None:
    """The last value of each series in large type, over its line."""
    width = box.width / len(data.curves)
    for index, curve in enumerate(data.curves):
        part = Box(box.left + index * width, box.top, width, box.height)
        color = theme.threshold_color(curve.last, panel.thresholds)
        draw_sparkline(canvas, part, curve, data.times, color)
        value = format_value(curve.last, panel.unit, panel.decimals)
        size = min(
            theme.VALUE_SIZE, theme.VALUE_SIZE * width / canvas.measure(value, theme.VALUE_SIZE)
        )
        middle, center = part.top + part.height * 0.42, part.left + width / 2
        canvas.text(center, middle, value, size=size, color=color, ha="center", va="center")
        if len(data.curves) > 1:
            name = canvas.shorten(curve.legend, theme.LEGEND_SIZE, width)
            canvas.text(center, part.top, name, size=theme.LEGEND_SIZE, ha="center")


def draw_sparkline(canvas: Canvas, box: Box, curve: Curve, times: list[float], color: str) -> None:
    """The course of a value in the lower third."""
    axes = canvas.axes(box.inner(0, box.height * 0.68, 0, 0))
    axes.set_axis_off()
    axes.plot(times, curve.values, color=color, linewidth=1)
    known = [value for value in curve.values if not math.isnan(value)]
    axes.fill_between(times, curve.values, min(known), color=color, alpha=0.2, linewidth=0)
    axes.set_xlim(times[0], times[-1])


def draw_bars(canvas: Canvas, box: Box, panel: Panel, data: PanelData) -> None:
    """Horizontal bars, as many as there is room for."""
    count = max(1, min(len(data.curves), int(box.height // 12)))
    height = min(ROW_HEIGHT, box.height / count)
    highest = panel.maximum or max(curve.last for curve in data.curves) or 1.0
    left = box.width * BAR_NAME
    for index, curve in enumerate(data.curves[:count]):
        top = box.top + index * height
        color = theme.threshold_color(curve.last, panel.thresholds)
        row = Box(box.left + left, top + 1, box.width - left - BAR_VALUE, height - 2)
        canvas.rectangle(row, theme.GRID)
        filled = max(1.0, row.width * min(1.0, max(0.0, curve.last / highest)))
        canvas.rectangle(Box(row.left, row.top, filled, row.height), color, order=1)
        middle = top + height / 2
        name = canvas.shorten(curve.legend, theme.LEGEND_SIZE, left - 6)
        canvas.text(box.left, middle, name, size=theme.LEGEND_SIZE, va="center")
        value = format_value(curve.last, panel.unit, panel.decimals)
        canvas.text(
            box.left + box.width, middle, value, size=7, color=color, ha="right", va="center"
        )


def draw_table(canvas: Canvas, box: Box, panel: Panel, data: PanelData) -> None:
    """One row per value of the label that joins the queries, one column per query."""
    titles = [panel.rows, *panel.columns.values()]
    width = box.width / len(titles)
    rows = build_rows(panel, data.curves)
    for column, title in enumerate(titles):
        left = box.left + column * width
        canvas.text(left, box.top + 3, title, size=7, color=NAMES)
        for index, row in enumerate(rows[: int(box.height // ROW_HEIGHT) - 1]):
            top = box.top + (index + 1) * ROW_HEIGHT
            canvas.rectangle(Box(left, top - 2, width, 0.4), theme.GRID)
            canvas.text(left, top + 4, canvas.shorten(row[column], 7, width - 6), size=7)


NAMES = theme.NAMED["blue"]


def build_rows(panel: Panel, curves: list[Curve]) -> list[list[str]]:
    """The cells of a table, formatted; a cell without a value is empty."""
    cells: dict[str, dict[str, str]] = {}
    for curve in curves:
        title = panel.columns[curve.letter]
        unit = panel.column_units.get(title, panel.unit)
        key = curve.labels.get(panel.join, "")
        cells.setdefault(key, {})[title] = format_value(curve.last, unit, panel.decimals)
    return [
        [key, *(cells[key].get(title, "") for title in panel.columns.values())]
        for key in sorted(cells)
    ]
