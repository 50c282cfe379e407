"""All runs as a table that can be moved through; columns come in as the window grows. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.text import Text
from trainwright_api.names import SHORT_NAMES
from trainwright_api.status import Progress

from trainwright_cli.runs import RunView
from trainwright_cli.tables import NOTHING, PHASE_STYLES, format_age, format_eta, format_number
from trainwright_cli.watching.glyphs import Glyphs, draw_bar, draw_sparkline, plain
from trainwright_cli.watching.state import State, key_of

NAME_WIDTH = 19
_WIDE_NAME = 40
_LEAST_NAMESPACE = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One run and what its cells are made of."""

    view: RunView
    losses: Sequence[float]
    glyphs: Glyphs
    now: datetime

    @property
    def progress(self) -> Progress:
        """The run's progress; an empty one before it has any."""
        return self.view.status.progress or Progress()


@dataclass(frozen=True, slots=True)
class Column:
    """One column; it is shown from a width of the window on."""

    title: str
    width: int
    show: Callable[[Row, int], str]
    from_width: int = 0
    is_number: bool = True


def _steps(row: Row, width: int) -> str:
    progress = row.progress
    if not progress.total_steps:
        return progress.activity or NOTHING
    whole = f"{progress.step}/{progress.total_steps}"
    short = f"{_shorten(progress.step)}/{_shorten(progress.total_steps)}"
    return whole if len(whole) <= width else short


def _speed(row: Row, width: int) -> str:
    speed = row.progress.tokens_per_second
    whole = format_number(speed, ",.0f")
    return whole if speed is None or len(whole) <= width else _shorten(speed)


def _checkpoint(row: Row, width: int) -> str:
    checkpoints = row.view.status.checkpoints
    return str(checkpoints.latest.step) if checkpoints and checkpoints.latest else NOTHING


def _hardware(row: Row, width: int) -> str:
    hardware = row.view.status.hardware
    return (hardware.summary or hardware.device) if hardware else NOTHING


_COLUMNS = (
    Column("PHASE", 10, lambda row, _: row.view.status.phase, is_number=False),
    Column(
        "PROGRESS",
        10,
        lambda row, width: draw_bar(row.progress.percent / 100, width, row.glyphs),
        is_number=False,
    ),
    Column("STEP", 11, _steps),
    Column("LOSS", 7, lambda row, _: format_number(row.progress.loss, ".3f")),
    Column(
        "TREND", 14, lambda row, width: draw_sparkline(row.losses, width, row.glyphs), 100,
        is_number=False,
    ),
    Column("TOK/S", 8, _speed),
    Column("MFU", 6, lambda row, _: format_number(row.progress.mfu, ".1%"), 100),
    Column("ETA", 7, lambda row, _: format_eta(row.view, row.now)),
    Column("SAVED", 7, _checkpoint, 120),
    Column("AGE", 7, lambda row, _: format_age(row.view.created_at, row.now), 120),
    Column("HARDWARE", 24, _hardware, 150, is_number=False),
)  # fmt: skip


def table_lines(state: State, width: int, height: int, glyphs: Glyphs, now: datetime) -> list[Text]:
    """Return the table, scrolled so that the selected run is seen, and what that run waits for."""
    rows = state.rows
    if not rows:
        text = "no runs yet; `kubectl apply -f run.yaml` starts one"
        return [Text(), Text(f"  {text}" if state.snapshot.views == () else "")]
    columns = [column for column in _COLUMNS if width >= column.from_width]
    spare = width - 2 - sum(column.width + 1 for column in columns)
    name_width = min(max(spare, NAME_WIDTH), _WIDE_NAME)
    current, has_namespaces = state.current, state.snapshot.has_namespaces
    room = max(height - 3, 1)
    place = rows.index(current) if current in rows else 0
    first = min(max(place - room // 2, 0), max(len(rows) - room, 0))
    lines = [_title_line(columns, name_width, len(rows))]
    for view in rows[first : first + room]:
        losses = [loss for _, loss in state.snapshot.losses.get(key_of(view), ())]
        row = Row(view, losses, glyphs, now)
        name = _name(view, name_width if has_namespaces else None, glyphs)
        lines.append(_row_line(row, columns, name, name_width, is_selected=view is current))
    note = current.status.message if current is not None else None
    if current is not None and note:
        name = _name(current, width if has_namespaces else None, glyphs)
        lines += [Text(), Text(plain(f"  {name}: {note}", glyphs), style="dim")]
    return lines


def _title_line(columns: Sequence[Column], name_width: int, num_runs: int) -> Text:
    cells = [f"  {f'RUN ({num_runs})':<{name_width}}"]
    cells += [_placed(column.title, column, "") for column in columns]
    return Text(" ".join(cells), style="bold")


def _row_line(
    row: Row, columns: Sequence[Column], name: str, name_width: int, *, is_selected: bool
) -> Text:
    pointer = row.glyphs.pointer if is_selected else " "
    cut = plain(name, row.glyphs)
    if len(cut) > name_width:
        cut = cut[: name_width - 1] + row.glyphs.more
    line = Text(f"{pointer} {cut:<{name_width}}", style="reverse" if is_selected else "")
    phase_style = PHASE_STYLES.get(row.view.status.phase, "")
    for column in columns:
        shown = plain(column.show(row, column.width), row.glyphs)
        cell = _placed(shown, column, row.glyphs.more)
        line.append(" ").append(
            cell, style=phase_style if column.title in ("PHASE", "PROGRESS") else ""
        )
    return line


def _placed(text: str, column: Column, more: str) -> str:
    """Return the text in the column's width; one that is cut says so, as half a number is another one."""
    cut = text if len(text) <= column.width else text[: column.width - len(more)] + more
    return cut.rjust(column.width) if column.is_number else cut.ljust(column.width)


def _name(view: RunView, width: int | None, glyphs: Glyphs) -> str:
    """Return the run's short title; with a width, its namespace before it, cut so that the title is seen."""
    title = f"{SHORT_NAMES.get(view.kind, view.kind)}/{view.name}"
    if width is None:
        return title
    room = max(width - len(title) - 1, _LEAST_NAMESPACE)
    namespace = view.namespace
    if len(namespace) > room:
        namespace = namespace[: room - 1] + glyphs.more
    return f"{namespace}/{title}"


def _shorten(value: float) -> str:
    """Return a number in at most five characters: `999`, `1.23k`, `123k`, `1.2M`."""
    for limit, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * limit:  # what would be rounded to the limit
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.0f}"
