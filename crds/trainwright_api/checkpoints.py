"""Where checkpoints go, how often, which are kept, and what a run resumes from."""

from typing import ClassVar

from pydantic import Field

from trainwright_api.base import Model, Rule
from trainwright_api.data import Location


class RunReference(Model):
    """Another run in the same namespace, as {kind, name}."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.kind in ['TrainingRun', 'FineTuneJob']",
            "expected TrainingRun or FineTuneJob",
            message_expression="'got ' + self.kind + ', expected TrainingRun or FineTuneJob'",
            field_path=".kind",
        ),
    )

    kind: str = Field("TrainingRun", description="TrainingRun or FineTuneJob. Default TrainingRun.")
    name: str = Field(description="Name of the run.", max_length=63)


class ResumeFrom(Model):
    """A checkpoint of another run to start from: exactly one of run, uri."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.run), has(self.uri)].filter(x, x).size() == 1",
            "got none or both of run and uri, expected exactly one; keep the one you mean",
        ),
    )

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

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.store.uri.startsWith('s3://') || self.store.uri.startsWith('pvc://')",
            "expected s3://bucket/prefix or pvc://claim/path: checkpoints must outlive the pods",
            message_expression="'got ' + self.store.uri + ', expected s3://bucket/prefix or pvc://claim/path: checkpoints must outlive the pods'",
            field_path=".store.uri",
        ),
        Rule(
            "!(has(self.everySteps) && has(self.everyMinutes))",
            "got both everySteps and everyMinutes, expected at most one; remove one of them",
        ),
        Rule(
            "self.store == oldSelf.store && has(self.everySteps) == has(oldSelf.everySteps) && (!has(self.everySteps) || self.everySteps == oldSelf.everySteps) && has(self.everyMinutes) == has(oldSelf.everyMinutes) && (!has(self.everyMinutes) || self.everyMinutes == oldSelf.everyMinutes) && has(self.resumeFrom) == has(oldSelf.resumeFrom) && (!has(self.resumeFrom) || self.resumeFrom == oldSelf.resumeFrom)",
            "only keepLast and keepBest may change after admission; create a new run, with checkpoints.resumeFrom to go on from this one",
        ),
    )

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
