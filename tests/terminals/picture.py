"""The screen of one run at a fixed time, as the docs show it; `tools.docs` puts it into the page."""

from datetime import UTC, datetime

from trainwright_cli.runs import parse_run
from trainwright_cli.watching.frame import Canvas, build_screen
from trainwright_cli.watching.glyphs import UNICODE
from trainwright_cli.watching.snapshot import Snapshot
from trainwright_cli.watching.state import State, key_of

from tests.terminals.played import build_detail
from tests.terminals.runs import a_content, a_detail

NOW = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)


def draw_screen(columns: int, lines: int) -> str:
    """The screen as text, without blanks at the ends of lines."""
    view = parse_run(a_content()["runs"][0])
    snapshot = Snapshot(NOW, (view,), build_detail(key_of(view), a_detail()))
    canvas = Canvas(columns, lines, UNICODE, "namespace team", NOW)
    screen = build_screen(State(snapshot, opened=key_of(view)), canvas)
    return "\n".join(line.plain.rstrip() for line in screen)
