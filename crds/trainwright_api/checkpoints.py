"""Where checkpoints go, how often, which are kept, and what a run resumes from."""

from pydantic import Field

from trainwright_api.base import Model
from trainwright_api.data import Location


class RunReference(Model):
    """Another run in the same namespace, as {kind, name}."""

    kind: str = Field("TrainingRun", description="TrainingRun or FineTuneJob. Default TrainingRun.")
    name: str = Field(description="Name of the run.", max_length=63)


class ResumeFrom(Model):
    """A checkpoint of another run to start from: exactly one of run, uri."""

    run: RunReference | None = Field(
        None, description="A run in this namespace whose checkpoints are used."
    )
    uri: str | None = Field(
        None,
        max_length=1024,
        description="Folder of a run's checkpoints, or one step-N folder, in the same store.",
    )
    step: int | None = Field(
        None, ge=1, description="Step of the checkpoint; default: the newest that verifies."
    )


class Checkpoints(Model):
    """Checkpoints of a run. A checkpoint exists once its manifest is written and verifies."""

    store: Location = Field(
        description="Where checkpoints and the finished model go: s3:// or pvc://."
    )
    every_steps: int | None = Field(
        None,
        ge=1,
        description="Optimizer steps between checkpoints; excludes everyMinutes. Default 500.",
    )
    every_minutes: float | None = Field(
        None, gt=0, description="Minutes between checkpoints; excludes everySteps."
    )
    keep_last: int = Field(3, ge=1, le=100, description="Newest checkpoints kept. Default 3.")
    keep_best: int = Field(
        0,
        ge=0,
        le=20,
        description="Checkpoints with the lowest validation loss kept beside the newest. Default 0.",
    )
    resume_from: ResumeFrom | None = Field(
        None, description="Start from a checkpoint of another run instead of from step 0."
    )
