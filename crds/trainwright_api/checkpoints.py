"""Where checkpoints go, how often, which are kept, and what a run resumes from."""

from typing import ClassVar

from pydantic import Field

from trainwright_api.base import Model, Rule, expects, expects_one_of, immutable
from trainwright_api.data import NO_WAY_UP, Location


class RunReference(Model):
    """Another run in the same namespace, as {kind, name}."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        expects(
            "self.kind in ['TrainingRun', 'FineTuneJob']",
            "TrainingRun or FineTuneJob; write one of these",
            at=".kind",
            got="self.kind",
        ),
        expects(
            "self.name.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
            "the name of a run in this namespace; write metadata.name of that run",
            at=".name",
            got="self.name",
        ),
    )

    kind: str = Field(
        "TrainingRun",
        max_length=64,
        description="TrainingRun or FineTuneJob. Default TrainingRun.",
    )
    name: str = Field(description="Name of the run. No default.", max_length=63)


class ResumeFrom(Model):
    """A checkpoint of another run to start from: exactly one of run, uri."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        expects_one_of("run", "uri", remedy="keep the one you mean"),
        expects(
            "!has(self.uri) || self.uri.matches('^s3://[a-z0-9][a-z0-9.-]+/.+$')"
            " || self.uri.matches('^pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?/.+$')",
            "s3://bucket/.../run/ or pvc://claim/.../run/; write the folder of that run's checkpoints",
            at=".uri",
            got="self.uri",
        ),
        NO_WAY_UP,
        expects(
            "!has(self.step) || !has(self.uri) || !self.uri.matches('/step-[0-9]+/?$')",
            "at most one of them; remove step",
            at=".step",
            said="step with a uri that ends in step-N",
        ),
    )

    run: RunReference | None = Field(
        None,
        description="A run in this namespace whose checkpoints are used. Excludes uri. No default.",
    )
    uri: str | None = Field(
        None,
        max_length=1024,
        description="Folder of a run's checkpoints, or one step-N folder, in the same store. Excludes run. "
        "No default.",
    )
    step: int | None = Field(
        None,
        ge=1,
        le=1000000000,
        description="Checkpoint to take (unit: steps). Default: the newest that verifies.",
    )


class Checkpoints(Model):
    """Checkpoints of a run. A checkpoint exists once its manifest is written and verifies."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        expects(
            "self.store.uri.startsWith('s3://') || self.store.uri.startsWith('pvc://')",
            "s3://bucket/prefix or pvc://claim/path; checkpoints must outlive the pods",
            at=".store.uri",
            got="self.store.uri",
        ),
        expects(
            "!(has(self.everySteps) && has(self.everyMinutes))",
            "at most one; remove one of them",
            said="both everySteps and everyMinutes",
        ),
        expects(
            "!has(self.resumeFrom) || !has(self.resumeFrom.uri)"
            " || !(self.resumeFrom.uri + ' ' + self.store.uri).matches('^(s3://.* pvc://|pvc://.* s3://)')",
            "a folder in the same store as checkpoints.store; copy the checkpoint there",
            at=".resumeFrom.uri",
            got="self.resumeFrom.uri",
        ),
        *immutable("store", "everySteps?", "everyMinutes?", "resumeFrom?"),
    )

    store: Location = Field(
        description="Where checkpoints and the finished model go: s3:// or pvc://. The run's own folder there "
        "is <store>/<namespace>/<name>/; a run made anew under the same name goes on from the checkpoints in "
        "it. No default."
    )
    every_steps: int | None = Field(
        None,
        ge=1,
        le=1000000000,
        description="Optimizer steps between checkpoints; excludes everyMinutes (unit: steps). Default 500, "
        "none with everyMinutes.",
    )
    every_minutes: float | None = Field(
        None,
        gt=0,
        le=100000,
        description="Time between checkpoints; excludes everySteps (unit: minutes). No default.",
    )
    keep_last: int = Field(
        3,
        ge=1,
        le=100,
        description="Newest checkpoints kept; a change acts from the next attempt (unit: checkpoints). Default 3.",
    )
    keep_best: int = Field(
        0,
        ge=0,
        le=20,
        description="Checkpoints with the lowest validation loss kept beside the newest; needs "
        "data.validation, which is then also measured before each save that is due; a change acts from the next "
        "attempt (unit: checkpoints). Default 0.",
    )
    resume_from: ResumeFrom | None = Field(
        None,
        description="Start from a checkpoint of another run instead of from step 0: the count of steps and samples, so "
        "also the schedule and the place in the data, goes on. A run goes on from its own checkpoints by itself. No default.",
    )
