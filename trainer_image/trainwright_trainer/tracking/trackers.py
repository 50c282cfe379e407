"""All trackers of a run, as the training loop sees them: none of its calls waits or raises."""

import time
from collections.abc import Mapping

from trainwright_api import metrics as m
from trainwright_api.names import Outcome
from trainwright_api.run import Run
from trainwright_api.status import ModelStatus, Progress

from trainwright_trainer.report import Reporter
from trainwright_trainer.tracking.feed import Feed
from trainwright_trainer.tracking.sink import Beginning, Ending, Sink, build_point

# A pod that was asked to stop has some seconds left after its last checkpoint; after a failure the
# operator reads the ends of all pods, and the one to blame must not be late.
CLOSE_SECONDS = {Outcome.SUCCEEDED: 60.0, Outcome.FAILED: 3.0, Outcome.INTERRUPTED: 10.0}


class Trackers:
    """Nothing until it is started, which only rank 0 does."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._feeds: list[Feed] = []

    def start(self, beginning: Beginning) -> None:
        """Open the run's trackers in the background."""
        self._feeds = [
            Feed(sink, self._reporter.warn, self._count_dropped)
            for sink in build_sinks(beginning.run, beginning)
        ]
        for feed in self._feeds:
            self._count_dropped(feed.name, 0)  # the series is there before a point is dropped
            feed.start()

    def log(
        self,
        progress: Progress,
        validation_loss: float | None,
        measured: Mapping[m.Metric, float],
    ) -> None:
        """Hand over a step; `validation_loss` if it was measured after it, `measured` by the objective."""
        point = build_point(progress, validation_loss, measured, time.time())
        for feed in self._feeds:
            feed.put(point)

    def save(self) -> None:
        """A checkpoint is being saved: bring the trackers' files to the store, too."""
        for feed in self._feeds:
            feed.ask_to_save()

    def close(self, outcome: Outcome, step: int, model: ModelStatus | None) -> None:
        """Tell the trackers how the attempt ended; gives up after CLOSE_SECONDS."""
        ending = Ending(outcome, step, model.samples if model is not None else [])
        deadline = time.monotonic() + CLOSE_SECONDS[outcome]
        for feed in self._feeds:
            feed.begin_to_close(ending)
        for feed in self._feeds:
            feed.wait_closed(max(0.0, deadline - time.monotonic()))
        self._feeds = []

    def _count_dropped(self, tracker: str, num_points: int) -> None:
        self._reporter.metrics.of(m.TRACKER_DROPPED_POINTS, tracker=tracker).inc(num_points)


def build_sinks(run: Run, beginning: Beginning) -> list[Sink]:
    """Return the run's trackers; only those that it asks for are imported."""
    from trainwright_trainer.tracking.tensorboard_files import TensorBoardFiles

    sinks: list[Sink] = [TensorBoardFiles(beginning)]
    if run.tracking.mlflow is not None:
        from trainwright_trainer.tracking.mlflow_runs import MLflowRuns

        sinks.append(MLflowRuns(beginning, run.tracking.mlflow))
    if run.tracking.wandb is not None:
        from trainwright_trainer.tracking.wandb_runs import WandbRuns

        sinks.append(WandbRuns(beginning, run.tracking.wandb))
    return sinks
