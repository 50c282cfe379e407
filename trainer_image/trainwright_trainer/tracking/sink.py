"""What a tracker of experiments can do; one file per tracker implements it.

Every method is called from the tracker's own thread. Whatever it raises becomes a warning of the run,
and is tried again.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from trainwright_api.metrics import Metric
from trainwright_api.names import Outcome
from trainwright_api.run import Run
from trainwright_api.status import GeneratedSample, Progress

from trainwright_trainer.store import Store


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured in one step; `time` is Unix time (unit: seconds)."""

    step: int
    time: float
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a tracker knows of an attempt when it starts to train."""

    run: Run
    store: Store
    scratch_folder: Path
    credentials_folder: Path
    first_step: int
    """Steps done by earlier attempts, whose checkpoint this one goes on from."""
    samples_before: Sequence[str | None]
    """What the model made of the sample prompts before training; empty if it was not asked."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended."""

    outcome: Outcome
    step: int
    samples: Sequence[GeneratedSample]


class Sink(ABC):
    """One tracker. `deliver` may be called again with the same points after it has failed."""

    name: ClassVar[str]

    @abstractmethod
    def open(self) -> None:
        """Get ready; what could not be done is tried again."""

    @abstractmethod
    def deliver(self, points: Sequence[Point]) -> None:
        """Take points in the order of their steps."""

    @abstractmethod
    def close(self, ending: Ending) -> None:
        """Say how the attempt ended, and leave nothing behind."""

    def save(self) -> None:  # noqa: B027 - most trackers keep nothing here
        """Bring to the store what lies in scratch."""


def build_point(
    progress: Progress, validation_loss: float | None, measured: Mapping[Metric, float], now: float
) -> Point:
    """Return what trackers show of a step; measurements that there are not are left out."""
    values = {
        **{
            f"train/{metric.name.removeprefix('trainwright_')}": measured[metric]
            for metric in measured
        },
        "train/loss": progress.loss,
        "train/learning_rate": progress.learning_rate,
        "train/gradient_norm": progress.gradient_norm,
        "train/tokens_per_second": progress.tokens_per_second,
        "train/mfu": progress.mfu,
        "train/tokens": progress.tokens,
        "validation/loss": validation_loss,
    }
    there = {name: float(value) for name, value in values.items() if value is not None}
    return Point(progress.step, now, there)


def build_tags(run: Run) -> dict[str, str]:
    """Return what tells runs apart in a tracker; `uid` is the same in all attempts of a run."""
    return {
        "run": run.name,
        "namespace": run.namespace,
        "kind": run.kind,
        "uid": run.uid or f"{run.namespace}-{run.name}",
        "attempt": str(run.attempt),
    }


def build_parameters(run: Run) -> dict[str, Any]:
    """Return what the run was given, as one flat table; no credentials, nothing that an attempt changes."""
    left_out = {"kind", "namespace", "name", "uid", "attempt", "tracking"}
    return _flatten(run.model_dump(mode="json", by_alias=True, exclude=left_out, exclude_none=True))


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{path}.")
        elif isinstance(value, list):
            flat |= _flatten({str(index): item for index, item in enumerate(value)}, f"{path}.")
        elif name != "credentialsSecret":
            flat[path] = value
    return flat
