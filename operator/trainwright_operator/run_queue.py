"""The queue of runs that have to be looked at: each once, never two workers on one run."""

import asyncio
import time

RunKey = str


class RunQueue:
    """Marks made while a run waits or is worked on do not pile up."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[RunKey] = asyncio.Queue()
        self._waiting: dict[RunKey, float] = {}
        self._busy: set[RunKey] = set()
        self._again: set[RunKey] = set()
        self._timers: dict[RunKey, asyncio.TimerHandle] = {}

    def mark(self, key: RunKey) -> None:
        """Have a run looked at soon."""
        if key in self._busy:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting[key] = time.monotonic()
            self._queue.put_nowait(key)

    def mark_later(self, key: RunKey, seconds: float) -> None:
        """Have a run looked at after a while at the latest; of several such moments the first counts."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and not timer.cancelled() and timer.when() > loop.time():
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self.mark, key)

    async def get(self) -> RunKey:
        """Return the run that has waited longest; `done` must follow."""
        key = await self._queue.get()
        self._waiting.pop(key, None)
        self._busy.add(key)
        return key

    def done(self, key: RunKey) -> None:
        """Take in that the work on a run is over."""
        self._busy.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.mark(key)

    def forget(self, key: RunKey) -> None:
        """Drop the timer of a run that is gone."""
        if timer := self._timers.pop(key, None):
            timer.cancel()

    def measure(self) -> tuple[int, float]:
        """Return how many runs wait, and how long the oldest has (unit: seconds)."""
        now = time.monotonic()
        return len(self._waiting), now - min(self._waiting.values(), default=now)
