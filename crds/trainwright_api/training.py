"""How a run trains: budget, batch, optimizer, schedule, precision, parallelism.

Shared by both kinds and by the resolved run. Defaults are written here once; `trainwright plan`
prints each with its reason.
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from trainwright_api.base import Model, Rule

IntOrAuto = int | Literal["Auto"]
ZeroStage = Annotated[IntOrAuto, Field(union_mode="left_to_right")]


class Precision(StrEnum):
    """Number format of weights, gradients and activations."""

    BF16 = "BF16"
    FP16 = "FP16"
    FP32 = "FP32"


class OptimizerType(StrEnum):
    """Optimizers that the trainer builds."""

    ADAMW = "AdamW"


class ScheduleType(StrEnum):
    """Shapes of the learning rate over the run."""

    COSINE = "Cosine"
    LINEAR = "Linear"
    CONSTANT = "Constant"
    WARMUP_STABLE_DECAY = "WarmupStableDecay"


class OffloadDevice(StrEnum):
    """Where offloaded state lives."""

    NONE = "None"
    CPU = "CPU"


class ActivationCheckpointing(StrEnum):
    """Whether activations are recomputed in the backward pass instead of being kept."""

    AUTO = "Auto"
    NONE = "None"
    FULL = "Full"


class Budget(Model):
    """How long to train: exactly one of steps, tokens, epochs."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.steps), has(self.tokens), has(self.epochs)].filter(x, x).size() == 1",
            "got none or several of steps, tokens and epochs, expected exactly one; keep the one you mean",
        ),
        Rule(
            "!has(self.tokens) || (type(self.tokens) == string ? self.tokens.matches('^[0-9]+([.][0-9]+)?[kMBT]?$') : self.tokens > 0)",
            "expected a count above zero such as 400k, 1.5B or 20000000",
            message_expression="'got ' + string(self.tokens) + ', expected a count above zero such as 400k, 1.5B or 20000000'",
            field_path=".tokens",
        ),
    )

    steps: int | None = Field(None, ge=1, description="Number of optimizer steps.")
    tokens: int | str | None = Field(
        None,
        description="Number of input tokens over all workers, such as 400k, 1.5B or 20000000; "
        "rounded up to whole steps.",
    )
    epochs: float | None = Field(
        None,
        gt=0,
        description="Number of passes over the training data; rounded up to whole steps.",
    )


class Batch(Model):
    """Sizes of the batch; gradient accumulation is derived from them and never asked."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "type(self.microSequences) == string ? self.microSequences == 'Auto' : self.microSequences >= 1",
            "expected Auto or a number from 1",
            message_expression="'got ' + string(self.microSequences) + ', expected Auto or a number from 1'",
            field_path=".microSequences",
        ),
    )

    global_sequences: int = Field(
        32,
        ge=1,
        description="Sequences per optimizer step over all workers (unit: sequences). Default 32.",
    )
    micro_sequences: IntOrAuto = Field(
        "Auto",
        description="Sequences per forward pass and accelerator: a number, or Auto to take the "
        "largest that fits the memory and divides the batch. Default Auto.",
    )


class Optimizer(Model):
    """The optimizer and its constants."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.betas.all(beta, beta >= 0.0 && beta < 1.0)",
            "expected two numbers in [0, 1) such as [0.9, 0.95]",
            field_path=".betas",
        ),
    )

    type: OptimizerType = Field(
        OptimizerType.ADAMW,
        description="Optimizer; AdamW with decoupled weight decay. Default AdamW.",
    )
    learning_rate: float = Field(
        3e-4, gt=0, le=10, description="Peak learning rate. Default 0.0003."
    )
    betas: list[float] = Field(
        [0.9, 0.95],
        min_length=2,
        max_length=2,
        description="Decay rates of the first and second moment, each in [0, 1). Default 0.9, 0.95.",
    )
    epsilon: float = Field(1e-8, gt=0, description="Term added to the denominator. Default 1e-8.")
    weight_decay: float = Field(
        0.1,
        ge=0,
        description="Decoupled weight decay of matrices (vectors and norms have none). Default 0.1.",
    )
    gradient_clipping: float = Field(
        1.0,
        ge=0,
        description="Largest global norm of the gradient; 0 turns clipping off. Default 1.",
    )


class Schedule(Model):
    """The learning rate over the run: warm-up, then the shape."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!(has(self.warmupSteps) && has(self.warmupFraction))",
            "got both warmupSteps and warmupFraction, expected at most one; remove one of them",
        ),
    )

    type: ScheduleType = Field(
        ScheduleType.COSINE, description="Shape after the warm-up. Default Cosine."
    )
    warmup_steps: int | None = Field(
        None, ge=0, description="Steps of linear warm-up; excludes warmupFraction."
    )
    warmup_fraction: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Warm-up as a fraction of all steps (0 to 1). Default 0.05 if warmupSteps is not given.",
    )
    minimum_fraction: float = Field(
        0.1, ge=0, le=1, description="Final learning rate as a fraction of the peak. Default 0.1."
    )
    decay_fraction: float = Field(
        0.2,
        gt=0,
        le=1,
        description="WarmupStableDecay only: the last fraction of the steps that decays. Default 0.2.",
    )


class Parallelism(Model):
    """How model state is spread over the accelerators."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "type(self.zeroStage) == string ? self.zeroStage == 'Auto' : self.zeroStage >= 0 && self.zeroStage <= 3",
            "expected one of Auto, 0, 1, 2, 3; use 3 to shard parameters",
            message_expression="'got ' + string(self.zeroStage) + ', expected one of Auto, 0, 1, 2, 3; use 3 to shard parameters'",
            field_path=".zeroStage",
        ),
        Rule(
            "self.offloadParameters == 'None' || type(self.zeroStage) == string || self.zeroStage == 3",
            "got CPU with a zeroStage below 3, expected zeroStage 3 or Auto; only stage 3 shards parameters",
            field_path=".offloadParameters",
        ),
        Rule(
            "self.offloadOptimizer == 'None' || type(self.zeroStage) == string || self.zeroStage >= 1",
            "got CPU with zeroStage 0, expected zeroStage 1 to 3 or Auto; stage 0 has no sharded optimizer to move",
            field_path=".offloadOptimizer",
        ),
    )

    zero_stage: IntOrAuto = Field(
        "Auto",
        description="ZeRO stage: 0 replicates all state, 1 shards the optimizer, 2 also gradients, 3 also "
        "parameters; Auto takes the lowest stage that fits the memory. Default Auto.",
    )
    offload_optimizer: OffloadDevice = Field(
        OffloadDevice.NONE,
        description="Where the optimizer's state lives: None keeps it on the accelerator, CPU moves it to "
        "host memory (ZeRO 1 to 3). Default None.",
    )
    offload_parameters: OffloadDevice = Field(
        OffloadDevice.NONE,
        description="Where parameters live between uses: None, or CPU for host memory (ZeRO 3). Default None.",
    )
