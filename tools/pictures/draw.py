"""Draws a whole dashboard: its head, and each panel in its place."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
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
    panels = list(open_rows(parse_panels(dashboard), answers))
    bottom = max(panel.place.y + panel.place.height for panel in panels)
    canvas = Canvas(theme.WIDTH, theme.TOP + bottom * theme.CELL_HEIGHT + theme.GAP)
    canvas.text(14, 9, dashboard["title"], size=11, weight="bold")
    canvas.text(14, 29, subtitle, size=theme.LEGEND_SIZE, color=theme.FAINT)
    marks = find_marks(parse_marks(dashboard), answers)
    for panel in panels:
        box = place_panel(panel.place)
        if panel.kind == ROW:
            title = f"{'▸' if panel.inside else '▾'} {panel.title}"
            canvas.text(box.left + 2, box.top + 5, title, size=9, weight="bold")
            continue
        data = collect_data(panel, answers, marks)
        draw_panel(canvas, box, panel, data)
    return canvas


def open_rows(panels: Iterable[Panel], answers: Answers) -> Iterator[Panel]:
    """The panels as somebody sees them who opens the closed rows that have something to show."""
    missing = 0  # height of the panels that stay hidden: what is below them moves up
    for panel in panels:
        shown = _move_up(panel, missing)
        if any(not collect_data(inside, answers, []).is_empty for inside in panel.inside):
            yield replace(shown, inside=())
            yield from (_move_up(inside, missing) for inside in panel.inside)
            continue
        yield shown
        if panel.inside:
            bottom = max(inside.place.y + inside.place.height for inside in panel.inside)
            missing += bottom - panel.place.y - panel.place.height


def _move_up(panel: Panel, cells: int) -> Panel:
    return replace(panel, place=replace(panel.place, y=panel.place.y - cells))


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
