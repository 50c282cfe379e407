"""Seconds by part: of a step, and of the way to the first one.

A step on a GPU is timed by the device: what the host calls `forward` takes it no longer than to put
the work into the device's queue, and it would meet all of the work at the first wait. This module
imports no torch; the caller brings the kind of event.
"""

import time
from collections.abc import Callable
from typing import Any, Protocol


class StepWatch(Protocol):
    """What times the parts of a step."""

    def lap(self, name: str) -> None:
        """Count the time since the last lap to a part."""

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by part."""


class Stopwatch:
    """Adds up the host's seconds between laps under their names."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.is_running = True
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Count the time since the last lap to a part."""
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now

    def stop(self) -> str:
        """Stop, and return all parts in words."""
        self.is_running = False
        parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.seconds.items())
        return f"{sum(self.seconds.values()):.1f} s ({parts})"


class EventStopwatch:
    """Adds up a device's seconds between laps; a lap is an event in its queue and waits for nothing.

    `new_event` makes an event that can be timed, as `torch.cuda.Event` does. Begin it while the queue
    is empty: then a part in which only the host works counts in full, too.
    """

    def __init__(self, new_event: Callable[[], Any]) -> None:
        self._new_event = new_event
        self._first = self._record()
        self._laps: list[tuple[str, Any]] = []

    def lap(self, name: str) -> None:
        """Count the device's time since the last lap to a part."""
        self._laps.append((name, self._record()))

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by part; to be asked once the device has done all that lies before the last lap."""
        found: dict[str, float] = {}
        last = self._first
        for name, event in self._laps:
            found[name] = found.get(name, 0.0) + last.elapsed_time(event) / 1000
            last = event
        return found

    def _record(self) -> Any:
        event = self._new_event()
        event.record()
        return event
