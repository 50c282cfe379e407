"""What the screen shows, and what each key makes of it. Pure.

`press` returns the next state and, for keys that do something outside of the screen, an effect that
`session` carries out.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from trainwright_cli.runs import RunView
from trainwright_cli.watching import keys
from trainwright_cli.watching.snapshot import Snapshot


class Overlay(StrEnum):
    """A page that covers the screen until it is left."""

    NONE = ""
    HELP = "help"
    PLAN = "plan"
    LOG = "log"


@dataclass(frozen=True, slots=True)
class SetSuspend:
    """Suspend or resume this run."""

    view: RunView
    suspend: bool


class Quit:
    """Leave the screen."""


Effect = SetSuspend | Quit


@dataclass(frozen=True, slots=True)
class State:
    """One state of the screen; runs are named by `key_of`."""

    snapshot: Snapshot
    opened: str | None = None
    selected: str | None = None
    overlay: Overlay = Overlay.NONE
    scroll: int = 0
    """Lines from the top of an overlay; for the log, from its end."""
    question: SetSuspend | None = None
    notice: str = ""

    @property
    def rows(self) -> list[RunView]:
        """The runs in the order of the table: those that go on first."""
        return sorted(self.snapshot.views, key=lambda view: view.has_ended)

    @property
    def current(self) -> RunView | None:
        """The open run, else the selected one, else the first."""
        wanted = self.opened or self.selected
        found = next((view for view in self.rows if key_of(view) == wanted), None)
        if found is None and self.opened is None and self.rows:
            return self.rows[0]
        return found


def key_of(view: RunView) -> str:
    """Return what names a run within a cluster."""
    return f"{view.namespace}/{view.title}"


def press(state: State, key: str, page: int, furthest: int) -> tuple[State, Effect | None]:
    """Return the state after a key; `page` lines are seen at once, `furthest` is the last scroll."""
    state = replace(state, notice="")
    if state.question is not None:
        return _answer(state, key)
    if key == "q":
        return state, Quit()
    if key == "?":
        return _toggle(state, Overlay.HELP), None
    if key == "p" and state.current is not None:
        return _toggle(state, Overlay.PLAN), None
    if key == "l" and state.current is not None:
        opened = key_of(state.current)
        return _toggle(replace(state, opened=opened), Overlay.LOG), None
    if key in ("s", "r"):
        return _ask(state, suspend=key == "s"), None
    return _move(state, key, page, furthest), None


def _answer(state: State, key: str) -> tuple[State, Effect | None]:
    question, state = state.question, replace(state, question=None)
    if key in ("y", "Y"):
        return replace(state, notice="asking the cluster"), question
    return replace(state, notice="nothing was changed"), None


def _toggle(state: State, overlay: Overlay) -> State:
    shown = Overlay.NONE if state.overlay is overlay else overlay
    return replace(state, overlay=shown, scroll=0)


def _ask(state: State, *, suspend: bool) -> State:
    view = state.current
    if view is None:
        return replace(state, notice="there is no run")
    title = state.snapshot.title_of(view)
    if view.has_ended:
        return replace(state, notice=f"{title} has ended ({view.status.phase})")
    if view.is_suspended == suspend:
        return replace(state, notice=f"{title} is {'suspended' if suspend else 'not suspended'}")
    return replace(state, question=SetSuspend(view, suspend))


def _move(state: State, key: str, page: int, furthest: int) -> State:
    if key == keys.ESCAPE:
        if state.overlay is not Overlay.NONE:
            return replace(state, overlay=Overlay.NONE, scroll=0)
        return replace(state, opened=None, selected=state.opened or state.selected)
    if state.overlay is not Overlay.NONE:
        return replace(state, scroll=min(_scrolled(state, key, page), furthest))
    if state.opened is not None:
        return state
    if key == keys.ENTER and state.current is not None:
        return replace(state, opened=key_of(state.current))
    return replace(state, selected=_selected(state, key, page))


def _steps(key: str, page: int) -> int:
    far = 1_000_000
    steps = {
        keys.UP: -1,
        keys.DOWN: 1,
        keys.PAGE_UP: -page,
        keys.PAGE_DOWN: page,
        keys.HOME: -far,
        keys.END: far,
    }
    return steps.get(key, 0)


def _scrolled(state: State, key: str, page: int) -> int:
    # The log hangs from its end: up goes away from it.
    direction = -1 if state.overlay is Overlay.LOG else 1
    return max(0, state.scroll + direction * _steps(key, page))


def _selected(state: State, key: str, page: int) -> str | None:
    rows = state.rows
    if not rows or state.current is None:
        return None
    place = rows.index(state.current) + _steps(key, page)
    return key_of(rows[min(max(place, 0), len(rows) - 1)])
