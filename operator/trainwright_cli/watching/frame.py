"""One screen as lines: header, body, a line for what must be said, and the keys. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.text import Text

from trainwright_cli.watching.glyphs import Glyphs, plain
from trainwright_cli.watching.overlays import build_page
from trainwright_cli.watching.run_screen import run_lines
from trainwright_cli.watching.state import Overlay, SetSuspend, State
from trainwright_cli.watching.table_screen import table_lines

MINIMUM_WIDTH, MINIMUM_HEIGHT = 40, 8
NUM_FRAME_LINES = 3

_TABLE_KEYS = (("up/down", "move"), ("Enter", "open"))
_RUN_KEYS = (("Esc", "back"),)
_OVERLAY_KEYS = (("Esc", "back"), ("up/down", "scroll"))
_COMMON_KEYS = (
    ("s", "suspend"),
    ("r", "resume"),
    ("p", "plan"),
    ("l", "logs"),
    ("?", "help"),
    ("q", "quit"),
)


@dataclass(frozen=True, slots=True)
class Canvas:
    """What there is to draw on; `where` names the namespace, `now` is in the zone to be shown."""

    width: int
    height: int
    glyphs: Glyphs
    where: str
    now: datetime

    @property
    def body_height(self) -> int:
        """Lines between header and footer."""
        return max(self.height - NUM_FRAME_LINES, 1)


def build_screen(state: State, canvas: Canvas) -> list[Text]:
    """Return exactly `height` lines of at most `width` cells each."""
    if canvas.width < MINIMUM_WIDTH or canvas.height < MINIMUM_HEIGHT:
        told = [
            Text(f"{canvas.width}x{canvas.height} is too small"),
            Text(f"{MINIMUM_WIDTH}x{MINIMUM_HEIGHT} is needed"),
        ]
        return _fitted(told, canvas.width, canvas.height, canvas.glyphs)
    body = _fitted(_body(state, canvas), canvas.width, canvas.body_height, canvas.glyphs)
    frame = [_header(state, canvas), *body, _said(state, canvas), _footer(state)]
    return _fitted(frame, canvas.width, canvas.height, canvas.glyphs)


def find_furthest_scroll(state: State, canvas: Canvas) -> int:
    """Return how far the page that is shown can be scrolled."""
    if state.overlay is Overlay.NONE:
        return 0
    return build_page(state, canvas.width, canvas.glyphs).furthest(canvas.body_height)


def _body(state: State, canvas: Canvas) -> Sequence[Text]:
    if state.overlay is not Overlay.NONE:
        page = build_page(state, canvas.width, canvas.glyphs)
        return page.draw(state.scroll, canvas.body_height)
    draw = table_lines if state.opened is None else run_lines
    return draw(state, canvas.width, canvas.body_height, canvas.glyphs, canvas.now)


def _header(state: State, canvas: Canvas) -> Text:
    left = f" trainwright watch  {canvas.where}"
    right = f"{canvas.now:%H:%M:%S} "
    room = max(canvas.width - len(left) - len(right), 1)
    return Text(left + " " * room + right, style="reverse bold")


def _said(state: State, canvas: Canvas) -> Text:
    """The one line that asks, warns or tells; a question comes first, then what is wrong."""
    if state.question is not None:
        return Text(_ask(state.question, state, canvas), style="bold yellow")
    if state.snapshot.problem:
        seconds = (canvas.now - state.snapshot.taken_at).total_seconds()
        age = f", last answer {seconds:.0f} s ago"
        return Text(f" Trying again{age}: {state.snapshot.problem}", style="bold red")
    return Text(f" {state.notice}" if state.notice else "", style="bold")


def _ask(question: SetSuspend, state: State, canvas: Canvas) -> str:
    """Return the question; a long name loses its start, so that its end and the answers are seen."""
    verb = "Suspend" if question.suspend else "Resume"
    title = state.snapshot.title_of(question.view)
    room = canvas.width - len(f" {verb} ? y/n")
    if len(title) > room:
        title = canvas.glyphs.more + title[1 - room :]
    return f" {verb} {title}? y/n"


def _footer(state: State) -> Text:
    if state.overlay is not Overlay.NONE:
        chosen = (*_OVERLAY_KEYS, ("q", "quit"))
    else:
        chosen = (*(_RUN_KEYS if state.opened is not None else _TABLE_KEYS), *_COMMON_KEYS)
    text = Text()
    for key, meaning in chosen:
        text.append(f" {key} ", style="reverse")
        text.append(f"{meaning} ")
    return text


def _fitted(lines: Sequence[Text], width: int, height: int, glyphs: Glyphs) -> list[Text]:
    """Cut or fill up to the size; what an ASCII terminal cannot show is replaced here, once."""
    chosen = [*lines, *(Text() for _ in range(height - len(lines)))][:height]
    for line in chosen:
        if not line.plain.isprintable() or not (glyphs.has_unicode or line.plain.isascii()):
            line.plain = plain(line.plain, glyphs)
        line.truncate(width, overflow="ellipsis" if glyphs.has_unicode else "crop", pad=True)
    return chosen
