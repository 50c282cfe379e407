"""A window: a process in a pseudo-terminal, its screen as a terminal would show it, keys to press."""

import os
import signal
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pexpect
import pyte

DEADLINE_SECONDS = 30.0
ENDS_DRAWING = b"\x1b[?2026l"
LEAVES_SCREEN, SHOWS_CURSOR = b"\x1b[?1049l", b"\x1b[?25h"


class Window:
    """The screen is read by `wait_for` only, which fails with what is on it at its deadline."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], columns: int, lines: int
    ) -> None:
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.written = b""
        self._outdated = 0
        program, *rest = command
        self._child = pexpect.spawn(
            program, rest, env=dict(environment), dimensions=(lines, columns), timeout=None
        )
        self._flags = self.local_flags

    @property
    def rows(self) -> list[str]:
        """The screen, line by line."""
        return [row.rstrip() for row in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.rows)

    @property
    def colors(self) -> set[str]:
        """All colours that are on the screen, beside the terminal's own."""
        cells = (cell for row in self._screen.buffer.values() for cell in row.values())
        return {color for cell in cells for color in (cell.fg, cell.bg)} - {"default"}

    @property
    def local_flags(self) -> int:
        """The terminal's echo and line settings, as the kernel has them."""
        flags: int = termios.tcgetattr(self._child.child_fd)[3]
        return flags & (termios.ECHO | termios.ICANON | termios.ISIG)

    def wait_for(self, *texts: str) -> str:
        """The screen once it holds all of these texts."""
        return self._wait(lambda: all(text in self.text for text in texts), f"shows {texts}")

    def wait_until_gone(self, text: str) -> str:
        """The screen once it does not hold this text any more."""
        return self._wait(lambda: text not in self.text, f"no longer shows {text!r}")

    def wait_until_left(self) -> None:
        """Until the screen is given back; what is drawn after this is new."""
        self._outdated = len(self.written)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while LEAVES_SCREEN not in self.written[self._outdated :]:
            if not self._read() or time.monotonic() > deadline:
                raise AssertionError(f"the screen was not left:\n{self.text}")
        self._outdated = len(self.written)

    def press(self, keys: str) -> None:
        self._child.send(keys)

    def resize(self, columns: int, lines: int) -> None:
        self._screen.resize(lines, columns)
        self._screen.reset()
        self._outdated = len(self.written)
        self._child.setwinsize(lines, columns)

    def send_signal(self, number: signal.Signals) -> None:
        self._child.kill(number)

    def wait_for_end(self) -> int:
        """The exit code; what the process leaves on the screen is read first."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self._read() and time.monotonic() < deadline:
            pass
        self._child.wait()
        status, number = self._child.exitstatus, self._child.signalstatus
        return status if status is not None else 128 + (number or 0)

    @property
    def is_left_clean(self) -> bool:
        """Whether the own screen is left, the cursor is seen and keys are echoed as before."""
        ends = LEAVES_SCREEN in self.written and SHOWS_CURSOR in self.written
        return ends and self.local_flags == self._flags

    def close(self) -> None:
        if self._child.isalive():
            self._child.kill(signal.SIGKILL)
            self._child.wait()  # pexpect itself gives a killed process a tenth of a second to go
        self._child.close()

    def _wait(self, condition: Callable[[], bool], what: str) -> str:
        deadline = time.monotonic() + DEADLINE_SECONDS
        # Between two drawings only: half a screen is nothing to judge.
        while not (self._is_drawn and condition()):
            if not self._read() or time.monotonic() > deadline:
                raise AssertionError(f"not seen: {what}; the screen:\n{self.text}")
        return self.text

    @property
    def _is_drawn(self) -> bool:
        return len(self.written) > self._outdated and self.written.endswith(ENDS_DRAWING)

    def _read(self) -> bool:
        """Feed what came to the screen; false once the process has ended."""
        try:
            data = self._child.read_nonblocking(65536, timeout=0.2)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.written += data
        self._stream.feed(data)
        return True


@contextmanager
def open_window(
    command: Sequence[str], columns: int = 80, lines: int = 24, **environment: str
) -> Iterator[Window]:
    """A window of this size; UTF-8 and colours unless the environment says otherwise."""
    ours = {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    kept = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    window = Window(command, kept | ours | environment, columns, lines)
    try:
        yield window
    finally:
        window.close()
