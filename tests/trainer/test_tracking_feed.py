"""A tracker that is slow, broken or gone costs the run nothing but its points."""

import threading
import time
from collections.abc import Sequence

from trainwright_api import metrics as m
from trainwright_api.names import Outcome
from trainwright_api.status import Progress
from trainwright_trainer.tracking.feed import Feed
from trainwright_trainer.tracking.sink import Ending, Point, Sink, build_point

from tests.trainer.tracking_builder import build_points

ENDING = Ending(Outcome.SUCCEEDED, 3, [])
SECONDS = 20.0


class Tracker(Sink):
    """Fails as often as it is told; remembers the rest."""

    name = "test"

    def __init__(self, num_failures: int = 0) -> None:
        self.num_failures = num_failures
        self.steps: list[int] = []
        self.ends: list[Ending] = []
        self.saved_after: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.is_waiting = threading.Event()

    def open(self) -> None:
        self.is_waiting.set()
        self.gate.wait(SECONDS)

    def deliver(self, points: Sequence[Point]) -> None:
        if self.num_failures:
            self.num_failures -= 1
            raise ConnectionError("nobody answers\nat all")
        self.steps += [point.step for point in points]

    def save(self) -> None:
        self.saved_after.append(len(self.steps))
        raise OSError("no space")

    def close(self, ending: Ending) -> None:
        self.ends.append(ending)


class Run:
    """A feed with what it said."""

    def __init__(self, tracker: Tracker, queue_points: int = 100) -> None:
        self.warnings: list[str] = []
        self.num_dropped = 0
        self.feed = Feed(
            tracker, self.warnings.extend, self._count, queue_points, first_wait_seconds=0.01
        )

    def _count(self, _tracker: str, num_points: int) -> None:
        self.num_dropped += num_points

    def end(self) -> None:
        self.feed.begin_to_close(ENDING)
        self.feed.wait_closed(SECONDS)


def test_points_arrive_in_order_and_files_are_saved_after_them() -> None:
    tracker = Tracker()
    run = Run(tracker)
    run.feed.start()
    for point in build_points(range(1, 101)):
        run.feed.put(point)
    run.feed.ask_to_save()
    run.end()
    assert tracker.steps == list(range(1, 101))
    assert tracker.saved_after == [100]
    assert tracker.ends == [ENDING]
    assert run.warnings == ["tracking by test: OSError: no space; the run goes on without it"]
    assert run.num_dropped == 0


def test_what_was_refused_is_sent_again_and_told_once() -> None:
    tracker = Tracker(num_failures=3)
    run = Run(tracker)
    run.feed.start()
    for point in build_points([1, 2, 3]):
        run.feed.put(point)
    deadline = time.monotonic() + SECONDS
    while tracker.num_failures and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    run.end()
    assert tracker.steps == [1, 2, 3]
    assert len(run.warnings) == 1
    assert "nobody answers;" in run.warnings[0]
    assert run.num_dropped == 0


def test_a_tracker_that_never_answers_drops_points_and_lets_the_run_end() -> None:
    tracker = Tracker(num_failures=10**6)
    run = Run(tracker)
    run.feed.start()
    for point in build_points([1, 2, 3]):
        run.feed.put(point)
    run.end()
    assert run.num_dropped == 3
    assert tracker.steps == []
    assert tracker.ends == [ENDING]


def test_a_full_queue_drops_what_comes_and_never_waits() -> None:
    tracker = Tracker()
    tracker.gate.clear()
    run = Run(tracker, queue_points=10)
    run.feed.start()
    assert tracker.is_waiting.wait(SECONDS)
    for point in build_points(range(1, 16)):
        run.feed.put(point)
    assert run.num_dropped == 5
    tracker.gate.set()
    run.end()
    assert tracker.steps == list(range(1, 11))


def test_a_tracker_that_hangs_does_not_hold_up_the_end() -> None:
    tracker = Tracker()
    tracker.gate.clear()
    run = Run(tracker)
    run.feed.start()
    run.feed.begin_to_close(ENDING)
    run.feed.wait_closed(0.05)
    assert run.warnings == [
        "tracking by test: it was not done in time at the end of the attempt; the run goes on without it"
    ]
    tracker.gate.set()


def test_a_point_has_what_the_objective_measured() -> None:
    point = build_point(Progress(step=3, loss=2.0), None, {m.LOSS_SCALE: 8.0}, 1.0)
    assert (point.step, point.time) == (3, 1.0)
    assert {"train/loss": 2.0, "train/loss_scale": 8.0}.items() <= point.values.items()
