"""Values that go between the training loop and the checkpoint manager."""

from dataclasses import dataclass, field
from pathlib import Path

from trainwright_api.report import Manifest
from trainwright_api.status import CheckpointRecord, Plan


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a manifest says of the run as a whole; it does not change from step to step."""

    zero_stage: int
    template_sha256: str | None = None
    data_sha256: str | None = None
    base_sha256: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class StepState:
    """Where training stands when it is saved."""

    step: int
    samples: int
    tokens: int
    epoch: float
    facts: RunFacts
    loss: float | None = None
    validation_loss: float | None = None


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """A checkpoint to start from; `uri` is its folder, `is_own` False if it is another run's."""

    uri: str
    manifest: Manifest
    is_own: bool


@dataclass(frozen=True, slots=True)
class FetchedCheckpoint:
    """A checkpoint whose wanted files lie, verified, in `folder` under their paths in the manifest."""

    point: ResumePoint
    folder: Path


@dataclass(frozen=True, slots=True)
class SaveOutcome:
    """How one save ended: `error` is None if it succeeded, as far as this rank knows.

    On rank 0, `record` is the new checkpoint and `kept` all that are left after retention.
    """

    step: int
    record: CheckpointRecord | None = None
    error: str | None = None
    kept: list[CheckpointRecord] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
