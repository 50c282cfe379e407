"""Progress of runs as it happens: bars on a terminal, plain lines elsewhere.

Used by `watch` (rows from the cluster) and `run --local` (rows from the trainer on this machine).
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from trainwright_api.names import SHORT_NAMES, Phase
from trainwright_api.quantities import format_duration
from trainwright_api.status import Progress

from trainwright_cli.tables import NOTHING, PHASE_STYLES, STALLED, format_number, progress_line

PLAIN_LINE_SECONDS = 10.0
BAR_WIDTH = 14
TITLE_WIDTH = 22


@dataclass(frozen=True, slots=True)
class LiveRow:
    """One run on the display; `note` says what it waits for, `hardware` what its devices do, if known.

    `namespace` is given where runs of several are shown, `stall` where the run makes no steps.
    """

    title: str
    phase: Phase
    progress: Progress
    note: str = ""
    hardware: str = ""
    namespace: str = ""
    stall: str = ""

    @property
    def name(self) -> str:
        """What tells the run from all others on the display."""
        return f"{self.namespace}/{self.title}" if self.namespace else self.title


class Display(ABC):
    """Shows rows until it is closed; a context manager."""

    @abstractmethod
    def show(self, rows: Sequence[LiveRow]) -> None:
        """Show the newest rows."""

    @abstractmethod
    def say(self, line: str) -> None:
        """Print a line that stays."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 (nothing to close is a valid way to close)
        """Leave the terminal as it was."""


class LiveDisplay(Display):
    """Bars that are drawn again in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._live.start()

    def show(self, rows: Sequence[LiveRow]) -> None:
        """Draw all rows anew."""
        self._live.update(live_view(rows), refresh=True)

    def say(self, line: str) -> None:
        """Print above the bars."""
        self._live.console.print(Text(line))

    def close(self) -> None:
        """Leave the last bars on the screen, unless that has been closed."""
        with suppress(OSError):
            self._live.stop()


class NoDisplay(Display):
    """Shows nothing, as there is nobody to see it."""

    def show(self, rows: Sequence[LiveRow]) -> None:
        """See Display."""

    def say(self, line: str) -> None:
        """See Display."""


class PlainDisplay(Display):
    """A line per run when its phase, note or last measurement changes, else every few seconds if it moves."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._shown: dict[str, tuple[object, int, float]] = {}

    def show(self, rows: Sequence[LiveRow]) -> None:
        """Print the rows that have something new to say."""
        now = time.monotonic()
        for row in rows:
            progress = row.progress
            is_stalled = bool(row.stall)  # for how long is no news
            state = (row.phase, row.note, progress.activity, progress.validation_loss, is_stalled)
            last_state, last_step, last_time = self._shown.get(row.name, (None, -1, 0.0))
            has_moved = progress.step != last_step and now - last_time >= PLAIN_LINE_SECONDS
            if state != last_state or has_moved:
                self._shown[row.name] = (state, progress.step, now)
                self._write(plain_line(row))

    def say(self, line: str) -> None:
        """Print a line."""
        self._write(line)


def open_display(console: Console, write: Callable[[str], None]) -> Display:
    """Return bars for a terminal, lines for anything else."""
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(write)


def plain_line(row: LiveRow) -> str:
    """Return a row as one line, with the time of day."""
    line = progress_line(row.name, row.phase, row.progress, row.stall)
    rest = "".join(f"  {' '.join(text.split())}" for text in (row.hardware, row.note) if text)
    return f"{time.strftime('%H:%M:%S')}  {line}{rest}"


def live_table(rows: Sequence[LiveRow]) -> Table:
    """Return all rows as bars; fits 80 columns."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("RUN", no_wrap=True)
    table.add_column("PHASE", no_wrap=True, min_width=9)
    table.add_column("PROGRESS", width=BAR_WIDTH)
    for title in ("STEP", "LOSS", "TOK/S", "ETA"):
        table.add_column(title, no_wrap=True, justify="right", min_width=5)
    for row in rows:
        table.add_row(*_live_cells(row))
    return table


def live_view(rows: Sequence[LiveRow]) -> Group:
    """Return the bars, and below them what runs wait for, and for how long they have made no step."""
    notes = [
        Text(f"{_short_title(row)}: {note}", style=style, overflow="ellipsis", no_wrap=True)
        for row in rows
        for note, style in ((row.stall, "yellow"), (row.note, "dim"))
        if note
    ]
    return Group(live_table(rows), *notes)


def _live_cells(row: LiveRow) -> list[Text | ProgressBar]:
    progress = row.progress
    total = progress.total_steps or None
    # A bar without a total would pulse, which needs a clock; an empty one says "not yet".
    bar = ProgressBar(total=total or 1, completed=progress.step if total else 0, width=BAR_WIDTH)
    steps = f"{progress.step}/{total}" if total else progress.activity or NOTHING
    eta = NOTHING if progress.eta_seconds is None else format_duration(progress.eta_seconds)
    eta = STALLED if row.stall else eta
    title = Text(_short_title(row))
    title.truncate(TITLE_WIDTH, overflow="ellipsis")
    return [
        title,
        Text(row.phase, style=PHASE_STYLES.get(row.phase, "")),
        bar,
        Text(steps),
        Text(format_number(progress.loss, ".3f")),
        Text(format_number(progress.tokens_per_second, ",.0f")),
        Text(eta),
    ]


def _short_title(row: LiveRow) -> str:
    kind, _, name = row.title.partition("/")
    return f"{SHORT_NAMES.get(kind, kind)}/{name}"
