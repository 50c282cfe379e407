"""How a run trains: budget, batch, optimizer, schedule, precision, parallelism.

Shared by both kinds and by the resolved run. Defaults are written here once; `trainwright plan`
prints each with its reason.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from trainwright_api.base import Model

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
