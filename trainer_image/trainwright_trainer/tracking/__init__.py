"""Experiment trackers: TensorBoard files in the run's store always, MLflow and W&B where asked for.

Only rank 0 tracks. Each tracker has a thread and a bounded queue of its own: a step never waits for
one, and none can end a run.
"""

from trainwright_trainer.tracking.checking import check_trackers
from trainwright_trainer.tracking.trackers import Trackers

__all__ = ["Trackers", "check_trackers"]
