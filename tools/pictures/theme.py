"""Colours and sizes: Grafana's dark theme on a screen of 1920 pixels, drawn a quarter smaller."""

from collections.abc import Mapping

SCALE = 0.75
WIDTH = 1920 * SCALE
CELL_HEIGHT = 38 * SCALE  # 30 pixels and a gap of 8
GAP = 8 * SCALE
TOP = 48.0
"""Height of the line with the dashboard's title (unit: pixels)."""
TITLE_HEIGHT = 24.0
PADDING = 7.0

CANVAS, PANEL, EDGE, GRID = "#111217", "#181b1f", "#2c2f36", "#2a2d33"
TEXT, FAINT = "#d5d6dc", "#8e8f98"
LINES = (
    *("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#c8f2c2"),
    *("#fade2a", "#3274d9", "#ffa6b0", "#96d98d"),
)
NAMED: Mapping[str, str] = {
    "green": "#73bf69",
    "red": "#f2495c",
    "orange": "#ff9830",
    "blue": "#5794f2",
    "yellow": "#fade2a",
    "gray": "#8e8f98",
}
TITLE_SIZE, LEGEND_SIZE, TICK_SIZE, VALUE_SIZE = 7.6, 6.2, 6.0, 19.0
"""Sizes of text (unit: points at 100 dots per inch)."""


def line_color(index: int) -> str:
    """The colour of a panel's series, in Grafana's order."""
    return LINES[index % len(LINES)]


def threshold_color(value: float, thresholds: tuple[tuple[float | None, str], ...]) -> str:
    """The colour of a value: that of the last threshold that it has reached."""
    reached = [color for bound, color in thresholds if bound is None or value >= bound]
    return NAMED.get(reached[-1], reached[-1]) if reached else TEXT
