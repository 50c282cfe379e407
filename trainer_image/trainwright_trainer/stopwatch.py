"""Seconds by part: of a step, and of the way to the first one."""

import time


class Stopwatch:
    """Adds up the seconds between laps under their names."""

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
