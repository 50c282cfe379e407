"""Runs the full screen: keys and answers in, lines out, until q."""

from dataclasses import replace
from datetime import UTC, datetime

from rich.console import Console

from trainwright_cli.runs import RunView
from trainwright_cli.watching.frame import Canvas, build_screen, find_furthest_scroll
from trainwright_cli.watching.glyphs import Glyphs
from trainwright_cli.watching.poller import POLL_SECONDS, Poller, Source, collect_losses
from trainwright_cli.watching.snapshot import Snapshot
from trainwright_cli.watching.state import Quit, State, key_of, press
from trainwright_cli.watching.terminal import Terminal

_REDRAW_SECONDS = 1.0


def watch_on_screen(
    source: Source,
    console: Console,
    glyphs: Glyphs,
    where: str,
    opened: RunView | None,
    poll_seconds: float = POLL_SECONDS,
) -> list[RunView]:
    """Show the screen until the user leaves it, and return the runs as they were last seen.

    `opened` is the run to start with. Raises CliError if the first answer is an error, and
    NotAllowedError once the user may not see the runs any more.
    """
    views = tuple(source.fetch_views())
    first = Snapshot(datetime.now(UTC), views)
    first = replace(first, losses=collect_losses(first, views))
    state = State(first, opened=key_of(opened) if opened is not None else None)
    poller = Poller(source, first, poll_seconds)
    poller.look_at(state.opened)
    with Terminal(console) as terminal:
        poller.start()
        try:
            state = _loop(state, poller, terminal, glyphs, where)
        finally:
            poller.stop()
    return list(state.snapshot.views)


def _loop(state: State, poller: Poller, terminal: Terminal, glyphs: Glyphs, where: str) -> State:
    while True:
        width, height = terminal.size
        canvas = Canvas(width, height, glyphs, where, datetime.now().astimezone())
        terminal.draw(build_screen(state, canvas))
        for key in terminal.read_keys(poller.wakeup, _REDRAW_SECONDS):
            furthest = find_furthest_scroll(state, canvas)
            state, effect = press(state, key, canvas.body_height - 1, furthest)
            if isinstance(effect, Quit):
                return state
            if effect is not None:
                poller.order(effect)
        poller.look_at(state.opened)
        for news in poller.take_news():
            if isinstance(news, Snapshot):
                state = replace(state, snapshot=news)
            else:
                state = replace(state, notice=news)
