"""Everything about one run on one screen; two columns where the window is wide enough. Pure.

80x24 holds the progress, a plot of the loss and a few lines of each section; a bigger window shows
more of each, and nothing that a smaller one has is ever left out of a bigger one.
"""

from collections.abc import Sequence
from datetime import datetime
from textwrap import wrap

from rich.text import Text
from trainwright_api.names import SHORT_NAMES
from trainwright_api.quantities import format_duration
from trainwright_api.status import Progress

from trainwright_cli.runs import RunView
from trainwright_cli.stalls import tell_stall
from trainwright_cli.tables import PHASE_STYLES, format_age
from trainwright_cli.watching.glyphs import Glyphs, Point, draw_bar, draw_plot
from trainwright_cli.watching.sections import Section, build_sections
from trainwright_cli.watching.state import State, key_of

TWO_COLUMNS_FROM = 130
_MINIMUM_PLOT, _MAXIMUM_PLOT = 4, 16
_MINIMUM_SECTION = 2
_MESSAGE_LINES = 3


def run_lines(state: State, width: int, height: int, glyphs: Glyphs, now: datetime) -> list[Text]:
    """Return the screen of the open run."""
    view = state.current
    if view is None:
        return [Text(), Text(f"  {state.opened} is gone; Esc shows the other runs")]
    detail = state.snapshot.detail
    detail = detail if detail is not None and detail.key == key_of(view) else None
    top = [
        *_heading(view, width, now),
        _progress_line(view, width, glyphs, now),
        _figures_line(view, width),
    ]
    sections = build_sections(view.status, detail, glyphs, now)
    points = (
        [(row.step, row.loss) for row in detail.history if row.loss is not None] if detail else []
    )
    points = points or list(state.snapshot.losses.get(key_of(view), ()))
    rest = height - len(top)
    if width >= TWO_COLUMNS_FROM:
        return [*top, *_in_two_columns(points, sections, width, rest, glyphs)]
    return [*top, *_in_one_column(points, sections, width, rest, glyphs)]


def _heading(view: RunView, width: int, now: datetime) -> list[Text]:
    status = view.status
    name = f"{SHORT_NAMES.get(view.kind, view.kind)}/{view.name}"
    who = Text(f" {name}", style="bold").append(f"  in {view.namespace}", style="not bold")
    line = Text("  ", style="bold").append(status.phase, style=PHASE_STYLES.get(status.phase, ""))
    if status.reason and status.reason != status.phase:
        line.append(f" ({status.reason})")
    line.append(
        f"  attempt {status.attempt}  age {format_age(view.created_at, now)}", style="not bold"
    )
    if view.is_suspended and status.phase != "Suspended":
        line.append("  suspending", style="yellow")
    # What fails must be readable without another command.
    message = wrap(status.message or "", width - 2, max_lines=_MESSAGE_LINES, placeholder="...")
    # Long names take a line of their own: what is cut at its end would be the phase.
    told = [who + line] if who.cell_len + line.cell_len <= width else [who, line]
    return [*told, *(Text(f" {text}", style="yellow") for text in message)]


def _progress_line(view: RunView, width: int, glyphs: Glyphs, now: datetime) -> Text:
    progress = view.status.progress or Progress()
    steps = (
        f"{progress.step}/{progress.total_steps}" if progress.total_steps else f"{progress.step}"
    )
    parts = [f"{progress.percent:.0f} %", f"step {steps}"]
    stall = tell_stall(view, now)
    if stall:
        parts.append(stall)
    elif progress.eta_seconds is not None and not view.has_ended:
        parts.append(f"ETA {format_duration(progress.eta_seconds)}")
    if progress.activity:
        parts.append(progress.activity)
    text = "  ".join(parts)
    bar = draw_bar(progress.percent / 100, max(width - len(text) - 4, 10), glyphs)
    line = Text(" ").append(bar, style="cyan").append(f"  {text}")
    if stall:
        line.highlight_words([stall], style="bold yellow")
    return line


def _figures_line(view: RunView, width: int) -> Text:
    progress = view.status.progress or Progress()
    figures = (
        ("loss", progress.loss, ".4f"),
        ("validation", progress.validation_loss, ".4f"),
        ("tok/s", progress.tokens_per_second, ",.0f"),
        ("MFU", progress.mfu, ".1%"),
        ("lr", progress.learning_rate, ".2g"),
        ("|g|", progress.gradient_norm, ".2f"),
        ("tokens", progress.tokens or None, ",d"),
    )
    line = Text()
    for label, value, form in figures:
        # The order is that of importance: what does not fit is left out whole.
        if value is not None and len(line) + len(f" {label} {format(value, form)} ") <= width:
            line.append(f" {label} ", style="dim").append(f"{format(value, form)} ", style="bold")
    return line


def _in_one_column(
    points: Sequence[Point], sections: Sequence[Section], width: int, height: int, glyphs: Glyphs
) -> list[Text]:
    wanted = [_MAXIMUM_PLOT, *(len(section.lines) + 1 for section in sections)]
    least = [_MINIMUM_PLOT, *(_MINIMUM_SECTION for _ in sections)]
    plot_height, *heights = share_lines(wanted, least, height)
    return [*_plot(points, width, plot_height, glyphs), *_drawn(sections, heights)]


def _in_two_columns(
    points: Sequence[Point], sections: Sequence[Section], width: int, height: int, glyphs: Glyphs
) -> list[Text]:
    """Plot and ranks on the left, the lists on the right, the log below over the whole width."""
    log = [section for section in sections if section.keeps_end]
    others = [section for section in sections if not section.keeps_end]
    upper, *log_heights = share_lines(
        [height - height // 3, *(len(section.lines) + 1 for section in log)],
        [height // 2, *(_MINIMUM_SECTION for _ in log)],
        height,
    )
    half = width // 2
    is_left = [index == 0 for index in range(len(others))]
    left = [section for section, goes in zip(others, is_left, strict=True) if goes]
    right = [section for section, goes in zip(others, is_left, strict=True) if not goes]
    left_lines = _in_one_column(points, left, half - 1, upper, glyphs)
    right_heights = share_lines(
        [len(section.lines) + 1 for section in right], [_MINIMUM_SECTION for _ in right], upper
    )
    right_lines = _drawn(right, right_heights)
    joined = []
    for index in range(upper):
        line = (left_lines[index] if index < len(left_lines) else Text()).copy()
        line.truncate(half, pad=True)
        joined.append(line + (right_lines[index] if index < len(right_lines) else Text()))
    return [*joined, *_drawn(log, log_heights)]


def _plot(points: Sequence[Point], width: int, height: int, glyphs: Glyphs) -> list[Text]:
    if height < _MINIMUM_SECTION:
        return []
    chart = draw_plot(points, width - 2, height - 1, glyphs)
    return [
        Text(" Loss", style="bold underline"),
        *(Text(f" {line}", style="cyan") for line in chart),
    ]


def _drawn(sections: Sequence[Section], heights: Sequence[int]) -> list[Text]:
    return [
        line
        for section, height in zip(sections, heights, strict=True)
        if height > 0
        for line in section.draw(height)
    ]


def share_lines(wanted: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Return how many lines each part gets: the least first, then one by one up to what it wants.

    Parts come in order of importance: without room for the least of all, the last get nothing.
    """
    given = []
    for want, minimum in zip(wanted, least, strict=True):
        first = min(want, minimum)
        given.append(first if first <= room else 0)
        room -= given[-1]
    while room > 0:
        hungry = [i for i, want in enumerate(wanted) if 0 < given[i] < want]
        if not hungry:
            break
        for index in hungry[:room]:
            given[index] += 1
        room -= len(hungry[:room])
    return given
