"""Ctrl+C while other programs run: the terminal sends it to them too, and they have something to end.

Used by the preparation, the tiers of tests and the demo; the first of them with a bare Python, so only
the standard library is used.
"""

import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

INTERRUPTED = 130  # the exit code after Ctrl+C


@dataclass
class Interrupts:
    """How often Ctrl+C was pressed."""

    presses: int = 0


@contextmanager
def counted_interrupts() -> Iterator[Interrupts]:
    """Count Ctrl+C instead of raising KeyboardInterrupt, for as long as this lasts.

    Only the main thread is ever interrupted; in another there is nothing to count.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return

    def count(_number: int, _frame: object) -> None:
        interrupts.presses += 1

    # A handler, as other programs would inherit SIG_IGN.
    before = signal.signal(signal.SIGINT, count)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)


def run_to_its_end(command: Sequence[str], **options: Any) -> int:
    """Run a program to its end, through Ctrl+C too, and return its exit code.

    `subprocess.run` would kill it a quarter of a second after Ctrl+C: before it has taken down, saved or
    deleted what it must. Raises KeyboardInterrupt when it has ended.
    """
    with counted_interrupts() as interrupts:
        code = subprocess.Popen(command, **options).wait()
    if interrupts.presses or code == INTERRUPTED:
        raise KeyboardInterrupt
    return code
