"""The queue of runs that have to be looked at: each once, never two workers on one run."""

import asyncio
import time

Uid = str


class RunQueue:
    """Marks made while a run waits or is worked on do not pile up."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Uid] = asyncio.Queue()
        self._waiting: dict[Uid, float] = {}
        self._busy: set[Uid] = set()
        self._again: set[Uid] = set()
        self._timers: dict[Uid, asyncio.TimerHandle] = {}

    def mark(self, uid: Uid) -> None:
        """Have a run looked at soon."""
        if uid in self._busy:
            self._again.add(uid)
        elif uid not in self._waiting:
            self._waiting[uid] = time.monotonic()
            self._queue.put_nowait(uid)

    def mark_later(self, uid: Uid, seconds: float) -> None:
        """Have a run looked at after a while at the latest; of several such moments the first counts."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(uid)
        if timer is not None and not timer.cancelled() and timer.when() > loop.time():
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()
        self._timers[uid] = loop.call_later(seconds, self.mark, uid)

    async def get(self) -> Uid:
        """Return the run that has waited longest; `done` must follow."""
        uid = await self._queue.get()
        self._waiting.pop(uid, None)
        self._busy.add(uid)
        return uid

    def done(self, uid: Uid) -> None:
        """Take in that the work on a run is over."""
        self._busy.discard(uid)
        if uid in self._again:
            self._again.discard(uid)
            self.mark(uid)

    def forget(self, uid: Uid) -> None:
        """Drop the timer of a run that is gone."""
        if timer := self._timers.pop(uid, None):
            timer.cancel()

    def measure(self) -> tuple[int, float]:
        """Return how many runs wait, and how long the oldest has (unit: seconds)."""
        now = time.monotonic()
        return len(self._waiting), now - min(self._waiting.values(), default=now)
