"""How a run trains: budget, batch, optimizer, schedule, precision, parallelism.

Shared by both kinds and by the resolved run. Defaults are written here once; `trainwright plan`
prints each with its reason.
"""

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from trainwright_api.base import Model, Rule, expects, expects_one_of

IntOrAuto = int | Literal["Auto"]

DEFAULT_WARMUP_FRACTION = 0.05
DEFAULT_MINIMUM_FRACTION = 0.1
DEFAULT_DECAY_FRACTION = 0.2
_DECAY_FRACTION = f"(has(self.decayFraction) ? self.decayFraction : {DEFAULT_DECAY_FRACTION})"


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
        expects_one_of("steps", "tokens", "epochs", remedy="keep the one you mean"),
        expects(
            "!has(self.tokens) || (type(self.tokens) == string"
            " ? self.tokens.matches('^([0-9]+[kMBT]?|[0-9]+[.][0-9]{1,3}k|[0-9]+[.][0-9]{1,6}M"
            "|[0-9]+[.][0-9]{1,9}B|[0-9]+[.][0-9]{1,12}T)$') && self.tokens.matches('[1-9]')"
            " : self.tokens > 0)",
            "a count above zero; write 400k, 1.5B or 20000000",
            at=".tokens",
            got="self.tokens",
        ),
    )

    steps: int | None = Field(
        None,
        ge=1,
        le=1000000000,
        description="Length as optimizer steps (unit: steps). Excludes tokens and epochs. No default.",
    )
    tokens: int | str | None = Field(
        None,
        description="Length as input tokens over all workers, such as 400k, 1.5B or 20000000, rounded up to "
        "whole steps (unit: tokens). Excludes steps and epochs. No default.",
    )
    epochs: float | None = Field(
        None,
        gt=0,
        le=100000,
        description="Length as passes over the training data, rounded up to whole steps (unit: epochs). "
        "Excludes steps and tokens. No default.",
    )


class Batch(Model):
    """Sizes of the batch; gradient accumulation is derived from them and never asked."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        expects(
            "type(self.microSequences) == string"
            " ? self.microSequences == 'Auto' : self.microSequences >= 1",
            "Auto or a number from 1; use Auto to take what fits the memory",
            at=".microSequences",
            got="self.microSequences",
        ),
    )

    global_sequences: int = Field(
        32,
        ge=1,
        le=100000000,
        description="Sequences per optimizer step over all workers (unit: sequences). Default 32.",
    )
    micro_sequences: IntOrAuto = Field(
        "Auto",
        description="Sequences per forward pass and accelerator: a number, or Auto to take the "
        "largest that fits the memory and divides the batch (unit: sequences). Default Auto.",
    )


class Optimizer(Model):
    """The optimizer and its constants."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        expects(
            "self.betas.all(beta, beta >= 0.0 && beta < 1.0)",
            "two numbers in [0, 1); write [0.9, 0.95]",
            at=".betas",
            said="a number outside",
        ),
    )

    type: OptimizerType = Field(
        OptimizerType.ADAMW,
        description="Optimizer; AdamW with decoupled weight decay. Default AdamW.",
    )
    learning_rate: float = Field(
        3e-4, gt=0, le=10, description="Peak learning rate (unit: none, a factor). Default 0.0003."
    )
    betas: list[float] = Field(
        [0.9, 0.95],
        min_length=2,
        max_length=2,
        description="Decay rates of the first and second moment, each in [0, 1). Default [0.9, 0.95].",
    )
    epsilon: float = Field(
        1e-8,
        gt=0,
        le=1,
        description="Term added to the denominator of the update (unit: none). Default 1e-08.",
    )
    weight_decay: float = Field(
        0.1,
        ge=0,
        le=10,
        description="Decoupled weight decay of matrices; vectors and norms have none (unit: none, a factor). Default 0.1.",
    )
    gradient_clipping: float = Field(
        1.0,
        ge=0,
        description="Largest global norm of the gradient; 0 turns clipping off (unit: none, a norm). Default 1.",
    )


class Schedule(Model):
    """The learning rate over the run: warm-up, then the shape."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        expects(
            "!(has(self.warmupSteps) && has(self.warmupFraction))",
            "at most one; remove one of them",
            said="both warmupSteps and warmupFraction",
        ),
        expects(
            "self.type != 'WarmupStableDecay' || !has(self.warmupFraction)"
            f" || self.warmupFraction + {_DECAY_FRACTION} <= 1.0",
            "at most 1 together with the {decay} of decayFraction; make one of them smaller",
            at=".warmupFraction",
            got="self.warmupFraction",
            decay=_DECAY_FRACTION,
        ),
        expects(
            "self.type == 'WarmupStableDecay' || !has(self.decayFraction)",
            "it with type WarmupStableDecay only, as {type} has no stage of decay; set type to "
            "WarmupStableDecay or remove it",
            at=".decayFraction",
            got="self.decayFraction",
            type="self.type",
        ),
        expects(
            "self.type != 'Constant' || !has(self.minimumFraction)",
            "it with Cosine, Linear or WarmupStableDecay, as Constant stays at the peak; set type to one of "
            "these or remove it",
            at=".minimumFraction",
            got="self.minimumFraction",
        ),
    )

    type: ScheduleType = Field(
        ScheduleType.COSINE, description="Shape after the warm-up. Default Cosine."
    )
    warmup_steps: int | None = Field(
        None,
        ge=0,
        le=1000000000,
        description="Linear warm-up; excludes warmupFraction (unit: steps). Default: warmupFraction's.",
    )
    warmup_fraction: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Warm-up as a fraction of all steps (0 to 1). Default 0.05 if warmupSteps is not given.",
    )
    minimum_fraction: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Final learning rate as a fraction of the peak (0 to 1); not for Constant, which stays at "
        "the peak. Default 0.1, none with Constant.",
    )
    decay_fraction: float | None = Field(
        None,
        gt=0,
        le=1,
        description="The last fraction of the steps, which decays (0 to 1); for WarmupStableDecay only. "
        "Default 0.2 with WarmupStableDecay.",
    )


class Parallelism(Model):
    """How model state is spread over the accelerators."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        expects(
            "type(self.zeroStage) == string"
            " ? self.zeroStage == 'Auto' : self.zeroStage >= 0 && self.zeroStage <= 3",
            "one of Auto, 0, 1, 2, 3; use 3 to shard parameters",
            at=".zeroStage",
            got="self.zeroStage",
        ),
        expects(
            "self.offloadParameters == 'None' || type(self.zeroStage) == string || self.zeroStage == 3",
            "zeroStage 3 or Auto with it, as only stage 3 shards parameters; set zeroStage to 3",
            at=".offloadParameters",
            said="CPU with a zeroStage below 3",
        ),
        expects(
            "self.offloadOptimizer == 'None' || type(self.zeroStage) == string || self.zeroStage >= 1",
            "zeroStage 1 to 3 or Auto with it, as stage 0 has no sharded optimizer to move; set zeroStage to 1",
            at=".offloadOptimizer",
            said="CPU with zeroStage 0",
        ),
    )

    zero_stage: IntOrAuto = Field(
        "Auto",
        description="ZeRO stage (unit: none, 0 to 3 or Auto): 0 replicates all state, 1 shards the optimizer, "
        "2 also gradients, 3 also parameters; Auto takes the lowest stage that fits the memory. Default Auto.",
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
