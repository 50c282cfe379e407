"""What both kinds share: everything about a run but what it trains on what.

Rules that look at several blocks at once are here; what concerns one block is with that block.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from trainwright_api.base import Model, Rule, expects, immutable
from trainwright_api.checkpoints import Checkpoints
from trainwright_api.tracking import Tracking
from trainwright_api.training import (
    DEFAULT_DECAY_FRACTION,
    ActivationCheckpointing,
    Batch,
    Budget,
    Optimizer,
    Parallelism,
    Precision,
    Schedule,
)
from trainwright_api.utilization import Utilization
from trainwright_api.workers import Recovery, Workers

# How many processes train, in CEL on a spec.
_PROCESSES = (
    "(self.workers.nodes * (self.workers.accelerator != 'None' ? self.workers.acceleratorsPerNode"
    " : has(self.workers.processesPerNode) ? self.workers.processesPerNode : 1))"
)
# The share of the steps that decays, in CEL on a spec.
_DECAY = (
    f"(has(self.schedule.decayFraction) ? self.schedule.decayFraction : {DEFAULT_DECAY_FRACTION})"
)


class Output(Model):
    """Where the finished model goes."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        expects(
            "!has(self.uri) || self.uri.matches('^s3://[a-z0-9][a-z0-9.-]+/.+$')"
            " || self.uri.matches('^pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?/.+$')",
            "s3://bucket/folder or pvc://claim/folder; write one of these",
            at=".uri",
            got="self.uri",
        ),
        expects(
            "!has(self.uri) || !self.uri.matches('/[.][.](/|$)')",
            "a path without ..; write it out",
            at=".uri",
            got="self.uri",
        ),
    )

    uri: str | None = Field(
        None,
        max_length=1024,
        description="Folder of the finished model in the same store as the checkpoints. Default: model/ beside them.",
    )
    merge: bool = Field(
        False,
        description="LoRA: also merge the adapter into the base model's weights. Default false.",
    )
    sample_prompts: list[Annotated[str, Field(min_length=1, max_length=1024)]] = Field(
        default_factory=list,
        max_length=4,
        description="Prompts that the model completes before and after training, before it only with up to 3e9 "
        "parameters, as that is done on a CPU; the texts go to status.model. Default: none.",
    )
    sample_tokens: int = Field(
        48,
        ge=1,
        le=512,
        description="Length of a completion of a prompt (unit: tokens). Default 48.",
    )


class RunSpec(Model):
    """What both kinds share."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        expects(
            "self.precision == 'FP32' || type(self.parallelism.zeroStage) == string"
            " || self.parallelism.zeroStage != 0",
            "1 to 3 or Auto with {precision}, as DeepSpeed's first optimizer step is wrong at stage 0 in mixed"
            " precision; use 1 or Auto",
            at=".parallelism.zeroStage",
            got="self.parallelism.zeroStage",
            precision="self.precision",
        ),
        expects(
            "self.precision != 'FP16' || self.workers.accelerator != 'None'",
            "BF16 or FP32 for CPU training, as few CPUs have FP16; use BF16",
            at=".precision",
            said="FP16 without an accelerator",
        ),
        expects(
            f"self.batch.globalSequences % {_PROCESSES} == 0",
            "a multiple of {processes}, the number of processes (nodes times processes per node); round it up",
            at=".batch.globalSequences",
            got="self.batch.globalSequences",
            processes=_PROCESSES,
        ),
        expects(
            "type(self.batch.microSequences) == string || self.batch.microSequences < 1"
            f" || self.batch.globalSequences % (self.batch.microSequences * {_PROCESSES}) == 0",
            "a number that, times {processes} processes, divides the {sequences} of globalSequences; use Auto",
            at=".batch.microSequences",
            got="self.batch.microSequences",
            processes=_PROCESSES,
            sequences="self.batch.globalSequences",
        ),
        expects(
            "!has(self.budget.steps) || !has(self.schedule.warmupSteps)"
            " || self.schedule.warmupSteps < self.budget.steps",
            "less than the {steps} of budget.steps; lower it",
            at=".schedule.warmupSteps",
            got="self.schedule.warmupSteps",
            steps="self.budget.steps",
        ),
        expects(
            "self.schedule.type != 'WarmupStableDecay' || !has(self.budget.steps)"
            " || !has(self.schedule.warmupSteps)"
            f" || double(self.schedule.warmupSteps) <= (1.0 - {_DECAY}) * double(self.budget.steps)",
            "at most what the decay, {decay} of the {steps} of budget.steps, leaves; lower it or decayFraction",
            at=".schedule.warmupSteps",
            got="self.schedule.warmupSteps",
            decay=_DECAY,
            steps="self.budget.steps",
        ),
        expects(
            "self.checkpoints.keepBest == 0 || has(self.data.validation)",
            "data.validation with it, as the best is that of the lowest validation loss; add data.validation",
            at=".checkpoints.keepBest",
            got="self.checkpoints.keepBest",
        ),
        expects(
            "!has(self.output.uri) || !(self.output.uri + ' ' + self.checkpoints.store.uri)"
            ".matches('^(s3://.* pvc://|pvc://.* s3://)')",
            "a folder in the same store as the checkpoints; change it or checkpoints.store",
            at=".output.uri",
            got="self.output.uri",
        ),
        *immutable(
            "budget",
            "batch",
            "optimizer",
            "schedule",
            "precision",
            "parallelism",
            "activationCheckpointing",
            "workers",
            "output",
            "tracking",
            "seed",
        ),
    )

    budget: Budget = Field(
        description="How long to train: exactly one of steps, tokens, epochs. No default."
    )
    batch: Batch = Field(default_factory=Batch, description="Sizes of the batch.")
    optimizer: Optimizer = Field(
        default_factory=Optimizer, description="The optimizer and its constants."
    )
    schedule: Schedule = Field(
        default_factory=Schedule, description="The learning rate over the run."
    )
    precision: Precision = Field(
        Precision.BF16,
        description="BF16 or FP16 (mixed precision with FP32 master weights) or FP32. Default BF16.",
    )
    parallelism: Parallelism = Field(
        default_factory=Parallelism, description="How model state is spread over the accelerators."
    )
    activation_checkpointing: ActivationCheckpointing = Field(
        ActivationCheckpointing.AUTO,
        description="Full recomputes activations in the backward pass to save memory, None keeps them, Auto "
        "recomputes only if the run does not fit otherwise. Default Auto.",
    )
    workers: Workers = Field(default_factory=Workers, description="The pods of the run.")
    checkpoints: Checkpoints = Field(
        description="Where checkpoints go and which are kept. No default."
    )
    output: Output = Field(default_factory=Output, description="Where the finished model goes.")
    tracking: Tracking = Field(
        default_factory=Tracking,
        description="Trackers of experiments, beside the TensorBoard files that every run writes to its store.",
    )
    recovery: Recovery = Field(
        default_factory=Recovery, description="What happens when an attempt fails."
    )
    utilization: Utilization = Field(
        default_factory=Utilization,
        description="How much of its devices the run has to use, and what follows if it does not.",
    )
    suspend: bool = Field(
        False,
        description="true stops the pods after a checkpoint and keeps the run; false goes on. They have 60 s to save "
        "it, or workers.podOverrides.spec.terminationGracePeriodSeconds. Default false.",
    )
    deadline_seconds: int | None = Field(
        None,
        ge=1,
        le=1000000000,
        description="Time from creation after which the run fails; suspended time counts (unit: seconds). "
        "No default.",
    )
    ttl_seconds_after_finished: int | None = Field(
        None,
        ge=0,
        le=1000000000,
        description="Time after the end at which the run and its pods are deleted; checkpoints stay (unit: "
        "seconds). No default.",
    )
    seed: int = Field(
        42,
        ge=0,
        le=4294967295,
        description="Seed of initial weights, data order and dropout (unit: none, a number). Default 42.",
    )
