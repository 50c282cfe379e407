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
    if progress.total_steps:
        return f"{progress.step}/{progress.total_steps}"
    return progress.activity or NOTHING


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
    Column("TOK/S", 8, lambda row, _: format_number(row.progress.tokens_per_second, ",.0f")),
    Column("MFU", 6, lambda row, _: format_number(row.progress.mfu, ".1%"), 100),
    Column("ETA", 7, lambda row, _: format_eta(row.view)),
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
    has_namespaces = len({view.namespace for view in rows}) > 1
    current = state.current
    room = max(height - 3, 1)
    place = rows.index(current) if current in rows else 0
    first = min(max(place - room // 2, 0), max(len(rows) - room, 0))
    lines = [_title_line(columns, name_width, len(rows))]
    for view in rows[first : first + room]:
        losses = [loss for _, loss in state.snapshot.losses.get(key_of(view), ())]
        row = Row(view, losses, glyphs, now)
        name = _name(view, has_namespaces)
        lines.append(_row_line(row, columns, name, name_width, is_selected=view is current))
    note = current.status.message if current is not None else None
    if current is not None and note:
        lines += [
            Text(),
            Text(plain(f"  {_name(current, has_namespaces)}: {note}", glyphs), style="dim"),
        ]
    return lines


def _title_line(columns: Sequence[Column], name_width: int, num_runs: int) -> Text:
    cells = [f"  {f'RUN ({num_runs})':<{name_width}}"]
    cells += [_placed(column.title, column) for column in columns]
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
        cell = _placed(plain(column.show(row, column.width), row.glyphs), column)
        line.append(" ").append(
            cell, style=phase_style if column.title in ("PHASE", "PROGRESS") else ""
        )
    return line


def _placed(text: str, column: Column) -> str:
    cut = text[: column.width]
    return cut.rjust(column.width) if column.is_number else cut.ljust(column.width)


def _name(view: RunView, has_namespace: bool) -> str:
    title = f"{SHORT_NAMES.get(view.kind, view.kind)}/{view.name}"
    return f"{view.namespace}/{title}" if has_namespace else title
