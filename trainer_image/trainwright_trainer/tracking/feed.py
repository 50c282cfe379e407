"""The thread between training and one tracker: a bounded queue, retries, and no way to fail the run.

Training puts points in and goes on. While the tracker does not answer, points wait; once the queue is
full, new ones are dropped and counted.
"""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Sequence

from trainwright_trainer.tracking.sink import Ending, Point, Sink

QUEUE_POINTS = 5000
BATCH_POINTS = 100
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0

logger = logging.getLogger(__name__)


class Feed:
    """Carries one run's points to one tracker."""

    def __init__(
        self,
        sink: Sink,
        warn: Callable[[list[str]], None],
        count_dropped: Callable[[str, int], None],
        queue_points: int = QUEUE_POINTS,
        first_wait_seconds: float = FIRST_WAIT_SECONDS,
    ) -> None:
        self.name = sink.name
        self._sink, self._warn, self._count_dropped = sink, warn, count_dropped
        self._queue: queue.Queue[Point | None] = queue.Queue(queue_points)  # None wakes the thread
        self._pending: list[Point] = []
        self._is_open = False
        self._last_error: str | None = None
        self._first_wait_seconds = self._wait_seconds = first_wait_seconds
        self._save_asked = threading.Event()
        self._closing = threading.Event()
        self._ending: Ending | None = None
        self._thread = threading.Thread(target=self._work, name=f"track-{sink.name}", daemon=True)

    def start(self) -> None:
        """Start the thread; it opens the tracker."""
        self._thread.start()

    def put(self, point: Point) -> None:
        """Hand over a point; never waits."""
        try:
            self._queue.put_nowait(point)
        except queue.Full:
            self._count_dropped(self.name, 1)

    def ask_to_save(self) -> None:
        """Have the tracker bring its files to the store soon."""
        self._save_asked.set()
        self._wake()

    def begin_to_close(self, ending: Ending) -> None:
        """Let the tracker take what waits, and the end of the attempt."""
        self._ending = ending
        self._closing.set()
        self._wake()

    def wait_closed(self, seconds: float) -> None:
        """Wait until the tracker is done, for at most this long."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._tell("it was not done in time at the end of the attempt")

    def _wake(self) -> None:
        with contextlib.suppress(queue.Full):  # then the thread does not wait
            self._queue.put_nowait(None)

    def _work(self) -> None:
        while not self._closing.is_set():
            if not self._go_on():
                self._closing.wait(self._wait_seconds)
                self._wait_seconds = min(2 * self._wait_seconds, LONGEST_WAIT_SECONDS)
        while self._go_on() and not self._queue.empty():
            continue
        left = len(self._pending) + sum(point is not None for point in self._queue.queue)
        if left:
            self._count_dropped(self.name, left)
        ending = self._ending
        if self._is_open and ending is not None:
            self._attempt(lambda: self._sink.close(ending))

    def _go_on(self) -> bool:
        """Do what there is to do once; False if the tracker did not take it."""
        if not self._is_open:
            if not self._attempt(self._sink.open):
                return False
            self._is_open = True
        self._take()
        if self._pending and not self._attempt(lambda: self._sink.deliver(self._pending)):
            return False
        self._pending = []
        if self._save_asked.is_set():
            self._save_asked.clear()
            self._attempt(self._sink.save)
        return True

    def _take(self) -> None:
        """Fill the batch with what waits; sleep while nothing does."""
        while len(self._pending) < BATCH_POINTS:
            try:
                point = self._queue.get(block=not self._pending and not self._closing.is_set())
            except queue.Empty:
                return
            if point is None:
                return
            self._pending.append(point)

    def _attempt(self, action: Callable[[], None]) -> bool:
        """Do something with the tracker; what goes wrong is told once until it changes."""
        try:
            action()
        except Exception as error:  # whatever a tracker's library raises, the run goes on
            self._tell(_describe(error))
            return False
        self._last_error, self._wait_seconds = None, self._first_wait_seconds
        return True

    def _tell(self, text: str) -> None:
        if text != self._last_error:
            logger.warning("%s: %s", self.name, text)
            self._warn([f"tracking by {self.name}: {text}; the run goes on without it"])
        self._last_error = text


def _describe(error: Exception) -> str:
    lines: Sequence[str] = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
