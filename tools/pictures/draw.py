"""Draws a whole dashboard: its head, and each panel in its place."""

from collections.abc import Callable, Mapping
from typing import Any

from tools.pictures import theme
from tools.pictures.answers import Answers
from tools.pictures.canvas import Box, Canvas
from tools.pictures.dashboard import (
    BARS,
    LINES,
    ROW,
    STAT,
    TABLE,
    TREND,
    Panel,
    Place,
    parse_marks,
    parse_panels,
)
from tools.pictures.lines import draw_lines, draw_trend
from tools.pictures.series import PanelData, collect_data, find_marks
from tools.pictures.values import draw_bars, draw_stat, draw_table

Painter = Callable[[Canvas, Box, Panel, PanelData], None]
PAINTERS: Mapping[str, Painter] = {
    LINES: draw_lines,
    STAT: draw_stat,
    TABLE: draw_table,
    BARS: draw_bars,
    TREND: draw_trend,
}


def draw_dashboard(dashboard: Mapping[str, Any], answers: Answers, subtitle: str) -> Canvas:
    """A dashboard with its data; `subtitle` says where they come from."""
    panels = list(parse_panels(dashboard))
    bottom = max(panel.place.y + panel.place.height for panel in panels)
    canvas = Canvas(theme.WIDTH, theme.TOP + bottom * theme.CELL_HEIGHT + theme.GAP)
    canvas.text(14, 9, dashboard["title"], size=11, weight="bold")
    canvas.text(14, 29, subtitle, size=theme.LEGEND_SIZE, color=theme.FAINT)
    marks = find_marks(parse_marks(dashboard), answers)
    for panel in panels:
        box = place_panel(panel.place)
        if panel.kind == ROW:
            canvas.text(box.left + 2, box.top + 5, panel.title, size=9, weight="bold")
            continue
        data = collect_data(panel, answers, marks)
        draw_panel(canvas, box, panel, data)
    return canvas


def place_panel(place: Place) -> Box:
    """The pixels of a place in the grid."""
    cell = (theme.WIDTH - theme.GAP) / 24
    return Box(
        theme.GAP + place.x * cell,
        theme.TOP + place.y * theme.CELL_HEIGHT,
        place.width * cell - theme.GAP,
        place.height * theme.CELL_HEIGHT - theme.GAP,
    )


def draw_panel(canvas: Canvas, box: Box, panel: Panel, data: PanelData) -> None:
    """Frame, title and content of one panel."""
    canvas.rectangle(box, theme.PANEL, theme.EDGE)
    title = canvas.shorten(panel.title, theme.TITLE_SIZE, box.width - 2 * theme.PADDING)
    canvas.text(box.left + theme.PADDING, box.top + 6, title, size=theme.TITLE_SIZE)
    inside = box.inner(theme.PADDING, theme.TITLE_HEIGHT, theme.PADDING, theme.PADDING)
    if data.is_empty:
        canvas.text(
            inside.left + inside.width / 2,
            inside.top + inside.height / 2,
            panel.no_value,
            size=8,
            color=theme.FAINT,
            ha="center",
            va="center",
        )
        return
    PAINTERS[panel.kind](canvas, inside, panel, data)
