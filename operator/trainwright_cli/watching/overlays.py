"""The pages that cover the screen: help, plan and log; each scrolls. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

from rich.text import Text
from trainwright_api.status import Plan

from trainwright_cli.tables import plan_line
from trainwright_cli.watching.glyphs import Glyphs, draw_bar
from trainwright_cli.watching.state import Overlay, State, key_of

_BAR_WIDTH = 20
HELP = (
    ("up, down, k, j", "choose a run; scroll the plan or the log"),
    ("PgUp, PgDn, Home, End", "the same, in bigger steps"),
    ("Enter", "open the chosen run"),
    ("Esc, Backspace", "back to where you came from"),
    ("s", "suspend: stops after a checkpoint; asks first"),
    ("r", "resume a suspended run; asks first"),
    ("p", "the plan: memory by term, settings with reasons"),
    ("l", "the end of the log of rank 0; goes on by itself"),
    ("?", "this page"),
    ("q, Ctrl+C", "leave; the runs go on"),
)


@dataclass(frozen=True, slots=True)
class Page:
    """A title that stays, and lines that scroll; `hangs_from_end` counts the scroll from the end."""

    title: str
    lines: Sequence[Text]
    hangs_from_end: bool = False

    def furthest(self, height: int) -> int:
        """Return how many lines it can be scrolled."""
        return max(len(self.lines) - (height - 1), 0)

    def draw(self, scroll: int, height: int) -> list[Text]:
        """Return the title and what is seen at this scroll."""
        room, furthest = height - 1, self.furthest(height)
        scroll = min(scroll, furthest)
        first = furthest - scroll if self.hangs_from_end else scroll
        return [Text(f" {self.title}", style="bold"), *self.lines[first : first + room]]


def build_page(state: State, width: int, glyphs: Glyphs) -> Page:
    """Return the page that the state's overlay names."""
    if state.overlay is Overlay.HELP:
        return _help_page()
    if state.overlay is Overlay.PLAN:
        return _plan_page(state, width, glyphs)
    return _log_page(state)


def _help_page() -> Page:
    lines = [Text(), *(Text(f"  {keys:<24}{meaning}") for keys, meaning in HELP), Text()]
    lines.append(Text("  The screen asks every 2 s; the operator writes figures every 10 s."))
    return Page("Keys", lines)


def _plan_page(state: State, width: int, glyphs: Glyphs) -> Page:
    view = state.current
    plan = view.status.plan if view is not None else None
    if view is None or plan is None:
        return Page(
            "No plan yet", [Text(), Text("  The operator makes it, or the pod when it starts.")]
        )
    lines = [Text(), *(Text(f"  {line}") for line in wrap(plan_line(plan), width - 4))]
    lines += [Text(), Text("  Memory per device", style="bold"), *_memory_lines(plan, glyphs)]
    lines += [Text(), Text("  Decisions", style="bold")]
    for decision in plan.decisions:
        lines.append(Text(f"  {decision.field}: {decision.value}"))
        lines += [Text(f"      {line}", style="dim") for line in wrap(decision.reason, width - 8)]
    return Page(f"Plan of {state.snapshot.title_of(view)}", lines)


def _memory_lines(plan: Plan, glyphs: Glyphs) -> list[Text]:
    whole = plan.capacity_gib or plan.memory_gib or 1.0
    lines = []
    for term in plan.memory:
        line = Text(f"  {term.name:<12}")
        line.append(draw_bar(term.gib / whole, _BAR_WIDTH, glyphs), style="magenta")
        line.append(f" {term.gib:8.2f} GiB  ").append(term.reason, style="dim")
        lines.append(line)
    fits = {True: "  fits", False: "  does not fit", None: ""}[plan.fits]
    of = f" of {plan.capacity_gib:.1f}" if plan.capacity_gib else ""
    total = f"  {'in all':<12}{'':<{_BAR_WIDTH}} {plan.memory_gib:8.2f}{of} GiB{fits}"
    return [*lines, Text(total, style="bold")]


def _log_page(state: State) -> Page:
    detail, view = state.snapshot.detail, state.current
    if view is None or detail is None or detail.key != key_of(view):
        return Page("Asking for the log", [])
    title = detail.log_title or f"{state.snapshot.title_of(view)} has no log yet"
    return Page(title, [Text(f" {line}") for line in detail.log], hangs_from_end=True)
