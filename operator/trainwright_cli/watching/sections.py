"""The parts of the screen of one run: ranks, checkpoints, attempts, events, log. Pure.

Each is a title and as many lines as it has to say; `run_screen` decides how many of them are shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.text import Text
from trainwright_api.quantities import format_bytes, format_duration
from trainwright_api.status import Attempt, RunStatus

from trainwright_cli.cluster import EventView
from trainwright_cli.runs import parse_time
from trainwright_cli.tables import NOTHING, format_age, format_number
from trainwright_cli.watching.glyphs import Glyphs, draw_bar
from trainwright_cli.watching.snapshot import Detail, RankFigures

RANK_BAR_WIDTH = 10
OUTCOME_STYLES = {"Succeeded": "green", "Failed": "red", "Suspended": "yellow", "Deadline": "red"}
_HOT_CELSIUS = 85


@dataclass(frozen=True, slots=True)
class Section:
    """A titled list; `keeps_end` cuts its start when there is no room, as a log is read."""

    title: str
    lines: Sequence[Text]
    keeps_end: bool = False

    def draw(self, height: int) -> list[Text]:
        """Return title and lines in `height` lines; the title says how many are hidden."""
        room = height - 1
        shown = (
            list(self.lines[-room:] if self.keeps_end else self.lines[:room]) if room > 0 else []
        )
        hidden = len(self.lines) - len(shown)
        count = f" ({hidden} more)" if hidden and not self.keeps_end else ""
        return [Text(f" {self.title}{count}", style="bold underline"), *shown]


def build_sections(
    status: RunStatus, detail: Detail | None, glyphs: Glyphs, now: datetime
) -> list[Section]:
    """Return the sections that have something to say, the most important first."""
    ranks = _worst_first(detail.ranks if detail else (), status)
    events = detail.events if detail else ()
    log = detail.log if detail else ()
    sections = [
        Section(_hardware_title(status), [_rank_line(rank, glyphs) for rank in ranks]),
        Section("Attempts", [_attempt_line(a, now) for a in reversed(status.attempts)]),
        Section("Checkpoints", _checkpoint_lines(status, now)),
        Section("Events", [_event_line(event, now) for event in events]),
        Section(
            (detail.log_title if detail else "") or "Log",
            [Text(f"  {line}", style="dim") for line in log],
            keeps_end=True,
        ),
    ]  # fmt: skip
    return [
        section
        for index, section in enumerate(sections)
        if section.lines
        or (index == 0 and status.hardware is not None)
        or (section.keeps_end and detail is not None)
    ]


def _worst_first(ranks: Sequence[RankFigures], status: RunStatus) -> list[RankFigures]:
    """Return the ranks in order, but the one to blame on top: it is seen in any window."""
    worst = status.hardware.worst_rank if status.hardware else None
    return sorted(ranks, key=lambda rank: (rank.rank != worst, rank.rank))


def _hardware_title(status: RunStatus) -> str:
    hardware = status.hardware
    if hardware is None:
        return "Ranks"
    untold = hardware.untold_worst_rank
    worst = "" if untold is None else f"  worst rank {untold}"
    heat = hardware.temperature_celsius
    hottest = f"  hottest {heat:.0f} C" if heat is not None else ""
    return f"{hardware.summary or hardware.device}{hottest}{worst}"


def _rank_line(rank: RankFigures, glyphs: Glyphs) -> Text:
    line = Text(f"  rank {rank.rank:<3} {rank.device} ")
    used, total = rank.memory_used_bytes, rank.memory_total_bytes
    line.append(draw_bar(rank.utilization, RANK_BAR_WIDTH, glyphs), style="cyan")
    line.append(f" {format_number(rank.utilization, '.0%'):>4}")
    if used is not None:
        line.append("  mem ")
        line.append(
            draw_bar(used / total if total else None, RANK_BAR_WIDTH, glyphs), style="magenta"
        )
        line.append(f" {format_bytes(used)}{f'/{format_bytes(total)}' if total else ''}")
    if rank.power_watts is not None:
        line.append(f"  {rank.power_watts:.0f} W")
    if rank.temperature_celsius is not None:
        is_hot = rank.temperature_celsius >= _HOT_CELSIUS
        line.append(f"  {rank.temperature_celsius:.0f} C", style="bold red" if is_hot else "")
    return line


def _attempt_line(attempt: Attempt, now: datetime) -> Text:
    start, end = parse_time(attempt.started_at), parse_time(attempt.ended_at) or now
    lasted = format_duration((end - start).total_seconds()) if start else NOTHING
    outcome = attempt.outcome or "Running"
    line = Text(f"  {attempt.number:<3} ")
    line.append(f"{outcome:<9}", style=OUTCOME_STYLES.get(outcome, "cyan"))
    line.append(f" {attempt.cause or '':<17} {lasted:>7}")
    steps = f"{attempt.resumed_from_step or 0}-{attempt.last_step if attempt.last_step is not None else '?'}"
    line.append(f"  steps {steps}")
    if attempt.steps_lost:
        line.append(f"  lost {attempt.steps_lost}")
    where = " on ".join(part for part in (attempt.pod, attempt.node) if part)
    rest = ": ".join(part for part in (where, attempt.message) if part)
    return line.append(f"  {rest}" if rest else "")


def _checkpoint_lines(status: RunStatus, now: datetime) -> list[Text]:
    checkpoints = status.checkpoints
    best = checkpoints.best.step if checkpoints and checkpoints.best else None
    lines = []
    for record in checkpoints.items if checkpoints else ():
        line = Text(f"  step {record.step:<7} {format_bytes(record.size_bytes):>9}")
        line.append(f"  {format_age(parse_time(record.saved_at), now):>7} ago")
        line.append(
            "  verified" if record.verified else "  not verified",
            style="" if record.verified else "yellow",
        )
        if record.loss is not None:
            line.append(f"  loss {record.loss:.4f}")
        if record.step == best:
            line.append("  best", style="green")
        lines.append(line)
    return lines


def _event_line(event: EventView, now: datetime) -> Text:
    line = Text(f"  {format_age(event.seen_at, now):>7} ago  ")
    line.append(event.reason, style="yellow" if event.is_warning else "")
    times = f" (x{event.count})" if event.count > 1 else ""
    return line.append(f"{times}  {event.message}")
