"""What the demo prints: stages with their time, progress bars, plain lines where there is no terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console as RichConsole
from rich.text import Text

MOST_COLUMNS_WITHOUT_TERMINAL = 140


class Console:
    """The person's terminal, and how long each stage took."""

    def __init__(self, rich: RichConsole | None = None) -> None:
        self.rich = rich or RichConsole(highlight=False, soft_wrap=True)
        self.seconds_of_stage: dict[str, float] = {}
        self._started = time.monotonic()

    @property
    def is_terminal(self) -> bool:
        """Whether bars may move."""
        return self.rich.is_terminal

    def say(self, text: str) -> None:
        """Print a line with the time since the start; text of others is never taken for markup."""
        elapsed = time.monotonic() - self._started
        self.rich.print(Text(f"{elapsed:6.1f} s  {text}"))

    def show(self, text: str) -> None:
        """Print a block as it is."""
        self.rich.print(Text(text))

    def fail(self, text: str) -> None:
        """Print why the demo ends."""
        self.rich.print(Text(f"demo: {text}", style="bold red"))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Announce a stage and note how long it took."""
        self.rich.print(Text(f"\n{name}", style="bold"))
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds_of_stage[name] = time.monotonic() - started

    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started
