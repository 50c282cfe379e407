"""The terminal itself: another screen, keys as they are pressed, and all of it put back at the end.

Whatever ends the process - q, Ctrl+C, SIGTERM, SIGHUP, an error - leaves through `__exit__`. Ctrl+Z
gives the terminal back too, and takes it again when the process goes on.
"""

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

from rich.console import Console
from rich.control import Control
from rich.text import Text

from trainwright_cli.watching.keys import is_incomplete, parse_keys

_REST_SECONDS = 0.05
# "Synchronized output": what is written in between is shown at once; old terminals ignore it.
_HOLD, _RELEASE = "\x1b[?2026h", "\x1b[?2026l"
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class TerminatedError(SystemExit):
    """The process was told to end; its code is the shell's for that signal."""


class Terminal:
    """A context manager around the process's own terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._descriptor = sys.stdin.fileno()
        self._cooked: list[Any] = termios.tcgetattr(self._descriptor)
        self._handlers: dict[int, Any] = {}
        self._is_resized = True
        # A signal alone does not end a select (PEP 475); a byte in a pipe does.
        self._resized, self._bell = os.pipe()

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            self._handlers[number] = signal.signal(number, self._terminate)
        self._handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._pause)
        self._handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, self._resize)
        self._enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError, termios.error):  # a terminal that is gone needs no cleaning
            self._leave()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self._resized)
        os.close(self._bell)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines of the window, as it is now; 80x24 where the line does not know."""
        columns, lines = os.get_terminal_size(self._descriptor)
        return (columns or 80, lines or 24)

    def draw(self, lines: Sequence[Text]) -> None:
        """Show these lines, whole or not at all where the terminal knows how."""
        is_resized, self._is_resized = self._is_resized, False
        file = self._console.file
        file.write(_HOLD)
        self._console.control(*([Control.clear()] if is_resized else []), Control.home())
        self._console.print(Text("\n").join(lines), end="", soft_wrap=True)
        file.write(_RELEASE)
        file.flush()

    def read_keys(self, wakeup: int, timeout_seconds: float) -> list[str]:
        """Return the keys pressed before the timeout, a resize, or news from `wakeup`."""
        sources = [self._descriptor, wakeup, self._resized]
        ready, _, _ = select.select(sources, [], [], timeout_seconds)
        if self._resized in ready:
            os.read(self._resized, 1024)
        if self._descriptor not in ready:
            return []
        data = self._read()
        while is_incomplete(data) and select.select([self._descriptor], [], [], _REST_SECONDS)[0]:
            data += self._read()
        return parse_keys(data)

    def _read(self) -> bytes:
        data = os.read(self._descriptor, 1024)
        if not data:  # the terminal is gone
            raise TerminatedError(128 + signal.SIGHUP)
        return data

    def _enter(self) -> None:
        tty.setcbreak(self._descriptor)
        self._is_resized = True
        self._console.set_alt_screen(True)
        self._console.show_cursor(False)

    def _leave(self) -> None:
        # The settings first: who sees the old screen again may type at once.
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._cooked)
        self._console.show_cursor(True)
        self._console.set_alt_screen(False)

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        raise TerminatedError(128 + number)

    def _pause(self, number: int, frame: FrameType | None) -> None:
        self._leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._enter()

    def _resize(self, number: int, frame: FrameType | None) -> None:
        self._is_resized = True
        os.write(self._bell, b"!")
