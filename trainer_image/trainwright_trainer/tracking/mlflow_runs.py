"""Reports to an MLflow tracking server: one MLflow run per run of ours, whatever its attempts.

MLflow chooses the ids of its runs, so ours is found again by a tag with the uid. A point that two
attempts measured is there twice, as MLflow takes nothing back; the later one has the later time.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainwright_api.names import SECRET_MLFLOW_KEYS, Outcome
from trainwright_api.tracking import MLflowTracking

from trainwright_trainer.settings import tell_libraries
from trainwright_trainer.tracking.secrets import read_secret
from trainwright_trainer.tracking.sink import (
    Beginning,
    Ending,
    Point,
    Sink,
    build_parameters,
    build_tags,
)

if TYPE_CHECKING:
    from mlflow.entities import Run as MLflowRun

LONGEST_VALUE = 500  # of a parameter; servers refuse longer ones
_STATUS = {
    Outcome.SUCCEEDED: "FINISHED",
    Outcome.FAILED: "FAILED",
    Outcome.INTERRUPTED: "KILLED",
}


class MLflowRuns(Sink):
    """The MLflow run of one run."""

    name = "MLflow"

    def __init__(self, beginning: Beginning, tracking: MLflowTracking) -> None:
        self._beginning, self._tracking = beginning, tracking

    def open(self) -> None:
        """See Sink."""
        from mlflow import MlflowClient

        folder, secret = self._beginning.credentials_folder, self._tracking.credentials_secret
        keys = {key: read_secret(folder, secret, key) for key in SECRET_MLFLOW_KEYS}
        tell_libraries({key: value for key, value in keys.items() if value is not None})
        self._client = MlflowClient(tracking_uri=self._tracking.tracking_uri)
        experiment = self._find_experiment()
        found = self._find_run(experiment) or self._create_run(experiment)
        self._id = found.info.run_id
        if not found.data.params:
            self._log_parameters()
        self._client.set_tag(self._id, "trainwright.attempt", str(self._beginning.run.attempt))
        self._client.update_run(self._id, status="RUNNING")

    def _find_experiment(self) -> str:
        name = self._tracking.experiment or self._beginning.run.namespace
        found = self._client.get_experiment_by_name(name)
        return found.experiment_id if found is not None else self._client.create_experiment(name)

    def _find_run(self, experiment: str) -> "MLflowRun | None":
        uid = build_tags(self._beginning.run)["uid"]
        wanted = f"tags.`trainwright.uid` = '{uid}'"
        return next(iter(self._client.search_runs([experiment], wanted, max_results=1)), None)

    def _create_run(self, experiment: str) -> "MLflowRun":
        run = self._beginning.run
        tags = {f"trainwright.{name}": value for name, value in build_tags(run).items()}
        return self._client.create_run(experiment, tags=tags, run_name=run.name)

    def _log_parameters(self) -> None:
        from mlflow.entities import Param

        values = build_parameters(self._beginning.run)
        params = [Param(name, str(value)[:LONGEST_VALUE]) for name, value in values.items()]
        for start in range(0, len(params), 100):  # as many as a server takes at once
            self._client.log_batch(self._id, params=params[start : start + 100])

    def deliver(self, points: Sequence[Point]) -> None:
        """See Sink."""
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, int(1000 * point.time), point.step)
            for point in points
            for name, value in point.values.items()
        ]
        self._client.log_batch(self._id, metrics=metrics)

    def close(self, ending: Ending) -> None:
        """See Sink."""
        self._client.set_terminated(self._id, _STATUS[ending.outcome])
